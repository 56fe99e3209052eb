"""Tests of the gateway's command line."""
