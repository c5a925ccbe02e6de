"""Clocks. Time is integer nanoseconds, UTC, and is always passed in.

Node time is the machine's monotonic clock plus an offset measured once at start, so a step
of the system clock never tears a stream. Processes of one node share the offset: the parent
measures it and hands `NodeClock.offset_ns` to its children.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch; never goes back."""
        ...


class NodeClock:
    """Node time: monotonic clock plus an offset fixed at start.

    Args:
        offset_ns: Offset measured by the parent process, or None to measure it here.
    """

    def __init__(self, offset_ns: int | None = None) -> None:
        self.offset_ns = measure_offset_ns() if offset_ns is None else offset_ns

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, on this node's timeline."""
        return time.monotonic_ns() + self.offset_ns


class ManualClock:
    """A clock that is moved by hand: replay moves it by the recording, tests by script."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """The time it was last moved to."""
        return self._now_ns

    def move_to(self, now_ns: int) -> None:
        """Move forward to `now_ns`; a step back is ignored, as for every clock of ours."""
        self._now_ns = max(self._now_ns, now_ns)

    def advance(self, by_ns: int) -> None:
        """Move forward by `by_ns` nanoseconds."""
        self.move_to(self._now_ns + by_ns)


def measure_offset_ns(probes: int = 9) -> int:
    """Offset of the system clock (UTC) to the monotonic clock, nanoseconds.

    The probe with the shortest bracket of two monotonic readings wins, so that being
    descheduled between readings does not count.
    """
    best: tuple[int, int] | None = None
    for _ in range(probes):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, wall - (before + after) // 2)
    if best is None:
        raise ValueError(f"probes must be at least 1, got {probes}")
    return best[1]
