"""What a sender keeps until it is committed on the other side. No thread, no socket.

Samples wait in one line in the order in which they were given, with the descriptions and ends
of streams between them. What was sent stays until it is acked, so that it can be sent again.

When the buffer is full
    First the payloads of the oldest sent samples are let go: they are on the other side
    already, so nothing is lost unless the receiver fails before it committed them; then they
    are counted as dropped. Only what has not been sent counts against the stream's rule:
    ``drop_newest`` gives up the sample that does not fit, ``drop_oldest`` the oldest waiting
    one of the same stream, or, where it has none, of the stream that holds most; ``block``
    makes the caller wait. A stream that may block never loses a waiting sample to another.

A sample that came before the clock offset was known waits in node time until `place` puts it
on site time; its owner sends nothing while there is such a one.

Every sample leaves through exactly one of `acked`, `dropped`: the ledger is told there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from pipeline.core.codec import Buffer, SampleHeader
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import StreamInfo
from pipeline.transport.kept import (
    Described,
    Ended,
    Item,
    Kept,
    OffsetAt,
    OnFull,
    State,
    Stream,
    cost_of,
)
from pipeline.transport.protocol import SAMPLE_COST, Resume
from pipeline.transport.shared_arena import Lease

_SWEEP = 1024
LAST = 2**62
# Looking a member up costs, and there are many.
_WAITING, _SENT, _FORGOTTEN, _GONE, _SPOOLED = State
_TO_SEND = (_WAITING, _SPOOLED)


class SendBuffer:
    """See the module. Not thread-safe: its owner locks.

    Args:
        capacity: Bytes kept at most, samples at their cost.
        ledger: Where samples are accounted.

    Attributes:
        used: Bytes taken or set aside.
        pending: Samples in memory that are neither acked nor dropped.
        sent_total: Cost of all samples sent on this connection.
        unplaced: Samples that are not on site time yet.
    """

    def __init__(self, capacity: int, ledger: Ledger) -> None:
        self._capacity = capacity
        self._ledger = ledger
        self._order = 0
        self._line: deque[Item] = deque()
        self._sent_line: deque[Kept] = deque()
        self._dead = 0
        self.streams: dict[str, Stream] = {}
        self.used = self.pending = self.sent_total = self.unplaced = 0

    def describe(
        self, info: StreamInfo, on_full: OnFull | None = None, max_waiting: int | None = None
    ) -> None:
        """Add a stream, or change its description from the next sample on."""
        stream = self.streams.get(info.name)
        if stream is None:
            stream = self.streams[info.name] = Stream(info.name, on_full or "drop_oldest", [])
        elif on_full is not None:
            stream.on_full = on_full
        stream.max_waiting = max_waiting or stream.max_waiting
        if stream.descriptions and stream.info == info and stream.end_order is None:
            return
        self._order += 1
        stream.end_order = None
        stream.descriptions.append((self._order, info))
        self._line.append(Described(self._order, info))

    def end(self, name: str) -> None:
        """Put the end of a stream in the line."""
        stream = self.streams[name]
        if stream.end_order is None:
            self._order += 1
            stream.end_order = self._order
            self._line.append(Ended(self._order, stream))

    def reserve(self, stream: Stream, cost: int) -> bool:
        """Set memory aside for a sample, by the rules of the module; `push` is to follow.

        Returns:
            False when there is none to be had: the sample waits (``block``) or is dropped.
        """
        while self.used + cost > self._capacity:
            if self._forget_oldest_sent():
                continue
            victim = self._victim(stream) if stream.on_full == "drop_oldest" else None
            if victim is None:
                return False
            self._drop(victim, DropReason.BUFFER_FULL)
        self.used += cost
        return True

    def push(
        self, stream: Stream, header: SampleHeader, payload: Buffer | Lease, *, placed: bool = True
    ) -> None:
        """Put a sample at the end of the line and give it its sequence."""
        self._order += 1
        header.sequence = stream.next_sequence
        stream.next_sequence += 1
        kept = Kept(self._order, stream, header, payload, cost_of(header.size), placed=placed)
        self.unplaced += not placed
        stream.waiting.append(kept)
        stream.waiting_bytes += kept.cost
        self.pending += 1
        if stream.max_waiting and len(stream.waiting) > stream.max_waiting:
            oldest = stream.oldest_waiting()
            if oldest is not None and len(stream.waiting) > stream.max_waiting:
                self._drop(oldest, DropReason.BUFFER_FULL)
        self._line.append(kept)

    def place(self, offset_at: OffsetAt) -> None:
        """Put what is not on site time there."""
        for stream in self.streams.values():
            for kept in stream.waiting:
                kept.place(offset_at)
        self.unplaced = 0

    def refuse(self, stream: Stream, reason: DropReason) -> None:
        """Give a sample up at the door; it has its sequence, so the gap can be seen."""
        stream.next_sequence += 1
        self._ledger.dropped(stream.name, reason)

    def take(
        self, max_bytes: int, max_samples: int, *, before: int = LAST
    ) -> list[Kept] | Described | Ended | None:
        """What is to be sent next: samples up to a limit, or one thing said about a stream.

        At least one sample is given however large it is. Nothing from the place `before` on.
        """
        taken: list[Kept] = []
        total, line = 0, self._line
        while line:
            item = line[0]
            if not isinstance(item, Kept):
                if not taken and item.order < before:
                    line.popleft()
                    return item
                break
            if item.state is _WAITING or item.state is _SPOOLED:
                total += item.cost
                full = total > max_bytes or len(taken) >= max_samples
                if (taken and full) or item.order >= before:
                    break
                item.stream.mark_sent(item)
                self._sent_line.append(item)
                self.sent_total += item.cost
                taken.append(item)
            line.popleft()
        return taken or None

    def take_behind(self, _max_bytes: int, _max_samples: int) -> list[Kept] | Described | None:
        """What is to be sent only while there is nothing else."""
        return None

    def acked(self, name: str, sequence: int) -> int:
        """Everything of a stream up to and including `sequence` is committed; how many."""
        stream = self.streams.get(name)
        count = 0
        if stream is None:
            return 0
        while stream.sent and stream.sent[0].header.sequence <= sequence:
            kept = stream.sent.popleft()
            if kept.state is not _GONE:
                self._release(kept)
                count += 1
        if count:
            self._ledger.delivered(name, count)
            stream.prune(self.next_order)
            self._sweep()
        return count

    def rejected(self, name: str, sequences: frozenset[int], reason: DropReason) -> None:
        """The receiver refuses samples for good."""
        stream = self.streams.get(name)
        for kept in stream.sent if stream else ():
            if kept.header.sequence in sequences and kept.state is not _GONE:
                self._drop(kept, reason)

    def rewind(self, resume: Mapping[str, Resume]) -> None:
        """Line everything up again from the receiver's resume points, as first sent.

        What the receiver has stays sent; what it wants and was forgotten is dropped.
        """
        items: list[Item] = []
        self.sent_total = 0
        for stream in self.streams.values():
            point = resume.get(stream.name, Resume(0, 0))
            for sequence, reason in point.rejected.items():
                self.rejected(stream.name, frozenset((sequence,)), reason)
            if point.acked:  # only now: what was refused was not delivered
                self.acked(stream.name, point.acked - 1)
            for kept in stream.wind_back(point.wanted):
                self._drop(kept, DropReason.BUFFER_FULL)
            items += stream.to_say(self.next_order)
        self._line = deque(sorted(items, key=lambda item: item.order))
        self._sent_line = deque(kept for kept in self._sent_line if kept.state is _SENT)

    def give_up(self, reason: DropReason) -> None:
        """Drop everything that is not acked."""
        for stream in self.streams.values():
            for kept in [*stream.sent, *stream.waiting]:
                if kept.state is not _GONE:
                    self._drop(kept, reason)
            stream.sent.clear()
            stream.waiting.clear()
        self._line.clear()
        self._sent_line.clear()

    @property
    def waits_for_clock(self) -> bool:
        """Whether samples wait to be put on site time."""
        return self.unplaced > 0

    @property
    def next_order(self) -> int:
        """No sample that is not in memory yet has a lower place in the line."""
        return self._order + 1

    @property
    def left(self) -> int:
        """Samples that are neither acked nor dropped."""
        return self.pending

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._line

    def _forget_oldest_sent(self) -> bool:
        while self._sent_line:
            kept = self._sent_line.popleft()
            if kept.state is _SENT:
                self._free(kept)
                kept.state = _FORGOTTEN
                return True
        return False

    def _victim(self, stream: Stream) -> Kept | None:
        found = stream.oldest_waiting()
        if found is None:
            others = [s for s in self.streams.values() if s.on_full == "drop_oldest"]
            largest = max(others, key=lambda s: s.waiting_bytes, default=None)
            found = largest.oldest_waiting() if largest else None
        return found

    def _drop(self, kept: Kept, reason: DropReason) -> None:
        if kept.state in _TO_SEND:
            kept.stream.waiting_bytes -= kept.cost
        self._release(kept)
        self._ledger.dropped(kept.stream.name, reason)
        self._sweep()

    def _release(self, kept: Kept) -> None:
        if kept.state is not _FORGOTTEN and kept.state is not _SPOOLED:
            self._free(kept)
            self._dead += 1
        kept.state = _GONE
        self.unplaced -= not kept.placed
        self.pending -= 1
        self.used -= SAMPLE_COST

    def _free(self, kept: Kept) -> None:
        if isinstance(kept.payload, Lease):
            kept.payload.free()
        kept.payload = None
        self.used -= kept.cost - SAMPLE_COST

    def _sweep(self) -> None:
        """Take the gone out of both lines once they are the larger part."""
        if self._dead > _SWEEP and 2 * self._dead > len(self._line) + len(self._sent_line):
            self._dead = 0
            self._line = deque(
                i for i in self._line if not isinstance(i, Kept) or i.state in _TO_SEND
            )
            self._sent_line = deque(k for k in self._sent_line if k.state is _SENT)
            for stream in self.streams.values():
                stream.sent = deque(k for k in stream.sent if k.state is not _GONE)
                stream.waiting = deque(k for k in stream.waiting if k.state in _TO_SEND)
