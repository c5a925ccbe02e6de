"""Bytes that nobody wrote on purpose, given to everything that reads bytes."""
