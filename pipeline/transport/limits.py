"""What one peer of a listening node may ask of it, and the bucket by which rates are kept."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.settings import Settings

BURST_S = 2.0
"""What a peer did not use of its rate counts for so long, seconds."""


class LimitSettings(Settings):
    """Limits per peer, each far above what a node of ours does.

    What goes over one is refused, counted by its reason and answered with it, and the peer's
    connection is ended; a node of ours comes back by itself and goes on where it was.
    """

    messages_per_s: float = Field(default=10_000.0, gt=0)
    """Most messages of one key (of one connection, where there are no keys) in a second; many
    small samples go in one message. One that is refused counts as fifty."""

    hellos_per_s: float = Field(default=5.0, gt=0)
    """Most times a second that one key (or connection) may say HELLO."""

    connections_per_s: float = Field(default=200.0, gt=0)
    """Most connections a second from one address."""

    unheard: int = Field(default=128, ge=1)
    """Most connections that have said nothing yet, such as half-open handshakes; beyond it the
    oldest one goes, of the address that has most of them."""

    peers: int = Field(default=1024, ge=1)
    """Most nodes connected at once."""


class Bucket:
    """Lets a rate pass, and what was not used of it for `BURST_S`.

    Args:
        per_s: The rate.
        now_ns: The time; it begins full.
    """

    __slots__ = ("_left", "_most", "_per_ns", "_then_ns")

    def __init__(self, per_s: float, now_ns: int) -> None:
        self._per_ns = per_s / 1e9
        self._most = self._left = max(1.0, per_s * BURST_S)
        self._then_ns = now_ns

    def take(self, now_ns: int, cost: float = 1.0) -> bool:
        """Whether `cost` may pass now; if it may not, nothing is left."""
        grown = max(0, now_ns - self._then_ns) * self._per_ns
        self._left = min(self._most, self._left + grown) - cost
        self._then_ns = now_ns
        if self._left >= 0:
            return True
        self._left = 0.0
        return False
