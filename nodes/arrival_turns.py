"""Arrivals in turns of bounded work, so that a fusion node with a backlog is asked to stop in time.

One poll may bring minutes of samples. What a turn leaves waits for the next; nothing is polled
meanwhile, so that no more than a poll ever waits. It is not acked: when the node is stopped
before its turn comes, it is sent again.
"""

from __future__ import annotations

import structlog

from pipeline.core.arrival import Arrival, fusion_began
from pipeline.core.clock import Clock
from pipeline.transport.receiver import Receiver

log = structlog.get_logger(__name__)

SECOND_NS = 1_000_000_000
AWAY_NS = 3 * SECOND_NS
"""Nothing was taken for so long, though the node looks four times a second: it was away."""
MOST = 256
"""Arrivals in one turn: some seconds of a scene."""


class ArrivalTurns:
    """See the module.

    Args:
        receiver: What brings arrivals.
        clock: Node time.
        most: Arrivals in one turn.
    """

    def __init__(self, receiver: Receiver, clock: Clock, most: int = MOST) -> None:
        self._receiver = receiver
        self._clock = clock
        self._most = most
        self._left: list[Arrival] = []
        self._polled_ns = clock.now_ns()

    def take(self, timeout_s: float) -> list[Arrival]:
        """The next turn; waits for the first arrival for at most `timeout_s`."""
        if not self._left:
            self._left = self._poll(timeout_s)
        turn, self._left = self._left[: self._most], self._left[self._most :]
        return turn

    def until_ns(self) -> int:
        """Timers may run up to this: now, or when what waits arrived."""
        return self._left[0].arrival_ns if self._left else self._clock.now_ns()

    @property
    def waiting(self) -> bool:
        """Whether something waits for the next turn."""
        return bool(self._left)

    def _poll(self, timeout_s: float) -> list[Arrival]:
        """What arrived; first that this node was away, if it was (stopped, asleep, busy)."""
        arrivals = self._receiver.poll(timeout_s)
        before_ns, self._polled_ns = self._polled_ns, self._clock.now_ns()
        if self._polled_ns - before_ns < AWAY_NS:
            return arrivals
        log.warning("was away", for_s=(self._polled_ns - before_ns) // SECOND_NS)
        back_ns = arrivals[0].arrival_ns if arrivals else self._polled_ns
        return [fusion_began(back_ns), *arrivals]
