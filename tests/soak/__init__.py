"""Hours under load and faults: see ``python -m tests.soak --help``."""
