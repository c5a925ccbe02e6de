"""Gives memory back that nobody uses: when a backlog goes, and every few minutes.

While a line is cut a capture node holds what waits, some ten thousand payloads. When they are gone
the C library keeps their memory: what little came later lies scattered among them, and holds every
page. So whenever most of a backlog is gone, it is asked to give back what nobody uses.

Every other burst leaves its mark too (windows scored side by side after a line came back, a big
answer of a database), and each that is a little larger than all before makes the process larger
for good. So every node is asked again every few minutes; it takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.core.clock import Clock
from pipeline.transport.memory import give_back

EVERY_NS = 300_000_000_000
"""Between two rounds: seldom enough that taking the pages anew costs nothing."""

DEEP = 1_000
"""Samples that wait: fewer are under way at any time, and hold little."""

LEFT = 0.25
"""Share of a backlog that is left when most of its memory is free."""


class MemoryReturn:
    """Watches how much waits.

    Args:
        give: Gives back what nobody uses.
    """

    def __init__(self, give: Callable[[], object] = give_back) -> None:
        self._give = give
        self._most = 0

    def look(self, waiting: int) -> None:
        """Give memory back if most of a deep backlog is gone.

        Args:
            waiting: Samples that wait for their ack or their turn.
        """
        self._most = max(self._most, waiting)
        if self._most >= DEEP and waiting <= LEFT * self._most:
            self._most = waiting
            self._give()


class MemoryRounds:
    """Gives memory back every `EVERY_NS`.

    Args:
        clock: Node time.
        give: Gives back what nobody uses.
    """

    def __init__(self, clock: Clock, give: Callable[[], object] = give_back) -> None:
        self._clock = clock
        self._give = give
        self._next_ns = clock.now_ns() + EVERY_NS

    def look(self) -> None:
        """Give memory back if it is time."""
        now_ns = self._clock.now_ns()
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + EVERY_NS
            self._give()
