"""What a receiver wants of full pictures, and what came of it; see `fetching`. No thread.

A request is *open* until its node says that it gave all, or its time is over. While the node is
away it stays open; each new connection of the node is asked what is still missing. Over, it is
remembered for a while, so that what comes late is known for what it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.core.jpeg import MAX_PIXELS, jpeg_size
from pipeline.core.sample import Encoding, Sample
from pipeline.transport.fetching import MOST_PICTURES, Fetch, Fetched, Full
from pipeline.transport.peer import Peer
from pipeline.transport.protocol import SAMPLE_COST, Refusal

REMEMBERED = 256
Say: TypeAlias = Callable[[bytes, Fetch], None]
Refuse: TypeAlias = Callable[[bytes, Refusal, str], None]
PeerOf: TypeAlias = Callable[[str], Peer | None]


@dataclass(frozen=True, slots=True)
class FullArrived:
    """A full picture came, for an event."""

    event: str
    sample: Sample


@dataclass(frozen=True, slots=True)
class FetchOver:
    """A request is over; ``why`` says why not all came, where that is known."""

    event: str
    stream: str
    why: str


@dataclass(slots=True)
class _Request:
    """One request.

    Attributes:
        number: Its number.
        node: Who is asked.
        stream: Of which pictures are wanted.
        event: For which.
        from_ns: Stamps of what is wanted begin here, site time.
        to_ns: And end before this.
        until_ns: Site time at which it is over.
        asked_from_ns: As `from_ns`, of what has not come yet.
        next: Number of the next picture on this connection.
        got: Pictures that came.
        over: Whether nothing is waited for.
    """

    number: int
    node: str
    stream: str
    event: str
    from_ns: int
    to_ns: int
    until_ns: int
    asked_from_ns: int
    next: int = 0
    got: int = 0
    over: bool = False

    def said(self, now_ns: int) -> Fetch:
        """What is still missing, as it is asked for."""
        within_ns = max(0, self.until_ns - now_ns)
        span = (self.asked_from_ns, self.to_ns)
        return Fetch(self.number, self.stream, self.event, *span, within_ns)

    def fault_of(self, full: Full, jpeg: bytes | memoryview) -> str:
        """Why a picture is no answer; empty: it is one."""
        if not self.from_ns <= full.timestamp_ns < self.to_ns:
            return "its stamp is not of the span"
        size = jpeg_size(jpeg)
        if size is None or size[0] * size[1] > MAX_PIXELS:
            return "it is no JPEG of a possible size"
        return "there are too many" if self.got >= MOST_PICTURES else ""


class Fetches:
    """See the module. Not thread-safe: it belongs to who polls the receiver.

    Args:
        peer_of: A node that has a connection, by its name; None: it has none.
        say: Says something by a connection.
        refuse: Refuses what came by a connection.

    Attributes:
        counters: What became of requests and of pictures, by name.
    """

    def __init__(self, peer_of: PeerOf, say: Say, refuse: Refuse) -> None:
        self._peer_of = peer_of
        self._say = say
        self._refuse = refuse
        self.counters: Counter[str] = Counter()
        self._requests: dict[int, _Request] = {}
        self._last = 0
        self._came: list[FullArrived | FetchOver] = []

    def ask(
        self, node: str, stream: str, event: str, span: tuple[int, int], until_ns: int, now_ns: int
    ) -> None:
        """Want the full pictures of a span ``[from, to)``; `came` will say that it is over.

        Args:
            node: Capture node that gives the stream.
            stream: The stream.
            event: Event they are for.
            span: Site time.
            until_ns: Until then they are of use, site time.
            now_ns: Site time.
        """
        self._last += 1
        self._forget()
        self.counters["asked"] += 1
        request = _Request(self._last, node, stream, event, *span, until_ns, span[0])
        self._requests[request.number] = request
        peer = self._peer_of(node)
        if peer is not None:
            self._put(request, peer, now_ns)

    @property
    def has_news(self) -> bool:
        """Whether `came` has something to say."""
        return bool(self._came)

    def came(self) -> list[FullArrived | FetchOver]:
        """What came since the last call, in order."""
        came, self._came = self._came, []
        return came

    def welcomed(self, peer: Peer, keeps: frozenset[str], now_ns: int) -> None:
        """A node that keeps pictures of some streams has a new connection: ask what is open."""
        peer.full = keeps
        for request in self._requests.values():
            if request.node == peer.node:
                request.next = 0
                if not request.over:
                    self._put(request, peer, now_ns)

    def take(self, peer: Peer, full: Full, jpeg: bytes | memoryview) -> int:
        """A picture came; the credit it takes, 0 when it was paid for before."""
        cost = SAMPLE_COST + len(jpeg)
        request = self._requests.get(full.request)
        if request is None or request.node != peer.node:
            self._unasked(peer, full.request)
            return cost
        if full.number < request.next:
            self.counters["again"] += 1
            return 0
        request.next = full.number + 1
        if request.over:
            self.counters["late"] += 1
        elif fault := request.fault_of(full, jpeg):
            self._refuse(peer.connection, Refusal.MALFORMED, f"full picture: {fault}")
        else:
            request.got += 1
            request.asked_from_ns = max(request.asked_from_ns, full.timestamp_ns + 1)
            self._keep(request, full, jpeg)
        return cost

    def answered(self, peer: Peer, fetched: Fetched) -> None:
        """A node says that it gave all."""
        request = self._requests.get(fetched.request)
        if request is None or request.node != peer.node:
            self._unasked(peer, fetched.request)
        elif not request.over:
            self._end(request, fetched.why, "answered")

    def tick(self, now_ns: int) -> None:
        """Give up what is not over in time."""
        for request in tuple(self._requests.values()):
            if not request.over and now_ns >= request.until_ns:
                there = self._peer_of(request.node) is not None
                why = "was too slow" if there else "could not be reached"
                self._end(request, f"capture node {request.node} {why}", "unanswered")

    def _put(self, request: _Request, peer: Peer, now_ns: int) -> None:
        """Ask a node that is there, if it keeps such pictures at all."""
        if request.stream in peer.full:
            self._say(peer.connection, request.said(now_ns))
        else:
            self._end(request, f"capture node {peer.node} keeps none", "unanswered")

    def _keep(self, request: _Request, full: Full, jpeg: bytes | memoryview) -> None:
        stamp_ns = full.timestamp_ns
        sample = Sample(request.stream, full.number, stamp_ns, bytes(jpeg), Encoding.JPEG)
        self._came.append(FullArrived(request.event, sample))
        self.counters["came"] += 1

    def _end(self, request: _Request, why: str, how: str) -> None:
        request.over = True
        self.counters[how] += 1
        self._came.append(FetchOver(request.event, request.stream, why))

    def _unasked(self, peer: Peer, number: int) -> None:
        """What answers no request of this node: one that is forgotten, or never was."""
        if number in self._requests or not 0 < number <= self._last:
            self._refuse(peer.connection, Refusal.OUT_OF_PLACE, "this was not asked for")
        else:
            self.counters["late"] += 1

    def _forget(self) -> None:
        """Remember no more than so many that are over."""
        over = [number for number, request in self._requests.items() if request.over]
        for number in over[: max(0, len(over) - REMEMBERED)]:
            del self._requests[number]
