"""A send buffer with a disk behind it: what waits for long is written down, and read back.

Samples are written in the order in which they came, once they have waited `after_ns` for
their ack, or at once when more than half of the memory waits to be sent. One that waits to be
sent leaves the memory by that (`Kind.SAMPLE`) and is read back when its turn comes. One that
was sent, or whose stream blocks, stays in memory and is only copied (`Kind.COPY`), so that it
is still there after this process was killed; if its memory has to be let go, its payload is
read back too. Streams with `max_waiting` want to be fresh and are never written.

The limits of the spool hold for every stream, whatever its ``on_full``; that of a stream counts
only where the disk cannot keep up.

A sample that came before the clock offset was known is written in node time, with what that is
counted from (`ClockBase`), and put on site time when it is read back. A later life of the
process can do that as well until the machine is booted anew; after that nobody knows when it
was, and it is dropped as ``untimed``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.core.codec import Buffer, SampleHeader
from pipeline.core.ledger import DropReason, Ledger
from pipeline.transport.kept import (
    Described,
    Ended,
    Item,
    Kept,
    OffsetAt,
    State,
    Stream,
    cost_of,
)
from pipeline.transport.protocol import SAMPLE_COST, Resume
from pipeline.transport.send_buffer import LAST, SendBuffer
from pipeline.transport.shared_arena import Lease
from pipeline.transport.spool_clock import put_on_site_time
from pipeline.transport.spool_format import Kind
from pipeline.transport.spool_reader import Unsent
from pipeline.transport.spool_recall import Recalled
from pipeline.transport.spool_segment import Place
from pipeline.transport.spool_session import SpoolSession

_BATCH_BYTES = 1 << 20
_FEWEST_SENT = 1 << 17


class ToWrite(NamedTuple):
    """A sample to be written to the spool, how, and its payload as it is now."""

    kept: Kept
    kind: Kind
    payload: Buffer


class SpoolingBuffer(SendBuffer):
    """See the module. Not thread-safe: its owner locks; `disk` is used by one thread.

    Args:
        capacity: Bytes kept in memory at most, samples at their cost.
        ledger: Where samples are accounted.
        disk: What the session has on disk.
        after_ns: A sample that waited this long for its ack is written.
    """

    def __init__(self, capacity: int, ledger: Ledger, disk: SpoolSession, after_ns: int) -> None:
        super().__init__(capacity, ledger)
        self.disk = disk
        self._after_ns = after_ns
        self._unwritten: deque[Kept] = deque()
        self._marks: deque[tuple[int, int]] = deque()
        self._due = 0
        self._read: list[Kept] = []
        self._offset_at: OffsetAt | None = None

    def recall(self, recalled: Recalled) -> None:
        """Take over what an earlier process left: its streams, in order, each with its end."""
        for order, info in recalled.descriptions.items():
            stream = self.streams.setdefault(info.name, Stream(info.name, "drop_oldest", []))
            stream.descriptions.append((order, info))
            self._line.append(Described(order, info))
        self._order = max((recalled.last_order, *recalled.descriptions))
        for name, stored in recalled.streams.items():
            if stored.samples:
                self._ledger.captured(name, stored.samples)
            if name in self.streams:
                self.streams[name].next_sequence = stored.last + 1
                continue
            for segment in recalled.segments:  # its description was damaged
                lost = segment.unread.pop(name, 0)
                self._ledger.dropped(name, DropReason.CORRUPT, lost)
        for name in self.streams:
            self.end(name)

    def push(
        self, stream: Stream, header: SampleHeader, payload: Buffer | Lease, *, placed: bool = True
    ) -> None:
        """As `SendBuffer.push`."""
        super().push(stream, header, payload, placed=placed)
        if stream.max_waiting is None:
            self._unwritten.append(stream.waiting[-1])

    def due(self, now_ns: int) -> list[ToWrite]:
        """Some of what is to be written now, oldest first; `written` is to follow for each."""
        self._marks.append((now_ns, self._order))
        while self._marks and self._marks[0][0] <= now_ns - self._after_ns:
            self._due = self._marks.popleft()[1]
        waiting = sum(stream.waiting_bytes for stream in self.streams.values())
        return self._pick(self._due, crowded=2 * waiting > self._capacity)

    def rest(self) -> list[ToWrite]:
        """As `due`, of everything that was not written, at the end."""
        return self._pick(LAST, crowded=False)

    def written(self, item: ToWrite, place: Place) -> None:
        """A sample lies on the disk now."""
        kept = item.kept
        if item.kind is Kind.COPY:
            kept.stored = place
        elif kept.state is State.GONE:  # another thread gave it up meanwhile
            place.segment.skipped.add(place.offset)
        else:
            kept.stream.waiting_bytes -= kept.cost
            self._release(kept)
            place.segment.unread[kept.stream.name] += 1
            self._sweep()

    def not_written(self, items: Sequence[ToWrite]) -> None:
        """The disk did not take these; they are tried again."""
        self._unwritten.extendleft(item.kept for item in reversed(items))

    def take(
        self, max_bytes: int, max_samples: int, *, before: int = LAST
    ) -> list[Kept] | Described | Ended | None:
        """As `SendBuffer.take`, from memory and disk, whichever has what came first."""
        self._let_go_of_read()
        while True:
            upcoming = self.disk.next_order
            first = before if upcoming is None else min(before, upcoming)
            taken = super().take(max_bytes, max_samples, before=first)
            if isinstance(taken, Described | Ended):
                return taken
            if taken:
                found = [kept for kept in taken if self._has_payload(kept)]
            elif upcoming is None or self._flooded:
                return None
            else:
                limit = min(before, self._next_in_memory)
                read = self.disk.reader.read(max_bytes, max_samples, limit)
                if not read:
                    return None  # it is not at hand yet
                found = [kept for kept in map(self._taken_back, read) if kept is not None]
            if found:
                return found

    def prepare(self) -> bool:
        """Read from the disk what comes next; whether anything was read. Without the lock."""
        return self.disk.reader.prepare()

    def tidy(self) -> None:
        """Delete what nobody needs any more.

        Raises:
            OSError: The disk does not let it.
        """
        if self.left:
            self.disk.tidy()
        else:
            self.disk.clear()

    def acked(self, name: str, sequence: int) -> int:
        """As `SendBuffer.acked`."""
        self.disk.acked(name, sequence)
        return super().acked(name, sequence)

    def rewind(self, resume: Mapping[str, Resume]) -> None:
        """As `SendBuffer.rewind`; what is on the disk follows when it is read."""
        for stream in self.streams.values():
            stream.point = resume.get(stream.name, Resume(0, 0))
        super().rewind(resume)

    def place(self, offset_at: OffsetAt) -> None:
        """As `SendBuffer.place`; what is on the disk follows when it is read."""
        super().place(offset_at)
        self._offset_at = offset_at

    @property
    def waits_for_clock(self) -> bool:
        """As `SendBuffer.waits_for_clock`, on the disk as well."""
        return self.unplaced > 0 or (self._offset_at is None and self.disk.untimed)

    def give_up(self, reason: DropReason) -> None:
        """Drop what is neither acked nor on the disk."""
        for stream in self.streams.values():
            for kept in (*stream.sent, *stream.waiting):
                if kept.state is not State.GONE and kept.stored is None:
                    self._drop(kept, reason)

    @property
    def next_order(self) -> int:
        """As `SendBuffer.next_order`: what is on the disk alone is not in memory."""
        on_disk = self.disk.first_order
        return super().next_order if on_disk is None else on_disk

    @property
    def left(self) -> int:
        """As `SendBuffer.left`, on the disk as well."""
        return self.pending + self.disk.unread

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return super().idle and not self.disk.unread

    @property
    def _flooded(self) -> bool:
        """Whether so many are sent and not acked that their headers alone fill the memory.

        Not before the receiver has more than any window of it can need.
        """
        sent = sum(len(stream.sent) for stream in self.streams.values())
        return sent > max(_FEWEST_SENT, self._capacity // (2 * SAMPLE_COST))

    @property
    def _next_in_memory(self) -> int:
        return next((item.order for item in self._line if _is_to_send(item)), LAST)

    def _pick(self, due: int, *, crowded: bool) -> list[ToWrite]:
        picked: list[ToWrite] = []
        total, line = 0, self._unwritten
        while line and total < _BATCH_BYTES:
            kept = line[0]
            payload = kept.payload
            if kept.state is not State.GONE and payload is not None:
                early = crowded and kept.stream.on_full != "block"
                if kept.order > due and not early:
                    break
                if not kept.placed and self.disk.base is None:
                    break
                leaves = kept.state is State.WAITING and kept.stream.on_full != "block"
                # Memory shared with the receiver may be used again before this is written.
                copy = bytes(payload.view()) if isinstance(payload, Lease) else payload
                picked.append(ToWrite(kept, Kind.SAMPLE if leaves else Kind.COPY, copy))
                total += kept.cost
            line.popleft()
        return picked

    def _let_go_of_read(self) -> None:
        """What was read from the disk for the last batch is sent."""
        for kept in self._read:
            kept.payload = None
        self._read = []

    def _has_payload(self, kept: Kept) -> bool:
        """Read a payload back that memory has let go of; whether it is there."""
        if kept.payload is None:
            kept.payload = self.disk.load(kept.stored) if kept.stored else None
            if kept.payload is None:
                self.sent_total -= kept.cost
                self._drop(kept, DropReason.SPOOL_FULL)
                return False
            self._read.append(kept)
        return True

    def _taken_back(self, unsent: Unsent) -> Kept | None:
        """A sample that is sent from the disk; None when the receiver needs it no more."""
        name, header, payload, _ = unsent.sample
        stream = self.streams[name]
        if header.sequence in stream.point.rejected:  # what was refused was not delivered
            self._ledger.dropped(name, stream.point.rejected[header.sequence])
            return None
        if header.sequence < stream.point.acked:
            self._ledger.delivered(name)
            return None
        if not put_on_site_time(unsent.sample, self.disk.base, self._offset_at):
            self._ledger.dropped(name, DropReason.UNTIMED)
            return None
        kept = Kept(unsent.order, stream, header, None, cost_of(header.size), State.FORGOTTEN)
        kept.stored = unsent.place
        stream.sent.append(kept)
        self.pending += 1
        self.used += SAMPLE_COST
        if header.sequence < stream.point.wanted:
            return None
        kept.payload = payload
        self._read.append(kept)
        self.sent_total += kept.cost
        return kept


def _is_to_send(item: Item) -> bool:
    return not isinstance(item, Kept) or item.state in (State.WAITING, State.SPOOLED)
