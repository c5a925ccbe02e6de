"""What waits in a send buffer: samples, and what is said about streams between them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, TypeAlias

import msgspec

from pipeline.core.codec import JOIN_BELOW, Buffer, SampleHeader
from pipeline.core.sample import StreamInfo
from pipeline.transport.protocol import SAMPLE_COST
from pipeline.transport.shared_arena import Lease

OnFull: TypeAlias = Literal["drop_oldest", "drop_newest", "block"]


class State(IntEnum):
    """Where a sample is."""

    WAITING = 0
    SENT = 1
    FORGOTTEN = 2  # sent, its memory let go
    GONE = 3  # acked or dropped


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

    @property
    def info(self) -> StreamInfo:
        """Its latest description."""
        return self.descriptions[-1][1]


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
    """

    order: int
    stream: Stream
    header: SampleHeader
    payload: Buffer | Lease | None
    cost: int
    state: State = State.WAITING


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
