"""What one direction of a network line does to packets. No socket, no clock.

Order is kept: a packet never passes the one before, as on a real line and unlike ``netem`` with
jitter. So a packet that waits holds up those behind it. Every packet that does not come out is
counted with the reason.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass

MILLISECOND_NS = 1_000_000
_JITTER_MEAN = 0.25  # of the longest wait


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a line.

    Attributes:
        delay_ms: What every packet takes at least.
        jitter_ms: Longest further wait for the medium; exponential, the mean a quarter of it.
        loss: Share of packets that are lost, each by its own luck.
        rate_mbps: Megabits a second; None: no limit.
        queue_ms: Longest wait for the rate; what would wait longer is dropped.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    rate_mbps: float | None = None
    queue_ms: float = 500.0


# From a machine at the edge to the fusion node, and back.
LAN = Way(0.2, 0.4), Way(0.2, 0.4)
BUSY_WIFI = Way(1.0, 29.0, loss=0.02), Way(1.0, 29.0, loss=0.02)
DSL = Way(20.0, 3.0, rate_mbps=2.0), Way(5.0, 2.0, rate_mbps=20.0)


class LineQueue:
    """Packets on their way.

    Args:
        way: What happens to them; may be replaced at any time, also from another thread.
        seed: Of the luck.

    Attributes:
        cut: Whether the line is cut: nothing comes out, what is on its way is lost.
        counts: Packets ``taken``, ``given``, ``lost``, ``cut`` and ``overflowed``.
    """

    def __init__(self, way: Way, seed: int) -> None:
        self.way = way
        self.cut = False
        self.counts: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._sent_ns = 0  # when the line has sent all that it took
        self._last_ns = 0  # when the last packet comes out

    @property
    def due_ns(self) -> int | None:
        """When the next packet comes out; None when there is none."""
        return self._waiting[0][0] if self._waiting else None

    def push(self, packet: bytes, now_ns: int) -> None:
        """A packet is sent."""
        self.counts["taken"] += 1
        way = self.way
        start_ns = max(now_ns, self._sent_ns)
        if self.cut:
            self.counts["cut"] += 1
        elif start_ns - now_ns > way.queue_ms * MILLISECOND_NS:
            self.counts["overflowed"] += 1
        else:
            self._sent_ns = start_ns + _sending_ns(len(packet), way.rate_mbps)
            if self._random.random() < way.loss:  # on the way, so it took its time all the same
                self.counts["lost"] += 1
                return
            self._last_ns = max(self._last_ns, self._sent_ns + self._travel_ns(way))
            self._waiting.append((self._last_ns, packet))

    def pop(self, now_ns: int) -> list[bytes]:
        """What has come out by now."""
        found = []
        while self._waiting and self._waiting[0][0] <= now_ns:
            found.append(self._waiting.popleft()[1])
        if self.cut:
            self.counts["cut"] += len(found) + len(self._waiting)
            self._waiting.clear()
            return []
        self.counts["given"] += len(found)
        return found

    def _travel_ns(self, way: Way) -> int:
        wait_ms = 0.0
        if way.jitter_ms:
            wait_ms = self._random.expovariate(1 / (_JITTER_MEAN * way.jitter_ms))
        return round((way.delay_ms + min(wait_ms, way.jitter_ms)) * MILLISECOND_NS)


def _sending_ns(size: int, rate_mbps: float | None) -> int:
    return 0 if rate_mbps is None else round(size * 8_000 / rate_mbps)
