"""Tests of the drivers, against real sockets."""
