"""Samples of a recording that are in none of its windows: a warning to who learns it, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from pipeline.alignment.account import Discard, StreamCounts

_MANY = 0.05  # of a stream's samples
_WHY: Mapping[Discard, str] = {
    Discard.LATE: "came too late",
    Discard.DUPLICATE: "were there before, by their time or their position",
    Discard.FUTURE: "have a time that jumped ahead",
    Discard.MALFORMED: "are not of the form that the stream announced",
    Discard.REFORMATTED: "came just before the stream changed its form",
}
"""Reasons that say something of the recording; the others are how windows are cut."""


class RefusedSamples:
    """Counts them over several recordings."""

    def __init__(self) -> None:
        self._pushed: Counter[str] = Counter()
        self._refused: dict[str, Counter[Discard]] = {}

    def take(self, counts: Mapping[str, StreamCounts]) -> None:
        """Take in what became of the samples of one more recording, by stream."""
        for name, one in counts.items():
            self._pushed[name] += one.pushed
            self._refused.setdefault(name, Counter()).update(one.discarded)

    def warnings(self) -> Iterator[str]:
        """What is to be said of each stream of which many were refused."""
        for name, refused in self._refused.items():
            told = {reason: refused[reason] for reason in _WHY if refused[reason]}
            if not told or sum(told.values()) < _MANY * self._pushed[name]:
                continue
            why = ", ".join(f"{count:,} {_WHY[reason]}" for reason, count in told.items())
            yield f"of {self._pushed[name]:,} samples of stream {name!r} are in no window: {why}"
