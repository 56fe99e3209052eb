"""Tests of deploy/mosquitto: a real broker on exactly these files."""
