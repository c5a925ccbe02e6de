"""What waits in a send buffer: samples, and what is said about streams between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, TypeAlias

import msgspec

from pipeline.core.codec import JOIN_BELOW, Buffer, SampleHeader
from pipeline.core.sample import StreamInfo
from pipeline.transport.protocol import SAMPLE_COST, Resume
from pipeline.transport.shared_arena import Lease
from pipeline.transport.spool_segment import Place

OnFull: TypeAlias = Literal["drop_oldest", "drop_newest", "block"]
OffsetAt: TypeAlias = Callable[[int], tuple[int, int]]
"""Clock offset and its uncertainty at a node time, nanoseconds."""


class State(IntEnum):
    """Where a sample is."""

    WAITING = 0
    SENT = 1
    FORGOTTEN = 2  # sent, its memory let go
    GONE = 3  # acked, dropped, or in the spool alone
    SPOOLED = 4  # to be sent again, its payload only in the spool


@dataclass(slots=True, eq=False)
class Stream:
    """A stream as the sender knows it.

    Attributes:
        name: Its name.
        on_full: Its rule.
        descriptions: ``(order, info)``, oldest first; those still needed to send again.
        next_sequence: Of the next sample.
        waiting: Samples not sent, oldest first.
        sent: Samples sent and not acked, oldest first.
        waiting_bytes: Cost of all in `waiting`.
        end_order: Place of its end in the line; None while it goes on.
        max_waiting: Most samples that may wait; None: what the buffer holds.
        point: Where the receiver wanted it to go on when it last welcomed us.
    """

    name: str
    on_full: OnFull
    descriptions: list[tuple[int, StreamInfo]]
    next_sequence: int = 0
    waiting: deque[Kept] = field(default_factory=deque)
    sent: deque[Kept] = field(default_factory=deque)
    waiting_bytes: int = 0
    end_order: int | None = None
    max_waiting: int | None = None
    point: Resume = field(default_factory=lambda: Resume(0, 0))

    @property
    def info(self) -> StreamInfo:
        """Its latest description."""
        return self.descriptions[-1][1]

    def oldest_waiting(self) -> Kept | None:
        """The first sample that is still to be sent."""
        while self.waiting and self.waiting[0].state is State.GONE:
            self.waiting.popleft()
        return self.waiting[0] if self.waiting else None

    def mark_sent(self, kept: Kept) -> None:
        """A sample that waits is sent now."""
        spooled = kept.state is State.SPOOLED
        kept.state = State.FORGOTTEN if spooled else State.SENT
        while self.waiting.popleft() is not kept:
            pass  # dropped before it could be sent
        self.waiting_bytes -= kept.cost
        self.sent.append(kept)

    def wind_back(self, wanted: int) -> list[Kept]:
        """What was sent from `wanted` on waits again; what of it memory has let go of for good."""
        keep: deque[Kept] = deque()
        again: list[Kept] = []
        lost: list[Kept] = []
        for kept in self.sent:
            if kept.state is State.GONE:
                continue
            if kept.header.sequence < wanted:
                keep.append(kept)
            elif kept.state is State.FORGOTTEN and kept.stored is None:
                lost.append(kept)
            else:
                forgotten = kept.state is State.FORGOTTEN
                kept.state = State.SPOOLED if forgotten else State.WAITING
                self.waiting_bytes += kept.cost
                again.append(kept)
        self.sent = keep
        self.waiting = deque([*again, *(k for k in self.waiting if k.state is not State.GONE)])
        return lost

    def to_say(self, next_order: int) -> Iterator[Item]:
        """All that waits in memory, with its descriptions and its end; see `prune`."""
        yield from self.waiting
        yield from self.descriptions_again(next_order)
        if self.end_order is not None:
            yield Ended(self.end_order, self)

    def descriptions_again(self, next_order: int) -> list[Described]:
        """Descriptions that what waits needs; all that is not in memory comes from `next_order`."""
        first = min(self.waiting[0].order, next_order) if self.waiting else next_order
        old = [pair for pair in self.descriptions if pair[0] < first][-1:]
        later = [pair for pair in self.descriptions if pair[0] > first]
        return [Described(order, info) for order, info in (*old, *later)]

    def prune(self, next_order: int) -> None:
        """Let go of descriptions that nothing sent or waiting needs.

        All that is not in memory comes from `next_order`.
        """
        first = next((kept.order for kept in (*self.sent, *self.waiting)), next_order)
        first = min(first, next_order)
        while len(self.descriptions) > 1 and self.descriptions[1][0] < first:
            self.descriptions.pop(0)


def cost_of(size: int) -> int:
    """Bytes of credit and buffer that a payload of `size` bytes takes; joined ones are padded."""
    return SAMPLE_COST + (size if size >= JOIN_BELOW else -(-size // 8) * 8)


class Kept(msgspec.Struct, eq=False, gc=False):
    """A sample in the buffer. A struct, because thousands are made a second.

    Attributes:
        order: Place in the line.
        stream: Its stream.
        header: Its header.
        payload: Bytes, a lease on shared memory, or None once forgotten.
        cost: Bytes of credit and buffer it takes.
        state: Where it is.
        placed: Whether its stamp is site time; if not, it is node time and has yet to be moved.
        stored: Where it lies in the spool as well, if it does.
    """

    order: int
    stream: Stream
    header: SampleHeader
    payload: Buffer | Lease | None
    cost: int
    state: State = State.WAITING
    placed: bool = True
    stored: Place | None = None

    def place(self, offset_at: OffsetAt) -> None:
        """Put its stamp on site time, unless it is."""
        if not self.placed:
            offset_ns, unsure_ns = offset_at(self.header.timestamp_ns)
            self.header.timestamp_ns += offset_ns
            self.header.uncertainty_ns += unsure_ns
            self.placed = True


@dataclass(frozen=True, slots=True)
class Described:
    """In the line: from here on the stream is this."""

    order: int
    info: StreamInfo


@dataclass(frozen=True, slots=True)
class Ended:
    """In the line: the stream ends here."""

    order: int
    stream: Stream


Item: TypeAlias = Kept | Described | Ended
