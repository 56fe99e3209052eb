"""Cameras that speak their brands' protocols over real HTTP, also with what real ones get wrong."""
