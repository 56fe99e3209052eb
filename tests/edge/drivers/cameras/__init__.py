"""Cameras: parsers, tracker, listener, and brands over the real protocols."""
