"""The gateway: reads devices, judges each reading on the spot, keeps it until the cloud has it."""
