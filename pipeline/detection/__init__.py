"""Scores, calibration, alarms, and the engine that turns samples into events."""
