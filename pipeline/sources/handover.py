"""What a reader says, and the bounded queue it says it through.

A reader runs in a thread or a process of its own and talks to its supervisor in messages.
The queue between them holds a bounded number of samples and bytes. When it is full the
reader either waits (``waits=True``) or the oldest samples give way, and how many did is the
next message the taker gets: nothing is lost in silence.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.core.ledger import DropReason
from pipeline.core.sample import Sample, StreamInfo


@dataclass(frozen=True, slots=True)
class Opened:
    """The source is open and has these streams."""

    infos: tuple[StreamInfo, ...]


@dataclass(frozen=True, slots=True)
class Announced:
    """The streams of the open source are these from now on."""

    infos: tuple[StreamInfo, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples, oldest first per stream."""

    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Readings of one stream that did not become samples."""

    stream: str
    reason: DropReason
    detail: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Alive:
    """``read()`` returned and had nothing."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The source cannot be opened or was lost; the reader is at its end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The source gave everything it had; the reader is at its end."""


Message: TypeAlias = Opened | Announced | Batch | Rejected | Alive | Lost | Ended


class Handover:
    """Queue from a reader to whoever takes its messages; may be used from any thread.

    Args:
        waits: Whether `put` waits for room instead of dropping the oldest samples.
        max_samples: Samples held at most.
        max_bytes: Payload bytes held at most; one batch always fits.
    """

    def __init__(self, *, waits: bool, max_samples: int = 1024, max_bytes: int = 32 << 20) -> None:
        self._waits = waits
        self._max_samples = max_samples
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._queue: deque[Message] = deque()
        self._samples = 0
        self._bytes = 0
        self._overrun: Counter[str] = Counter()
        self._closed = False

    def put(self, message: Message) -> None:
        """Hand a message over; after `close` it is for nobody and forgotten."""
        with self._changed:
            if isinstance(message, Alive) and self._queue:
                return
            if isinstance(message, Batch):
                self._make_room(message)
            if self._closed:
                return
            self._queue.append(message)
            self._account(message, 1)
            self._changed.notify_all()

    def take(self, timeout_s: float) -> Message | None:
        """The oldest message, or None when none came in time or none will come."""
        with self._changed:
            self._changed.wait_for(self._has_news, timeout_s)
            if self._overrun:
                return self._next_overrun()
            if not self._queue:
                return None
            message = self._queue.popleft()
            self._account(message, -1)
            self._changed.notify_all()
            return message

    def close(self) -> None:
        """No message follows. What is queued can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def finished(self) -> bool:
        """Whether it is closed and everything was taken."""
        with self._changed:
            return self._closed and not self._queue and not self._overrun

    def _has_news(self) -> bool:
        return bool(self._queue or self._overrun or self._closed)

    def _next_overrun(self) -> Rejected:
        stream, count = self._overrun.popitem()
        detail = "the node took samples slower than they came"
        return Rejected(stream, DropReason.READER_OVERRUN, detail, count)

    def _make_room(self, batch: Batch) -> None:
        need = sum(s.nbytes for s in batch.samples)
        if self._waits:
            self._changed.wait_for(lambda: self._closed or self._fits(batch, need))
            return
        while not self._fits(batch, need):
            self._drop_oldest()

    def _fits(self, batch: Batch, need: int) -> bool:
        if self._samples == 0:
            return True
        room_for_count = self._samples + len(batch.samples) <= self._max_samples
        return room_for_count and self._bytes + need <= self._max_bytes

    def _drop_oldest(self) -> None:
        index = next(i for i, m in enumerate(self._queue) if isinstance(m, Batch))
        dropped = self._queue[index]
        del self._queue[index]
        self._account(dropped, -1)
        if isinstance(dropped, Batch):
            self._overrun.update(s.stream for s in dropped.samples)

    def _account(self, message: Message, sign: int) -> None:
        if isinstance(message, Batch):
            self._samples += sign * len(message.samples)
            self._bytes += sign * sum(s.nbytes for s in message.samples)
