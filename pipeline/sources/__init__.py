"""Where samples come from. One file per kind; see `pipeline.plugins`."""
