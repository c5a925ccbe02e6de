"""Full pictures that a capture node keeps for a while, in memory, of streams it sends small.

A ring per stream, bounded in time and in bytes. What falls out was kept for as long as was asked
and is no loss; it is counted by what it fell to. Nothing is written to disk: the ring survives
nothing more than its process.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RingLimits:
    """How long and how much of one stream is kept.

    Attributes:
        keep_ns: Longest time, on the node's own clock.
        max_bytes: Most bytes of JPEG.
    """

    keep_ns: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class FullPicture:
    """One picture.

    Attributes:
        order: Of its coming, growing.
        timestamp_ns: Its stamp, site time.
        kept_ns: When it came, node time.
        jpeg: The picture.
    """

    order: int
    timestamp_ns: int
    kept_ns: int
    jpeg: bytes


@dataclass(slots=True)
class _Ring:
    limits: RingLimits
    pictures: deque[FullPicture] = field(default_factory=deque)
    used: int = 0

    def fall_out(self) -> None:
        self.used -= len(self.pictures.popleft().jpeg)


class FullRing:
    """See the module. May be used from any thread.

    Args:
        limits: What is kept, by stream.

    Attributes:
        streams: Names of the streams.
    """

    def __init__(self, limits: Mapping[str, RingLimits]) -> None:
        self.streams = frozenset(limits)
        self._rings = {stream: _Ring(one) for stream, one in limits.items()}
        self._lock = threading.Lock()
        self._order = 0
        self._counters: Counter[str] = Counter()

    @property
    def counters(self) -> dict[str, int]:
        """Pictures ``kept`` so far, fallen out by ``age`` and by ``room``; those ``held`` now."""
        with self._lock:
            held = sum(len(ring.pictures) for ring in self._rings.values())
            used = sum(ring.used for ring in self._rings.values())
            return {**self._counters, "held": held, "held_bytes": used}

    def put(self, stream: str, timestamp_ns: int, jpeg: bytes, now_ns: int) -> None:
        """Keep a picture."""
        with self._lock:
            ring = self._rings[stream]
            self._order += 1
            ring.pictures.append(FullPicture(self._order, timestamp_ns, now_ns, jpeg))
            ring.used += len(jpeg)
            self._counters["kept"] += 1
            while ring.used > ring.limits.max_bytes:
                ring.fall_out()
                self._counters["room"] += 1
            self._age(ring, now_ns)

    def forget(self, now_ns: int) -> None:
        """Let go of what is too old, also of a stream of which nothing comes any more."""
        with self._lock:
            for ring in self._rings.values():
                self._age(ring, now_ns)

    def next(self, stream: str, after: int, from_ns: int, to_ns: int) -> FullPicture | None:
        """The first picture with a stamp in ``[from_ns, to_ns)`` that came after another.

        Args:
            stream: The stream.
            after: `FullPicture.order` of the other; 0: none.
            from_ns: Site time.
            to_ns: Site time.
        """
        with self._lock:
            for picture in self._rings[stream].pictures:
                if picture.order > after and from_ns <= picture.timestamp_ns < to_ns:
                    return picture
        return None

    def _age(self, ring: _Ring, now_ns: int) -> None:
        while ring.pictures and now_ns - ring.pictures[0].kept_ns > ring.limits.keep_ns:
            ring.fall_out()
            self._counters["age"] += 1
