"""Arrivals that wait, in a queue each for what must stay in order, taken by what they cost.

Deficit round robin (Shreedhar and Varghese 1995, *Efficient fair queueing using deficit round
robin*) with seconds of the node's time for bytes: each queue that waits gets an equal part of every
turn for each of its scenes, what it does not use is shared by the others, and what one arrival
costs more than is left is saved up for. So a queue that needs less than its part is empty at the
end of the turn, whatever the others hold.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping

from pipeline.core.arrival import Arrival, SampleArrived

Cost = Callable[[str], float]


class FairQueue:
    """See the module.

    Args:
        of_node: Queue of each node; one that is not named has its own.
        weights: How many parts each queue gets; 1 unless said.
    """

    def __init__(self, of_node: Mapping[str, str], weights: Mapping[str, float]) -> None:
        self._of_node = of_node
        self._weights = weights
        self._queues: dict[str, deque[tuple[int, Arrival]]] = {}
        self._saved: dict[str, float] = {}
        self._number = self._taken = 0
        self.samples: Counter[str] = Counter()
        """Samples that wait, by node."""

    def __len__(self) -> int:
        return self._number - self._taken

    def flow_of(self, node: str) -> str:
        """The queue of a node."""
        return self._of_node.get(node, node)

    def put(self, arrivals: Iterable[Arrival]) -> None:
        """Let arrivals wait, in their order."""
        for arrival in arrivals:
            self._number += 1
            queue = self._queues.setdefault(self.flow_of(arrival.node), deque())
            queue.append((self._number, arrival))
            self.samples[arrival.node] += isinstance(arrival, SampleArrived)

    def oldest_ns(self) -> dict[str, int]:
        """When the first that waits arrived, by queue."""
        return {flow: queue[0][1].arrival_ns for flow, queue in self._queues.items()}

    def take(self, most: int, seconds: float, cost: Cost) -> list[Arrival]:
        """The arrivals of the next turn, in the order in which they came; at least one that waits.

        Args:
            most: How many at most.
            seconds: What they may cost together.
            cost: What an arrival of a queue costs, seconds.
        """
        if len(self) <= most and self._needed(cost) <= seconds:
            taken = [one for queue in self._queues.values() for one in queue]
            self._queues.clear()
            self._saved.clear()
        else:
            taken = self._shared(most, seconds, cost)
        taken.sort(key=lambda one: one[0])
        for _, arrival in taken:
            self.samples[arrival.node] -= isinstance(arrival, SampleArrived)
        self.samples = +self.samples
        self._taken += len(taken)
        return [arrival for _, arrival in taken]

    def _needed(self, cost: Cost) -> float:
        return sum(len(queue) * cost(flow) for flow, queue in self._queues.items())

    def _shared(self, most: int, seconds: float, cost: Cost) -> list[tuple[int, Arrival]]:
        """Rounds over the queues until the turn is full; the next turn goes on with the next."""
        taken: list[tuple[int, Arrival]] = []
        left = seconds
        least = seconds / most  # of what nothing is known of, or what costs next to nothing
        part = max(seconds / sum(self._weights.get(f, 1.0) for f in self._queues), least)
        while self._queues and len(taken) < most and (left > 0 or not taken):
            flow = next(iter(self._queues))
            queue = self._queues.pop(flow)
            saved = self._saved.pop(flow, 0.0) + part * self._weights.get(flow, 1.0)
            each = max(cost(flow), least)
            while queue and saved >= each and len(taken) < most and (left > 0 or not taken):
                taken.append(queue.popleft())
                saved, left = saved - each, left - each
            if queue:  # behind all others
                self._queues[flow] = queue
                self._saved[flow] = saved
        return taken
