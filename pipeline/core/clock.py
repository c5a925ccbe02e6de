"""Clocks. Time is integer nanoseconds, UTC, and is always passed in.

Node time is the time since the machine was booted, plus an offset to UTC measured once at
start. Therefore:

* A step of the system clock (NTP, ``date``, a person) never moves node time, nor site time,
  which is the fusion node's: streams go on evenly. How far the system clock is from node time
  is told (`nodes.system_clock`), and what it says then is taken over at the next start.
* A gentle correction of the system clock's rate (slewing) is followed: Linux disciplines the
  rate of all its clocks alike.
* A suspended machine's node time goes on: it counts by ``CLOCK_BOOTTIME``. ``CLOCK_MONOTONIC``
  stands still meanwhile; samples taken after waking would be put the length of the sleep into
  the past until the offset to site time is found anew. How exact the time asleep is depends on
  the machine (up to a second, by its battery clock); `slept_ns` tells that there was any.

Processes of one node share the offset: the parent measures it and hands
`NodeClock.offset_ns` to its children. A process that is started again by its parent goes on
with the same time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

# Other systems than Linux have no clock of that name; what they have instead stands still.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_TRIES = 5
SLEPT_NS = 10_000_000
"""A growth of `slept_ns` by more is a sleep; less may be two clocks read in a busy moment."""


def since_boot_ns() -> int:
    """Time since this machine was booted, the time it was suspended included."""
    return time.clock_gettime_ns(_SINCE_BOOT)


class Clock(Protocol):
    """Where time comes from."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch; never goes back."""
        ...


class NodeClock:
    """Node time: time since boot plus an offset fixed at start.

    Args:
        offset_ns: Offset measured by the parent process, or None to measure it here.
        since_boot_ns: Time since the machine was booted, asleep or not.
        system_ns: The system clock.
    """

    def __init__(
        self,
        offset_ns: int | None = None,
        *,
        since_boot_ns: Callable[[], int] = since_boot_ns,
        system_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._since_boot_ns = since_boot_ns
        if offset_ns is None:
            offset_ns = measure_offset_ns(since_boot_ns=since_boot_ns, system_ns=system_ns)
        self.offset_ns = offset_ns

    @property
    def is_of_this_machine(self) -> bool:
        """Whether it is this machine's own time since boot, shifted and nothing else."""
        plain = type(self).now_ns is NodeClock.now_ns
        return plain and self._since_boot_ns is since_boot_ns

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, on this node's timeline."""
        return self._since_boot_ns() + self.offset_ns


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


def slept_ns() -> int:
    """How long this machine was suspended since it was booted."""
    return difference_ns(since_boot_ns, time.monotonic_ns, _TRIES)[0]


def measure_offset_ns(
    probes: int = 9,
    *,
    since_boot_ns: Callable[[], int] = since_boot_ns,
    system_ns: Callable[[], int] = time.time_ns,
) -> int:
    """Offset of the system clock (UTC) to the time since boot, nanoseconds."""
    return difference_ns(system_ns, since_boot_ns, probes)[0]


def difference_ns(
    one_ns: Callable[[], int], other_ns: Callable[[], int], probes: int = 1
) -> tuple[int, int]:
    """One clock less the other, and how long it took to read them, nanoseconds.

    The probe with the shortest bracket of two readings of the other clock wins, so that being
    descheduled between readings does not count.
    """
    best: tuple[int, int] | None = None
    for _ in range(probes):
        before = other_ns()
        one = one_ns()
        after = other_ns()
        if best is None or after - before < best[1]:
            best = (one - (before + after) // 2, after - before)
    if best is None:
        raise ValueError(f"probes must be at least 1, got {probes}")
    return best
