"""How long a stream has been blind: a count that a flicker neither fills nor empties.

The first blind window begins a *stretch*, with its whole length. From then on blind time is
counted against time in which the stream saw, until that is as long and the stretch is forgotten.
Only windows count: time in which none was cut says nothing.
"""

from __future__ import annotations

import msgspec

from pipeline.detection.sight import same_reason


class Stretch(msgspec.Struct):
    """What is remembered of one stream or node. All times are in nanoseconds.

    Attributes:
        start_ns: Start of the stretch; None: there is none.
        end_ns: End of the last window in which it was blind.
        blind_ns: How long it was blind in this stretch.
        seen_ns: How long it saw in this stretch.
        good_ns: How long it has seen since without a break.
        reason: Why it is blind.
        reason_ns: Since when for this reason.
        ever: Whether it ever saw.
    """

    start_ns: int | None = None
    end_ns: int = 0
    blind_ns: int = 0
    seen_ns: int = 0
    good_ns: int = 0
    reason: str = ""
    reason_ns: int = 0
    ever: bool = False

    @property
    def lasted_ns(self) -> int:
        """How much longer it was blind than it saw."""
        return self.blind_ns - self.seen_ns

    def blind(self, start_ns: int, end_ns: int, step_ns: int, reason: str) -> None:
        """It was blind in a window.

        Args:
            start_ns: Start of the window.
            end_ns: End of the window.
            step_ns: What of it is new.
            reason: Why.
        """
        if self.start_ns is None:
            self.start_ns, step_ns = start_ns, end_ns - start_ns
        if not same_reason(reason, self.reason):
            self.reason_ns = start_ns
        self.reason = reason
        self.blind_ns += step_ns
        self.end_ns, self.good_ns = end_ns, 0

    def is_before(self, end_ns: int) -> bool:
        """Whether a window that ends then is of a time before it was last blind."""
        return self.start_ns is not None and end_ns <= self.end_ns

    def saw(self, step_ns: int) -> None:
        """It saw in a window of which `step_ns` is new."""
        self.ever = True
        self.good_ns += step_ns
        if self.start_ns is not None:
            self.seen_ns += step_ns

    def forget(self) -> None:
        """The stretch is over."""
        self.start_ns, self.reason = None, ""
        self.blind_ns = self.seen_ns = self.good_ns = 0
