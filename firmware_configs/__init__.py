"""Data only: device profiles, quantities, event classes, gateway examples."""
