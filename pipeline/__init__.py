"""Fusewatch: a streaming sensor-fusion pipeline that learns what is normal at a site."""

__version__ = "0.1.0"
