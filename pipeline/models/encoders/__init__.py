"""Encoders: from one window of one stream to tokens."""
