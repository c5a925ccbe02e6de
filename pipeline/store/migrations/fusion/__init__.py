"""Versions of the fusion node's memory."""
