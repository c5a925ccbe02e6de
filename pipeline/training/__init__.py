"""Learning a scene's normal from its recordings."""
