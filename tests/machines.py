"""A pretended machine, whose clocks behave as those of Linux and are moved by the test."""

from __future__ import annotations

from pipeline.core.clock import NodeClock


class Machine:
    """Clocks of one machine.

    Args:
        utc_ns: What its system clock shows at the begin.
        up_ns: How long it has been up then.
    """

    def __init__(self, utc_ns: int, up_ns: int) -> None:
        self._system_ns = utc_ns - up_ns
        self._up_ns = up_ns
        self._asleep_ns = 0

    def run(self, by_ns: int) -> None:
        """Time passes."""
        self._up_ns += by_ns

    def step(self, by_ns: int) -> None:
        """Somebody sets the system clock."""
        self._system_ns += by_ns

    def sleep(self, by_ns: int, error_ns: int = 0) -> None:
        """It is suspended; its battery clock is off by `error_ns` on waking."""
        self._up_ns += by_ns + error_ns
        self._asleep_ns += by_ns + error_ns

    def since_boot_ns(self) -> int:
        """``CLOCK_BOOTTIME``."""
        return self._up_ns

    def system_ns(self) -> int:
        """``CLOCK_REALTIME``."""
        return self._up_ns + self._system_ns

    def slept_ns(self) -> int:
        """``CLOCK_BOOTTIME`` less ``CLOCK_MONOTONIC``."""
        return self._asleep_ns

    def node_clock(self) -> NodeClock:
        """Node time of a process that starts now."""
        return NodeClock(since_boot_ns=self.since_boot_ns, system_ns=self.system_ns)
