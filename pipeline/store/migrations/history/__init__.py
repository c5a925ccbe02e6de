"""Versions of the scores by minute."""
