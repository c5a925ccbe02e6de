"""Versions of what people answered."""
