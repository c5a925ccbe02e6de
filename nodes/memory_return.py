"""Gives memory back when a backlog goes.

While a line is cut a capture node holds what waits, some ten thousand payloads. When they are gone
the C library keeps their memory: what little came later lies scattered among them, and holds every
page. So whenever most of a backlog is gone, it is asked to give back what nobody uses.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.transport.memory import give_back

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
