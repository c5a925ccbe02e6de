"""Heads: what the fused vector is asked."""
