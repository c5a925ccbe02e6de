"""Where events go. One file per kind; see `pipeline.plugins`."""
