"""Many machines: a fusion worker per group of scenes, placed by Ray; no data goes through it."""
