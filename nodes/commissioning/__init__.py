"""Commissioning live: a scene is recorded, looked after and learnt at once."""
