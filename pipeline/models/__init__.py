"""From windows to features and densities. Torch is used in this room and those above only."""
