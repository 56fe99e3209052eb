"""What cameras send, and what the gateway makes of it."""
