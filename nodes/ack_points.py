"""How far each node's samples may be acked, by session.

The engine speaks of streams and sequences; the receiver and the store want them per node and
session. A session is one life of a capture node, and sequences begin anew with it, so a point
is only given once a sample of that session has come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.core.arrival import Arrival, SampleArrived, StreamOpened


class AckPoints:
    """Follows arrivals; see the module."""

    def __init__(self) -> None:
        self._sessions: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self._received: dict[str, int] = {}
        self._acked: dict[str, int] = {}

    def follow(self, arrival: Arrival) -> None:
        """Note an arrival, in order."""
        if isinstance(arrival, StreamOpened):
            self._opened(arrival.node, arrival.session, arrival.info.name)
        elif isinstance(arrival, SampleArrived):
            sample = arrival.sample
            known = self._received.get(sample.stream, -1)
            self._received[sample.stream] = max(known, sample.sequence)

    def points(self, released: Mapping[str, int]) -> Iterator[tuple[str, str, str, int]]:
        """New points as (node, session, stream, sequence), and note them as given.

        Args:
            released: See `pipeline.detection.engine.Engine.newly_released`.
        """
        for stream, sequence in released.items():
            point = min(sequence, self._received.get(stream, -1))
            node = self._owners.get(stream)
            if node is not None and point > self._acked.get(stream, -1):
                self._acked[stream] = point
                yield node, self._sessions[node], stream, point

    def _opened(self, node: str, session: str, stream: str) -> None:
        if self._sessions.get(node) != session:
            self._sessions[node] = session
            for other in [s for s, owner in self._owners.items() if owner == node]:
                self._received.pop(other, None)
                self._acked.pop(other, None)
        self._owners[stream] = node
