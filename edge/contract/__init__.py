"""What gateway and cloud agree on; the only part of edge that others import."""
