"""The detector on real recordings, beside simple peers; see `tests.benchmarks.real.__main__`."""
