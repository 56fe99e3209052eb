"""The whole line on one machine: broker, cloud, two gateways and a rainy day, as separate processes."""
