"""What is known of how far sensors can be trusted: what gateways have learned, and what people say of their flags."""
