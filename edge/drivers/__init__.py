"""One module per device protocol, each behind the same small seam."""
