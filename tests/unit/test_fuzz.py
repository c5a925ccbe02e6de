"""Whoever reads bytes from outside raises what it documents, whatever the bytes are.

The same targets are fuzzed for longer by ``python -m tests.fuzz``; what it found lies in
``tests/fuzz/corpus`` and is read here each time.
"""

from __future__ import annotations

import resource
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import CORPUS
from tests.fuzz.strategies import nearly
from tests.fuzz.targets import TARGETS

LONGEST_S = 10.0
MOST_MB = 400
EXAMPLES = {"recording": 40, "config": 60, "spool": 80, "spool-body": 80}
LEARNT = [name for name in TARGETS if name.startswith("model")]
"""Need a model, which takes seconds to learn: fuzzed beside the tests of models."""

targets = pytest.mark.parametrize("name", [name for name in TARGETS if name not in LEARNT])


@targets
def test_valid_inputs_and_what_was_found_once_are_read(name: str) -> None:
    read = TARGETS[name].reader()
    kept = sorted((CORPUS / name).glob("*"))
    for data in [*TARGETS[name].valid(), *(file.read_bytes() for file in kept), b""]:
        read(data)


@targets
def test_nothing_but_the_documented_errors(name: str) -> None:
    read = TARGETS[name].reader()
    before_mb = _most_mb()

    @given(nearly(TARGETS[name].valid()))
    @settings(
        max_examples=EXAMPLES.get(name, 150),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def check(data: bytes) -> None:
        began_s = time.process_time()
        read(data)
        assert time.process_time() - began_s < LONGEST_S

    check()
    assert _most_mb() - before_mb < MOST_MB


@given(st.lists(st.binary(max_size=200), max_size=5))
@settings(derandomize=True, deadline=None)
def test_frames_are_parted_as_they_were_joined(frames: list[bytes]) -> None:
    from tests.fuzz.wire import joined, parted

    assert parted(joined(list(frames))) == frames


def _most_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
