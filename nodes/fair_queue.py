"""Arrivals that wait, in a queue each for nodes that share scenes, taken by what they cost.

Deficit round robin (Shreedhar and Varghese 1995, *Efficient fair queueing using deficit round
robin*) with seconds of the node's time for bytes: each queue that waits gets an equal part of every
turn for each of its scenes, what it does not use is shared by the others, and what one arrival
costs more than is left is saved up for. So a queue that needs less than its part is empty at the
end of the turn, whatever the others hold. Of a queue in which all waits for a node that has not
come so far (`nodes.catching_up`) nothing is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping

from nodes.catching_up import CatchingUp
from nodes.flow_queue import FlowQueue, Numbered
from pipeline.core.arrival import Arrival, SampleArrived

Cost = Callable[[str], float]


class FairQueue:
    """See the module.

    Args:
        of_node: Queue of each node; one that is not named has its own.
        weights: How many parts each queue gets; 1 unless said.
        streams: Those that scenes are made of, see `CatchingUp`.
    """

    def __init__(
        self,
        of_node: Mapping[str, str],
        weights: Mapping[str, float],
        streams: Container[str] = (),
    ) -> None:
        self._of_node = of_node
        self._weights = weights
        self._nodes: dict[str, list[str]] = {}
        for node, flow in of_node.items():
            self._nodes.setdefault(flow, []).append(node)
        self._catching_up = CatchingUp(streams)
        self._queues: dict[str, FlowQueue] = {}
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
            flow = self.flow_of(arrival.node)
            queue = self._queues.get(flow)
            if queue is None:
                nodes = self._nodes.get(flow, ())
                queue = self._queues[flow] = FlowQueue(nodes, self._catching_up)
            queue.put(self._number, arrival)
            self.samples[arrival.node] += isinstance(arrival, SampleArrived)

    def oldest_ns(self) -> dict[str, int]:
        """When the first that waits arrived, by queue."""
        return {flow: queue.oldest_ns() for flow, queue in self._queues.items()}

    def free(self, now_ns: int) -> set[str]:
        """Queues of which something can be taken."""
        return {flow for flow, queue in self._queues.items() if queue.free(now_ns)}

    def take(self, most: int, seconds: float, cost: Cost, now_ns: int) -> list[Arrival]:
        """The arrivals of the next turn; at least one if any queue is free.

        Args:
            most: How many at most.
            seconds: What they may cost together.
            cost: What an arrival of a queue costs, seconds.
            now_ns: Node time.
        """
        old = any(queue.any_old for queue in self._queues.values())
        if not old and len(self) <= most and self._needed(cost) <= seconds:
            taken = [one for queue in self._queues.values() for one in queue.everything()]
            taken.sort(key=lambda one: one[0])
            self._queues.clear()
            self._saved.clear()
        else:
            taken = self._as_it_came(self._shared(most, seconds, cost, now_ns))
        for _, arrival in taken:
            self.samples[arrival.node] -= isinstance(arrival, SampleArrived)
        self.samples = +self.samples
        self._taken += len(taken)
        return [arrival for _, arrival in taken]

    def _needed(self, cost: Cost) -> float:
        return sum(len(queue) * cost(flow) for flow, queue in self._queues.items())

    def _shared(self, most: int, seconds: float, cost: Cost, now_ns: int) -> list[Numbered]:
        """Rounds over the queues until the turn is full; the next turn goes on with the next."""
        taken: list[Numbered] = []
        left = seconds
        least = seconds / most  # of what nothing is known of, or what costs next to nothing
        free = [flow for flow, queue in self._queues.items() if queue.free(now_ns)]
        part = max(seconds / (sum(self._weights.get(f, 1.0) for f in free) or 1.0), least)
        rounds = dict.fromkeys(free)
        while rounds and len(taken) < most and (left > 0 or not taken):
            flow = next(iter(rounds))
            del rounds[flow]
            queue = self._queues.pop(flow)
            saved = self._saved.pop(flow, 0.0) + part * self._weights.get(flow, 1.0)
            each = max(cost(flow), least)
            while saved >= each and len(taken) < most and (left > 0 or not taken):
                one = queue.take(now_ns)
                if one is None:
                    break
                taken.append(one)
                saved, left = saved - each, left - each
            if queue:  # behind all others
                self._queues[flow] = queue
            if queue.free(now_ns):
                rounds[flow] = None
                self._saved[flow] = saved
        return taken

    def _as_it_came(self, taken: list[Numbered]) -> list[Numbered]:
        """What was taken in the order in which it came, but each queue's in its own order."""
        last: dict[str, int] = {}
        keyed: list[tuple[int, Numbered]] = []
        for one in taken:
            flow = self.flow_of(one[1].node)
            last[flow] = max(one[0], last.get(flow, 0))
            keyed.append((last[flow], one))
        keyed.sort(key=lambda pair: pair[0])
        return [one for _, one in keyed]
