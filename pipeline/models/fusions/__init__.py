"""Fusions: from one vector per stream to one vector of all."""
