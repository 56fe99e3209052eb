"""Tests of what gateway and cloud agree on."""
