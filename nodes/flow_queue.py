"""Arrivals that wait, of the capture nodes of one flow: in the order in which they came.

But for what is old: that goes in the order in which it was captured, and waits for nodes that have
not come so far, see `nodes.catching_up`. What a node sent stays in its order; what is no sample has
the place of the sample behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from nodes.catching_up import BEHIND_NS, NEVER, NEVER_OLD, CatchingUp
from pipeline.core.arrival import Arrival

Numbered: TypeAlias = tuple[int, Arrival]
"""An arrival and its place among all that came."""


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
        self._places: dict[str, tuple[int | None, int]] = {}
        """Of each node that waits: stamp of its first sample (None: none waits), and number."""
        self._count = 0
        self.any_old = False
        """Whether something old came since it was empty, and there is another node."""

    def __len__(self) -> int:
        return self._count

    def put(self, number: int, arrival: Arrival) -> None:
        """Let an arrival wait."""
        self._catching_up.hear(arrival)
        self._queues.setdefault(arrival.node, deque()).append((number, arrival))
        self._count += 1
        stamp_ns, first = self._places.get(arrival.node, (None, number))
        if stamp_ns is not None:
            return
        stamp_ns = self._catching_up.place(arrival)
        self._places[arrival.node] = stamp_ns, first
        if stamp_ns is not None and len(self._nodes) > 1:
            self.any_old = self.any_old or stamp_ns < arrival.arrival_ns - BEHIND_NS

    def everything(self) -> list[Numbered]:
        """All that waits, each node's in its order."""
        return [one for queue in self._queues.values() for one in queue]

    def oldest_ns(self) -> int:
        """When the first that waits arrived."""
        return min(self._queues[node][0][1].arrival_ns for node in self._places)

    def free(self, now_ns: int) -> bool:
        """Whether something waits that does not wait for another node."""
        return bool(self._next(now_ns))

    def take(self, now_ns: int) -> Numbered | None:
        """The next; None when all that is here waits for another node."""
        node = self._next(now_ns)
        if not node:
            return None
        self._count -= 1
        queue = self._queues[node]
        taken = queue.popleft()
        if queue:
            places = (self._catching_up.place(one) for _, one in queue)
            stamp_ns = next((place for place in places if place is not None), None)
            self._places[node] = stamp_ns, queue[0][0]
        else:
            del self._places[node]
        return taken

    def _next(self, now_ns: int) -> str:
        """The node whose turn it is; empty: all that is here waits for another one."""
        until_ns = now_ns - BEHIND_NS if self.any_old else NEVER
        news = [(n, node) for node, (at, n) in self._places.items() if at is None or at >= until_ns]
        first = min(news, default=(NEVER_OLD, ""))
        if len(news) == len(self._places):
            return first[1]
        old = ((at, n, node) for node, (at, n) in self._places.items() if at is not None)
        stamp_ns, number, node = min(old)
        if first[0] < number or self._waits(node, stamp_ns, now_ns):
            return first[1]
        return node

    def _waits(self, node: str, stamp_ns: int, now_ns: int) -> bool:
        """Whether the oldest sample that is here waits for a node of which none is."""
        awaited = self._catching_up.awaited
        return any(
            awaited(other, node, stamp_ns, now_ns)
            for other in self._nodes
            if self._places.get(other, (None, 0))[0] is None
        )
