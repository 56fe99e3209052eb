"""Benchmarks, run by `./anlan bench NAME`; each ends with one JSON line."""
