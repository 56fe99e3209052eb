"""The cloud service: keeps the history, and turns what is wrong into work that a person finishes."""
