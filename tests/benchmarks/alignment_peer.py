"""The peer of the alignment benchmark: a matcher of nearest stamps.

Our own stand-in for the way of ROS 2's ``message_filters`` approximate time synchroniser in
Python: each message is put into its queue, all queues are searched for the stamps nearest to it,
and the first combination that lies within the slop is a set, whose messages are taken out. A set
holds one message of each stream, so of streams of 30, 50 and 10 Hz no more than a third of the
first and a fifth of the second can ever be used, however clean they are.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.alignment_streams import MS, STREAMS, Truth

QUEUE = 10
SLOP_NS = 20 * MS


class NearestMatcher:
    """On each message, look in all queues for the stamps nearest to it.

    Args:
        queue: Messages kept a stream.
    """

    def __init__(self, queue: int = QUEUE) -> None:
        self._queues = [deque[int](maxlen=queue) for _ in STREAMS]

    def push(self, stream_index: int, stamp_ns: int) -> tuple[int, ...] | None:
        """Take a message; the stamps of a set, in order of the streams, if it completes one."""
        self._queues[stream_index].append(stamp_ns)
        near = []
        for queue in self._queues:
            close = [s for s in queue if abs(s - stamp_ns) <= SLOP_NS]
            if not close:
                return None
            near.append(sorted(close, key=lambda s: abs(s - stamp_ns)))
        for found in itertools.product(*near):
            if max(found) - min(found) <= SLOP_NS:
                for queue, stamp in zip(self._queues, found, strict=True):
                    queue.remove(stamp)
                return found
        return None


@dataclass(frozen=True)
class Matched:
    """What the peer made of a recording: sets of stamps, in the order in which they came out."""

    sets: list[tuple[int, ...]]

    def used(self, stream: str) -> set[int]:
        """Stamps of a stream that are in a set."""
        place = next(i for i, info in enumerate(STREAMS) if info.name == stream)
        return {found[place] for found in self.sets}

    @property
    def back_in_time(self) -> int:
        """Sets older than one before them."""
        firsts = [found[0] for found in self.sets]
        return sum(later < earlier for earlier, later in itertools.pairwise(firsts))


def matched(truths: Sequence[Truth]) -> Matched:
    """Run the peer over messages in the order of their arrival."""
    matcher = NearestMatcher()
    places = {info.name: place for place, info in enumerate(STREAMS)}
    sets = []
    for truth in sorted(truths, key=lambda t: t.arrival_ns):
        found = matcher.push(places[truth.sample.stream], truth.sample.timestamp_ns)
        if found is not None:
            sets.append(found)
    return Matched(sets)
