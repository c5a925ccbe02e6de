"""Streams of samples in, windows of one scene out. No socket, no wall clock."""
