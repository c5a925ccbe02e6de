"""MCAP recordings: written as samples arrive, read back in the same order."""
