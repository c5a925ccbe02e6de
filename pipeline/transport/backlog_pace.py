"""How fast a backlog is sent behind what is new: as fast as the link bears, and no faster.

What is under way holds up what is given to the link after it. So backlog is sent in rounds: a
window of bytes, then nothing of it until the receiver has taken all of them in, as its credit
tells. A round that took less than `TARGET_NS` doubles the window, one that took longer halves
it: what is new waits about so long behind backlog, on any link. (The idea is that of LEDBAT,
RFC 6817: a background transfer watches the delay that it causes itself.) Half of the credit is
never used for backlog.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

TARGET_NS = 250_000_000
"""Credit is told every 100 ms at least, so less cannot be seen."""
LEAST_BYTES = 32 << 10
MOST_BYTES = 8 << 20


Taken_co = TypeVar("Taken_co", covariant=True)


class Behind(Protocol[Taken_co]):
    """A buffer that has something to send behind what is new."""

    @property
    def sent_total(self) -> int:
        """Cost of all that was sent on this connection."""
        ...

    def take_behind(self, max_bytes: int, max_samples: int, /) -> Taken_co:
        """What is to be sent next of it; nothing, where there is nothing."""
        ...


class BacklogPace:
    """See the module. No clock: it is told the time.

    Attributes:
        window: Bytes of a round.
        now_ns: Node time; its owner keeps it up to date.
    """

    def __init__(self) -> None:
        self.window = LEAST_BYTES
        self.now_ns = 0
        self._credit = 0
        self._began_ns: int | None = None
        self._sent = 0
        self._mark = 0

    def begin(self, credit: int) -> None:
        """A new connection, on which so much may be under way."""
        self._credit = credit
        self._began_ns = None

    def take(self, buffer: Behind[Taken_co], left: int, most_samples: int) -> Taken_co | None:
        """What to send now of a backlog, if anything.

        Args:
            buffer: Gives it.
            left: Credit that is left.
            most_samples: Most samples.
        """
        sent = 0 if self._began_ns is None else self._sent
        room = min(left - self._credit // 2, self.window - sent)
        if room <= 0:
            return None
        before = buffer.sent_total
        taken = buffer.take_behind(room, most_samples)
        if buffer.sent_total > before:
            if self._began_ns is None:
                self._began_ns = self.now_ns
            self._mark = buffer.sent_total
            self._sent = sent + self._mark - before
        return taken

    def granted(self, granted: int) -> None:
        """The receiver raised the credit: it has taken in all but the first credit of it."""
        if self._began_ns is None or granted - self._credit < self._mark:
            return
        took_ns = self.now_ns - self._began_ns
        if took_ns > TARGET_NS:
            self.window = max(LEAST_BYTES, self.window // 2)
        elif self._sent >= self.window:
            self.window = min(MOST_BYTES, 2 * self.window)
        self._began_ns = None
