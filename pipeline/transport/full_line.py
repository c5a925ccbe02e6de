"""What full pictures a sender was asked for and has yet to give, see `fetching`. No thread.

Pictures are looked for in the ring when their turn comes, not before: what waits here is requests,
so memory stays that of the ring. One that falls out of the ring meanwhile is not given.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from pipeline.core.codec import Buffer
from pipeline.transport.fetching import LONGEST_NS, MOST_WAITING, Fetch, Fetched, Full
from pipeline.transport.full_ring import FullPicture, FullRing
from pipeline.transport.protocol import SAMPLE_COST, Message, encode
from pipeline.transport.send_buffer import SendBuffer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FullFrame:
    """A picture with what is said of it."""

    said: Full
    jpeg: bytes


Answer: TypeAlias = FullFrame | Fetched


@dataclass(slots=True)
class _Asked:
    """One request.

    Attributes:
        fetch: As it came.
        until_ns: Node time after which it is of no use.
        why: Why not all is given, as far as it is known.
        over: Whether nothing more of it is given.
        after: The last picture looked at, by its order in the ring.
        given: Pictures given.
    """

    fetch: Fetch
    until_ns: int
    why: str
    over: bool
    after: int = 0
    given: int = 0


class FullLine:
    """See the module. Not thread-safe: its owner locks.

    Args:
        ring: Where pictures are kept; None: nowhere.
        buffer: Of the link, in whose credit they have their part.
        max_message: Largest cost of one picture sent, bytes.
        counters: Where it is counted what happens.

    Attributes:
        now_ns: Node time; its owner keeps it up to date.
    """

    def __init__(
        self,
        ring: FullRing | None,
        buffer: SendBuffer,
        max_message: int,
        counters: Counter[str],
    ) -> None:
        self._ring = ring or FullRing({})
        self._buffer = buffer
        self._waiting: deque[_Asked] = deque()
        self._last = 0
        self.max_message = max_message
        self.now_ns = 0
        self._counters = counters

    @property
    def streams(self) -> list[str]:
        """Streams of which there are full pictures."""
        return sorted(self._ring.streams)

    @property
    def sent_total(self) -> int:
        """Cost of all that was sent on this connection, samples and pictures."""
        return self._buffer.sent_total

    def begin(self) -> None:
        """A new connection: what was asked on the old one is asked again, or is not wanted."""
        self._waiting.clear()
        self._last = 0

    def ask(self, fetch: Fetch) -> None:
        """The receiver asks."""
        if fetch.request <= self._last:
            self._counters["full_asked_again"] += 1
            return
        if len(self._waiting) >= MOST_WAITING:
            self._counters["full_asked_too_often"] += 1
            return
        self._last = fetch.request
        why = self._objection(fetch)
        self._counters["full_refused" if why else "full_asked"] += 1
        self._waiting.append(_Asked(fetch, self.now_ns + fetch.within_ns, why, over=bool(why)))
        span_s = round((fetch.to_ns - fetch.from_ns) / 1e9, 1)
        log.info(
            "full pictures asked for",
            stream=fetch.stream,
            event_id=fetch.event,
            span_s=span_s,
            refused=why,
        )

    def take_behind(self, _max_bytes: int, _max_samples: int) -> Answer | None:
        """The next picture, or that a request is over."""
        if not self._waiting:
            return None
        asked = self._waiting[0]
        picture = self._next(asked)
        if picture is None:
            self._waiting.popleft()
            return Fetched(asked.fetch.request, asked.why)
        self._buffer.sent_total += SAMPLE_COST + len(picture.jpeg)
        self._counters["full_given"] += 1
        number, asked.given = asked.given, asked.given + 1
        return FullFrame(Full(asked.fetch.request, number, picture.timestamp_ns), picture.jpeg)

    def _objection(self, fetch: Fetch) -> str:
        if fetch.stream not in self._ring.streams:
            return "no full pictures of this stream are kept"
        if not 0 < fetch.to_ns - fetch.from_ns <= LONGEST_NS:
            return f"a span is longer than 0 and at most {LONGEST_NS // 10**9} s"
        return ""

    def _next(self, asked: _Asked) -> FullPicture | None:
        fetch = asked.fetch
        if asked.over:
            return None
        if self.now_ns > asked.until_ns:
            asked.why, asked.over = "not all could be sent in time", True
            self._counters["full_out_of_time"] += 1
            return None
        while found := self._ring.next(fetch.stream, asked.after, fetch.from_ns, fetch.to_ns):
            asked.after = found.order
            if SAMPLE_COST + len(found.jpeg) <= self.max_message:
                return found
            asked.why = "some are larger than a message may be"
            self._counters["full_too_large"] += 1
        return None


def frames_of(item: Message | FullFrame) -> list[Buffer]:
    """Frames of a message that is not of samples."""
    return [encode(item.said), item.jpeg] if isinstance(item, FullFrame) else [encode(item)]
