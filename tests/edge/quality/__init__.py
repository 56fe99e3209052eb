"""Tests of edge.quality."""
