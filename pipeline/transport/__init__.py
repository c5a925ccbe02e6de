"""Samples from capture nodes to the fusion node, and events from there to the alert node."""
