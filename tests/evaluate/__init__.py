"""Evaluations, run by `./anlan evaluate NAME`; each ends with one JSON line."""
