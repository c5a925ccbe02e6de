"""Arrivals in turns of bounded work, fairly: a scene with a backlog does not keep another waiting.

Every turn takes in what has come, however much waits: it is put into queues (`FairQueue`), from
which the turn takes what it has time for, and no more than `nodes.turn_span` allows. A capture node
gets credit for what was taken, so no more of it waits here than its credit. What waits is not
acked: when the node is stopped before its turn comes, it is sent again.

What was taken later than what came after it counts as arrived then: the engine, the recording
and a replay see one order and one time. So a turn without a backlog is as it came. With one, nodes
that share scenes wait for each other, see `nodes.catching_up`.

That nothing came of a node is only known up to the last look, and not of one whose samples wait
here: timers run up to then (`until_ns`), and who has waited is said (`SamplesWait`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import structlog

from nodes.fair_queue import Cost, FairQueue
from nodes.turn_span import first_turn
from pipeline.core.arrival import Arrival, SamplesWait, fusion_began
from pipeline.core.clock import Clock

log = structlog.get_logger(__name__)

SECOND_NS = 1_000_000_000
AWAY_NS = 3 * SECOND_NS
"""Nothing was taken for so long, though the node looks four times a second: it was away."""
MOST = 256
"""Arrivals in one turn: some seconds of a scene."""
MANY, POLLS = 64, 16
"""After a poll that brought so many there may be more; so many polls in one turn."""
WAITED_NS = SECOND_NS
"""Of a node whose samples have waited for so long it is said, as often."""
TURN_S = 0.25
"""What the arrivals of a turn may cost, seconds."""


class Receives(Protocol):
    """What brings arrivals, see `pipeline.transport.receiver.Receiver`."""

    def poll(self, timeout_s: float, waiting: Mapping[str, int]) -> list[Arrival]:
        """What arrived, when so many samples of each node still wait."""


class ArrivalTurns:
    """See the module.

    Args:
        receiver: What brings arrivals.
        clock: Node time.
        queue: Where they wait.
        cost: What an arrival of a queue costs, seconds; None: nothing is known.
        most: Arrivals in one turn.
    """

    def __init__(
        self,
        receiver: Receives,
        clock: Clock,
        queue: FairQueue,
        cost: Cost | None = None,
        most: int = MOST,
    ) -> None:
        self._receiver = receiver
        self._clock = clock
        self._queue = queue
        self._cost = cost or (lambda _flow: 0.0)
        self._most = most
        self._polled_ns = clock.now_ns()
        self._said_ns: dict[str, int] = {}
        self._left: list[Arrival] = []  # taken from the queue, and too much for the last turn
        self.last_ns = 0
        """Arrival time of the last one taken."""

    def take(self, timeout_s: float, *, poll: bool = True) -> list[Arrival]:
        """The next turn; waits for the first arrival for at most `timeout_s`.

        Args:
            timeout_s: Not waited for while something waits.
            poll: Whether to take in what has come since; not when the node is to end.
        """
        turn = self._poll(0.0 if self.waiting else timeout_s) if poll else []
        waited = self._waited()
        left = self._left or self._queue.take(self._most, TURN_S, self._cost, self._polled_ns)
        count = first_turn(left)
        taken, self._left = left[:count], left[count:]
        begins_ns = taken[0].arrival_ns if taken else self.last_ns
        turn += [SamplesWait(begins_ns, node, self._polled_ns) for node in waited]
        return [self._stamped(arrival) for arrival in (*turn, *taken)]

    def until_ns(self) -> int:
        """Timers may run up to this: the last look at what came, or when what waits arrived."""
        waits_ns = [*self._free_ns().values(), *(one.arrival_ns for one in self._left)]
        oldest_ns = min(waits_ns, default=self._polled_ns)
        return max(oldest_ns, self.last_ns) if self.waiting else oldest_ns

    def lags_ns(self) -> dict[str, int]:
        """How long the first that waits for this node has waited, by queue."""
        now_ns = self._clock.now_ns()
        return {flow: now_ns - at_ns for flow, at_ns in self._free_ns().items()}

    @property
    def waiting(self) -> bool:
        """Whether something waits for the next turn, and not for another capture node."""
        return bool(self._left or self._queue.free(self._polled_ns))

    def _poll(self, timeout_s: float) -> list[Arrival]:
        """Take in what arrived; that this node was away, if it was (stopped, asleep, busy)."""
        arrivals = self._receiver.poll(timeout_s, self._queue.samples)
        self._queue.put(arrivals)
        polls, more = 1, arrivals
        while len(more) >= MANY and polls < POLLS:
            more = self._receiver.poll(0.0, self._queue.samples)
            self._queue.put(more)
            polls += 1
        before_ns, self._polled_ns = self._polled_ns, self._clock.now_ns()
        if self._polled_ns - before_ns < AWAY_NS:
            return []
        log.warning("was away", for_s=(self._polled_ns - before_ns) // SECOND_NS)
        return [fusion_began(arrivals[0].arrival_ns if arrivals else self._polled_ns)]

    def _free_ns(self) -> dict[str, int]:
        """When the first that waits arrived, of queues from which something can be taken."""
        free = self._queue.free(self._polled_ns)
        return {flow: at_ns for flow, at_ns in self._queue.oldest_ns().items() if flow in free}

    def _waited(self) -> list[str]:
        """Nodes of which it is to be said that their samples wait."""
        oldest_ns, limit_ns = self._queue.oldest_ns(), self._polled_ns - WAITED_NS
        behind = {flow for flow, at_ns in oldest_ns.items() if at_ns <= limit_ns}
        queue = self._queue
        waited = [n for n, count in queue.samples.items() if count and queue.flow_of(n) in behind]
        self._said_ns = {node: self._said_ns.get(node, -WAITED_NS) for node in waited}
        due = [node for node, said_ns in self._said_ns.items() if said_ns <= limit_ns]
        self._said_ns |= dict.fromkeys(due, self._polled_ns)
        return due

    def _stamped(self, arrival: Arrival) -> Arrival:
        if arrival.arrival_ns < self.last_ns:
            return replace(arrival, arrival_ns=self.last_ns)
        self.last_ns = arrival.arrival_ns
        return arrival
