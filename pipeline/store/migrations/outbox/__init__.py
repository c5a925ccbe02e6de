"""Versions of the alert node's outbox."""
