"""Simulated devices, scenarios, replays and the demo."""
