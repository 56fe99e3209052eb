"""The whole line on real servers."""
