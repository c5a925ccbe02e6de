"""Phases of training a scene, a file each: what is learnt, and how it is judged."""
