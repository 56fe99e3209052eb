"""Tests of finding devices, on simulated lines and networks."""
