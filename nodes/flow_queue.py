"""Arrivals that wait, of the capture nodes of one flow: in the order in which they came.

But for what is old: that goes in the order in which it was captured, and waits for nodes that have
not come so far, see `nodes.catching_up`. What a node sent stays in its order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TypeAlias

from nodes.catching_up import CatchingUp
from pipeline.core.arrival import Arrival, SampleArrived

Numbered: TypeAlias = tuple[int, Arrival]
"""An arrival and its place among all that came."""
Heap: TypeAlias = list[tuple[int, int, str]]


class FlowQueue:
    """See the module.

    Args:
        nodes: Capture nodes of the flow.
        catching_up: Who is waited for.
    """

    def __init__(self, nodes: Sequence[str], catching_up: CatchingUp) -> None:
        self._nodes = nodes
        self._catching_up = catching_up
        self._queues: dict[str, deque[Numbered]] = {}
        self._news: Heap = []  # what is first of each node: what is no sample, then as it came
        self._old: Heap = []  # the same of what is old: by stamp
        self._count = 0
        self.any_old = False
        """Whether something old came since it was empty."""

    def __len__(self) -> int:
        return self._count

    def put(self, number: int, arrival: Arrival) -> None:
        """Let an arrival wait."""
        self._catching_up.hear(arrival)
        queue = self._queues.setdefault(arrival.node, deque())
        queue.append((number, arrival))
        self._count += 1
        self.any_old = self.any_old or self._is_old(arrival, arrival.arrival_ns)
        if len(queue) == 1:
            self._first(arrival.node, arrival.arrival_ns)

    def everything(self) -> list[Numbered]:
        """All that waits, each node's in its order."""
        return [one for queue in self._queues.values() for one in queue]

    def oldest_ns(self) -> int:
        """When the first that waits arrived."""
        return min(queue[0][1].arrival_ns for queue in self._queues.values() if queue)

    def free(self, now_ns: int) -> bool:
        """Whether something waits that does not wait for another node."""
        return self._next(now_ns) is not None

    def take(self, now_ns: int) -> Numbered | None:
        """The next; None when all that is here waits for another node."""
        heads = self._next(now_ns)
        if heads is None:
            return None
        node = heappop(heads)[2]
        taken = self._queues[node].popleft()
        self._count -= 1
        if self._queues[node]:
            self._first(node, now_ns)
        return taken

    def _next(self, now_ns: int) -> Heap | None:
        """The heap that the next is on top of; None: all waits for another node."""
        old, news = self._old, self._news
        # What is no sample may stand before something older than all that is here.
        if not old or (news and not news[0][0]):
            return news or None
        stamp_ns, number, node = old[0]
        if news and news[0][1] < number:
            return news
        for other in self._nodes:
            here = other == node or self._queues.get(other)
            if not here and self._catching_up.awaited(other, node, stamp_ns, now_ns):
                return news or None
        return old

    def _first(self, node: str, now_ns: int) -> None:
        """What a node's queue begins with has changed."""
        number, arrival = self._queues[node][0]
        sample = arrival.sample if isinstance(arrival, SampleArrived) else None
        if sample is not None and self._is_old(arrival, now_ns):
            heappush(self._old, (sample.timestamp_ns, number, node))
        else:
            heappush(self._news, (sample is not None, number, node))

    def _is_old(self, arrival: Arrival, now_ns: int) -> bool:
        return len(self._nodes) > 1 and self._catching_up.old(arrival, now_ns)
