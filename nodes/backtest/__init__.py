"""Backtests: recordings through another model or configuration, and what that changes."""
