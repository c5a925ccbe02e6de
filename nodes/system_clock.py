"""Watches the system clock for steps. Node time does not follow them; people should know.

A step says that the system clock was wrong before, or is now. Node time, and with it the site
time of a fusion node, goes on evenly as it was; only the next start takes the new time over.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry, Gauge

from pipeline.core.clock import Clock, difference_ns

log = structlog.get_logger(__name__)

_STEP_NS = 50_000_000
_TRIES = 3


class SystemClockWatch:
    """How far the system clock is from node time, and how often it stepped.

    Args:
        clock: Node time.
        registry: Where it is reported.
        system_ns: The system clock.
    """

    def __init__(
        self,
        clock: Clock,
        registry: CollectorRegistry,
        system_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._clock = clock
        self._system_ns = system_ns
        self._ahead = Gauge(
            "fusewatch_system_clock_ahead_seconds",
            "System clock minus node time, which does not follow its steps",
            registry=registry,
        )
        self._steps = Gauge(
            "fusewatch_system_clock_steps", "Steps of the system clock seen", registry=registry
        )
        self._ahead_ns = self._compare()

    def look(self) -> None:
        """Compare the clocks; to be called now and then."""
        before_ns, self._ahead_ns = self._ahead_ns, self._compare()
        self._ahead.set(self._ahead_ns / 1e9)
        if abs(self._ahead_ns - before_ns) > _STEP_NS:
            self._steps.inc()
            log.warning(
                "the system clock stepped, node time goes on as before",
                by_s=(self._ahead_ns - before_ns) / 1e9,
                ahead_s=self._ahead_ns / 1e9,
                fix="restart all nodes of the site to take the new time over",
            )

    def _compare(self) -> int:
        return difference_ns(self._system_ns, self._clock.now_ns, _TRIES)[0]
