"""What lies in the spool alone, sent behind what is new, as streams of their own.

Why not as the streams they are
    A stream never goes back: within a session its sequences and stamps only grow, the receiver
    takes nothing older than what it has, and windows are cut in the order of time. So either
    the backlog goes first and every window is scored, if late (`SpoolingBuffer`,
    ``oldest_first``), or it goes behind and the windows it belongs to are over. There is no
    third way that merges it into a past that was judged already.

What becomes of it
    It goes as ``NAME~backlog``: sequences and acks of its own, in the order in which it was
    captured. No scene has a stream of that name, so no window changes; it is recorded with
    everything else and acked once that is committed. In the ledger it stands under NAME, and
    what came late is counted (``late`` of ``fusewatch_spool``).

Twice, never lost
    What earlier lives of the process left goes the same way, oldest first, without asking what
    the fusion node had already. So after a crash a few samples may be there as NAME and as
    ``NAME~backlog``, or, of the segment that was being sent, as ``NAME~backlog`` twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from pipeline.core.codec import MAX_NAME
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import StreamInfo
from pipeline.transport.kept import Described, Kept, OffsetAt, State, Stream, cost_of
from pipeline.transport.protocol import Resume
from pipeline.transport.spool_clock import put_on_site_time
from pipeline.transport.spool_format import Kind
from pipeline.transport.spool_reader import Unsent
from pipeline.transport.spool_session import SpoolSession

BACKLOG = "~backlog"
_MOST_SENT = 1 << 15  # samples sent and not acked


class _Late(NamedTuple):
    """A sample of the backlog: as it is sent, its description, where it is from."""

    kept: Kept
    info: StreamInfo
    source: SpoolSession
    sequence: int


class _Lane:
    """One stream of the backlog.

    Attributes:
        account: The name it has in the ledger.
        stream: As it is sent.
        said: Its description as the receiver was told it on this connection.
        unacked: Samples that are sent or about to be, oldest first.
    """

    def __init__(self, account: str) -> None:
        self.account = account
        self.stream = Stream(account[: MAX_NAME - len(BACKLOG)] + BACKLOG, "drop_oldest", [])
        self.said: StreamInfo | None = None
        self.unacked: deque[_Late] = deque()


class Backlog:
    """See the module. Not thread-safe: its owner locks, save for `prepare`.

    Args:
        earlier: What earlier sessions have in the spool, oldest first.
        live: What the present one has.
        ledger: Where samples are accounted.

    Attributes:
        offset_at: The clock offset, once it is known.
        sent: Samples sent so far.
    """

    def __init__(self, earlier: Sequence[SpoolSession], live: SpoolSession, ledger: Ledger) -> None:
        self._sources = [*earlier, live]
        self._live = live
        self._ledger = ledger
        self._lanes: dict[str, _Lane] = {}
        self._line: deque[_Late] = deque()
        self._in_use: list[Kept] = []
        self._order = 0
        self._pending = 0
        self.offset_at: OffsetAt | None = None
        self.sent = 0

    def __contains__(self, name: str) -> bool:
        """Whether a stream is one of the backlog."""
        return name in self._lanes

    @property
    def left(self) -> int:
        """Samples that are neither acked nor dropped."""
        return self._pending + sum(source.unread for source in tuple(self._sources))

    @property
    def untimed(self) -> bool:
        """Whether stamps of what is to be read back may be in node time."""
        return any(source.untimed for source in self._sources)

    def prepare(self) -> bool:
        """Read from the disk what comes next; whether anything was read."""
        source = next((source for source in self._sources if source.unread), None)
        return source is not None and source.reader.prepare()

    def take(self, most_bytes: int, most: int) -> list[Kept] | Described | None:
        """What is to be sent next: samples up to a limit, or a stream's description."""
        for kept in self._in_use:
            kept.payload = None
        self._in_use = []
        total = 0
        while (late := self._upcoming()) is not None and len(self._in_use) < most:
            kept, lane = late.kept, self._lanes[late.kept.stream.name]
            total += kept.cost
            if self._in_use and (total > most_bytes or lane.said != late.info):
                break
            if lane.said != late.info:
                lane.said = late.info
                return Described(0, replace(late.info, name=kept.stream.name))
            self._line.popleft()
            if kept.payload is None and kept.stored is not None:
                kept.payload = late.source.load(kept.stored)
            if kept.payload is None:
                self._drop(lane, kept, DropReason.SPOOL_FULL)
            else:
                self._in_use.append(kept)
        self.sent += len(self._in_use)
        return list(self._in_use) or None

    def acked(self, name: str, sequence: int) -> int:
        """Everything of a stream of the backlog up to `sequence` is committed; how many."""
        lane, count = self._lanes[name], 0
        while lane.unacked and lane.unacked[0].kept.header.sequence <= sequence:
            late = lane.unacked.popleft()
            count += late.kept.state is not State.GONE
            kinds = (Kind.SAMPLE,) if late.source is self._live else ()
            late.source.acked(lane.account, late.sequence, *kinds)
        if count:
            self._pending -= count
            self._ledger.delivered(lane.account, count)
        return count

    def rejected(self, name: str, sequences: frozenset[int], reason: DropReason) -> None:
        """The receiver refuses samples for good."""
        lane = self._lanes[name]
        for late in tuple(lane.unacked):
            if late.kept.header.sequence in sequences and late.kept.state is not State.GONE:
                self._drop(lane, late.kept, reason)

    def rewind(self, resume: Mapping[str, Resume]) -> None:
        """Line up again from the receiver's resume points what was sent and is not acked."""
        line: list[_Late] = []
        for name, lane in self._lanes.items():
            point = resume.get(name, Resume(0, 0))
            lane.said = None
            self.acked(name, point.acked - 1)
            for sequence, reason in point.rejected.items():
                self.rejected(name, frozenset((sequence,)), reason)
            left = (late for late in lane.unacked if late.kept.state is not State.GONE)
            line += [late for late in left if late.kept.header.sequence >= point.wanted]
        self._line = deque(sorted(line, key=lambda late: late.kept.order))

    def tidy(self) -> None:
        """Delete what nobody needs any more of earlier sessions.

        Raises:
            OSError: The disk does not let it.
        """
        for source in self._sources[:-1]:
            if source.unread or self._under_way(source):
                source.tidy()
            else:
                source.clear()
                self._sources.remove(source)

    def _under_way(self, source: SpoolSession) -> bool:
        """Whether anything of an earlier session is sent and not acked."""
        return any(late.source is source for lane in self._lanes.values() for late in lane.unacked)

    def _upcoming(self) -> _Late | None:
        """What is to be sent next; None when nothing is at hand."""
        if not self._line and self._pending < _MOST_SENT:
            for source in self._sources:
                while not self._line and source.reader.upcoming is not None:
                    self._line_up(source, source.reader.pop())
                if self._line or source.unread:
                    break
        return self._line[0] if self._line else None

    def _line_up(self, source: SpoolSession, unsent: Unsent) -> None:
        """Number a sample and put it in the line, unless it cannot be sent."""
        name, header, payload, _ = unsent.sample
        if unsent.info is None:
            self._ledger.dropped(name, DropReason.CORRUPT)
            return
        if not put_on_site_time(unsent.sample, self._live.base, self.offset_at):
            self._ledger.dropped(name, DropReason.UNTIMED)
            return
        lane = self._lane(name)
        own, header.sequence = header.sequence, lane.stream.next_sequence
        lane.stream.next_sequence += 1
        self._order += 1
        kept = Kept(
            self._order,
            lane.stream,
            header,
            payload,
            cost_of(header.size),
            State.FORGOTTEN,
            stored=unsent.place,
        )
        late = _Late(kept, unsent.info, source, own)
        lane.unacked.append(late)
        self._line.append(late)
        self._pending += 1

    def _lane(self, account: str) -> _Lane:
        fresh = _Lane(account)
        return self._lanes.setdefault(fresh.stream.name, fresh)

    def _drop(self, lane: _Lane, kept: Kept, reason: DropReason) -> None:
        kept.state = State.GONE
        self._pending -= 1
        self._ledger.dropped(lane.account, reason)
        while lane.unacked and lane.unacked[0].kept.state is State.GONE:
            lane.unacked.popleft()
