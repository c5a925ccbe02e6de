"""How much was captured in what one turn takes, however quickly it arrived.

Windows are scored when a turn is over, and an event is given pictures and sound that the rings of
`pipeline.detection.evidence_rings` still hold then. What comes after an outage, or as fast as it
can be read, must not push them out first.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core.arrival import Arrival, SampleArrived

TURN_NS = 4_000_000_000
"""Of one stream, by its stamps; in replays by arrival, too. Eight windows of a scene, from where on
more are hardly quicker, and well within `pipeline.detection.evidence_rings.RING_EXTRA_S`."""


class TurnSpan:
    """Tells where a turn is over; see the module."""

    def __init__(self) -> None:
        self._first_ns: dict[str, int] = {}

    def begin(self) -> None:
        """A turn begins."""
        self._first_ns.clear()

    def over(self, arrival: Arrival) -> bool:
        """Whether the turn is over before an arrival, which is in the next one then."""
        if not isinstance(arrival, SampleArrived):
            return False
        stamp_ns = arrival.sample.timestamp_ns
        first_ns = self._first_ns.setdefault(arrival.sample.stream, stamp_ns)
        if abs(stamp_ns - first_ns) < TURN_NS:
            return False
        self._first_ns = {arrival.sample.stream: stamp_ns}
        return True


def first_turn(arrivals: Sequence[Arrival]) -> int:
    """How many of these arrivals are taken in one turn."""
    span = TurnSpan()
    return next((n for n, arrival in enumerate(arrivals) if span.over(arrival)), len(arrivals))
