"""Counts readings that come many to a message.

All readings of a message share what delayed it, so only its first one tells something of the
clock; the others follow a period apart, as `Sample.position` counts them. Messages follow each
other without a gap: what is missing between two is whole messages, however much they jitter.
Messages that were thought lost may come after all, and get their places in line back.
"""

from __future__ import annotations

import math

from pipeline.core.sample import Sample

_ROUNDING_NS = 2
_LATE = 0.75  # of a message's length: one that comes later tells that another was lost


class MessageCounts:
    """Tells which readings are of one message, and how far it is from one to the next.

    Args:
        period_ns: From one reading of a message to the next, nanoseconds.

    Attributes:
        many: Whether a message held more than one reading, ever.
        ahead: Readings of the message after its first, so far.
        length_ns: How long the last whole message is by its own stamps, nanoseconds.
    """

    def __init__(self, period_ns: float) -> None:
        self.many = False
        self.ahead = 0
        self.length_ns = 0.0
        self._period_ns = period_ns
        self._position = 0
        self._lost = 0  # messages counted as lost that may yet come

    def begin(self, sample: Sample) -> None:
        """A message begins."""
        self.length_ns = self.ahead * self._period_ns
        self.ahead, self._position = 0, sample.position

    def forget_lost(self) -> None:
        """The clock begins anew: nothing is waited for."""
        self._lost = 0

    def within(self, sample: Sample, step_ns: int) -> int:
        """How many readings it is on from the last one; 0: another message begins.

        Args:
            sample: The next reading.
            step_ns: How much later its stamp is than that of the last one.
        """
        counts = sample.position - self._position
        if counts <= 0 or abs(step_ns - counts * self._period_ns) > _ROUNDING_NS:
            return 0
        self.many = True
        self._position = sample.position
        self.ahead += counts
        return counts

    def between(self, counts: int) -> int:
        """How many readings it is on from the last one to the first of the next message.

        Args:
            counts: The same by its stamp.
        """
        length = self.ahead + 1
        lost = max(math.floor((counts - 1) / length + 1.0 - _LATE), -self._lost)
        self._lost = max(0, self._lost + lost)
        return 1 + length * lost
