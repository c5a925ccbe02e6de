"""Capture nodes that catch up: who has come how far, and who is waited for.

After an outage every node sends what it kept as fast as its link bears: the readings of an hour
come within a second, its pictures take minutes. Taken as they come, the windows of that hour would
be cut without the pictures. So what is *old*, captured more than `BEHIND_NS` before its turn comes,
waits for the nodes that share its scenes and have not come so far: for one that says that more of
it waits to be sent (`LedgerReport.waits`), and for one not heard since the sender of what is old
is back. Neither for longer than for streams after a restart, `GRACE_NS`, without a sample.

What is not old waits for nobody here: how long a window waits is its scene's ``latency_s``.

Stream processors know this as watermark alignment (Apache Flink, FLIP-182).
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from pipeline.core.arrival import Arrival, LedgerReport, SampleArrived
from pipeline.detection.resume_hold import GRACE_NS

BEHIND_NS = 2_000_000_000
"""A node of which nothing came for longer, though it gives account every second, was away."""
NEVER, NEVER_OLD = -1, 1 << 62


@dataclass(slots=True)
class _Node:
    """What is known of a node.

    Attributes:
        heard_ns: When the last of it arrived.
        back_ns: Since then it has been heard without a gap.
        moved_ns: When its last sample arrived, or it was back; a return right after one that
            brought no sample does not count, or a bad line could hold up others for ever.
        missed_ns: Since then it has been waited for; up to `heard_ns`: since then it has not.
        newest_ns: Newest stamp of its samples.
        more: Whether more waits to be sent, as it said last.
    """

    heard_ns: int = NEVER
    back_ns: int = NEVER
    moved_ns: int = NEVER
    missed_ns: int = NEVER
    newest_ns: int = NEVER
    more: bool = False


class CatchingUp:
    """See the module.

    Args:
        streams: Those that scenes are made of; samples of others never wait and tell nothing.
    """

    def __init__(self, streams: Container[str]) -> None:
        self._streams = streams
        self._nodes: dict[str, _Node] = {}

    def place(self, arrival: Arrival) -> int | None:
        """What an arrival is ordered by where it is old: its stamp; None: it is no sample."""
        if not isinstance(arrival, SampleArrived):
            return None
        return arrival.sample.timestamp_ns if arrival.sample.stream in self._streams else NEVER_OLD

    def hear(self, arrival: Arrival) -> None:
        """Something arrived of a node; to be told of everything, in order."""
        node = self._nodes.setdefault(arrival.node, _Node())
        now_ns = arrival.arrival_ns
        if node.heard_ns == NEVER or now_ns - node.heard_ns > BEHIND_NS:
            stayed = node.heard_ns - node.back_ns > GRACE_NS
            if node.heard_ns == NEVER or node.moved_ns > node.back_ns or stayed:
                node.moved_ns = now_ns
            node.back_ns = now_ns
            node.more = True  # until it gives account
        node.heard_ns = now_ns
        if isinstance(arrival, LedgerReport):
            node.more = arrival.waits
        elif isinstance(arrival, SampleArrived) and arrival.sample.stream in self._streams:
            node.moved_ns = now_ns
            node.newest_ns = max(node.newest_ns, arrival.sample.timestamp_ns)

    def awaited(self, other: str, node: str, stamp_ns: int, now_ns: int) -> bool:
        """Whether a sample that is old waits for a node of which nothing is here.

        Args:
            other: That node.
            node: The node of the sample, which was heard.
            stamp_ns: Stamp of the sample.
            now_ns: Node time.
        """
        known, own = self._nodes.setdefault(other, _Node()), self._nodes[node]
        if known.newest_ns >= stamp_ns:
            return False
        if known.heard_ns < own.back_ns:
            if known.missed_ns <= known.heard_ns:
                known.missed_ns = own.back_ns
            return now_ns < known.missed_ns + GRACE_NS
        return known.more and now_ns < known.moved_ns + GRACE_NS
