"""From windows to features and densities. The only library rooms with torch are this one and those above."""
