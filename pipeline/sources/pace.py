"""Giving out samples of finite media when they are due, at a speed."""

from __future__ import annotations

import threading

from pipeline.core.clock import Clock

SECOND_NS = 1_000_000_000


class Pace:
    """Maps the medium's time to the clock's, from the first sample on.

    Args:
        clock: Node time.
        speed: Times real time; 0 means as fast as samples are taken.
    """

    def __init__(self, clock: Clock, speed: float) -> None:
        self._clock = clock
        self._speed = speed
        self._origin: tuple[int, int] | None = None
        self._never = threading.Event()

    def due(self, time_ns: int, timeout_s: float) -> bool:
        """Whether the sample of `time_ns` is due, waiting for it up to `timeout_s`."""
        if self._speed == 0:
            return True
        if self._origin is None:
            self._origin = (time_ns, self._clock.now_ns())
        medium_ns, clock_ns = self._origin
        wait_ns = clock_ns + int((time_ns - medium_ns) / self._speed) - self._clock.now_ns()
        if wait_ns <= 0:
            return True
        if timeout_s <= 0:
            return False
        self._never.wait(min(timeout_s, wait_ns / SECOND_NS))
        return wait_ns <= timeout_s * SECOND_NS
