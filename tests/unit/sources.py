"""What tests of sources share: a context that counts refusals, and reading until enough."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from pipeline.core.clock import Clock, ManualClock
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Sample
from pipeline.sources.base import Source, SourceContext

DEADLINE_S = 20.0


class Refusals(Counter[tuple[str, DropReason]]):
    """Counts of ``reject`` by stream and reason."""

    def __call__(self, stream: str, reason: DropReason, detail: str) -> None:
        self[stream, reason] += 1


def context(clock: Clock | None = None) -> tuple[SourceContext, Refusals]:
    refusals = Refusals()
    return SourceContext(clock or ManualClock(1_000_000_000_000), refusals), refusals


def read_until(source: Source, enough: Callable[[list[Sample]], bool]) -> list[Sample]:
    """Samples until `enough` says so; fails after a generous deadline."""
    samples: list[Sample] = []
    deadline = time.monotonic() + DEADLINE_S
    while not enough(samples):
        if time.monotonic() > deadline:
            raise AssertionError(f"only {len(samples)} samples in {DEADLINE_S} s: {samples[:3]}")
        samples.extend(source.read(0.1))
    return samples


def read_count(source: Source, count: int) -> list[Sample]:
    return read_until(source, lambda samples: len(samples) >= count)
