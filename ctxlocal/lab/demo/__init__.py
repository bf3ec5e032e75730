"""A small shop with real sessions."""
