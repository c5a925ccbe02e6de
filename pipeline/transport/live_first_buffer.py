"""A spooling buffer that sends what is new first and what lies on the disk alone behind it.

What has left the memory for the disk is backlog: it waited longer than ``after_s``, or more than
half of the memory waited. Streams go on from what is in memory, so the receiver sees a gap in
their sequences, and the backlog follows as streams of its own (`pipeline.transport.spool_backlog`),
at the pace of `pipeline.transport.backlog_pace`. A stream that blocks keeps its samples in memory
and so never has a backlog: it makes its source wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.core.ledger import DropReason, Ledger
from pipeline.transport.kept import Described, Ended, Kept, OffsetAt
from pipeline.transport.protocol import Resume
from pipeline.transport.send_buffer import LAST, SendBuffer
from pipeline.transport.spool_backlog import Backlog
from pipeline.transport.spool_format import Kind
from pipeline.transport.spool_session import SpoolSession
from pipeline.transport.spooling_buffer import SpoolingBuffer


class LiveFirstBuffer(SpoolingBuffer):
    """See the module.

    Args:
        capacity: As of `SpoolingBuffer`.
        ledger: As of `SpoolingBuffer`.
        disk: As of `SpoolingBuffer`.
        after_ns: As of `SpoolingBuffer`.
        earlier: What earlier sessions have on disk, oldest first.

    Attributes:
        backlog: What lies on the disk.
    """

    def __init__(
        self,
        capacity: int,
        ledger: Ledger,
        disk: SpoolSession,
        after_ns: int,
        earlier: Sequence[SpoolSession] = (),
    ) -> None:
        super().__init__(capacity, ledger, disk, after_ns)
        self.backlog = Backlog(earlier, disk, ledger)

    def take(
        self, max_bytes: int, max_samples: int, *, before: int = LAST
    ) -> list[Kept] | Described | Ended | None:
        """As `SendBuffer.take`, from memory alone."""
        self._let_go_of_read()
        while True:
            taken = SendBuffer.take(self, max_bytes, max_samples, before=before)
            if not isinstance(taken, list):
                return taken
            if found := [kept for kept in taken if self._has_payload(kept)]:
                return found

    def take_behind(self, max_bytes: int, max_samples: int) -> list[Kept] | Described | None:
        """As `SendBuffer.take_behind`, from the disk."""
        taken = self.backlog.take(max_bytes, max_samples)
        if isinstance(taken, list):
            self.sent_total += sum(kept.cost for kept in taken)
        return taken

    def prepare(self) -> bool:
        """As `SpoolingBuffer.prepare`."""
        return self.backlog.prepare()

    def acked(self, name: str, sequence: int) -> int:
        """As `SendBuffer.acked`."""
        if name in self.backlog:
            return self.backlog.acked(name, sequence)
        self.disk.acked(name, sequence, Kind.COPY)
        return SendBuffer.acked(self, name, sequence)

    def rejected(self, name: str, sequences: frozenset[int], reason: DropReason) -> None:
        """As `SendBuffer.rejected`."""
        if name in self.backlog:
            self.backlog.rejected(name, sequences, reason)
        else:
            super().rejected(name, sequences, reason)

    def rewind(self, resume: Mapping[str, Resume]) -> None:
        """As `SendBuffer.rewind`."""
        super().rewind(resume)
        self.backlog.rewind(resume)

    def place(self, offset_at: OffsetAt) -> None:
        """As `SendBuffer.place`."""
        super().place(offset_at)
        self.backlog.offset_at = offset_at

    def tidy(self) -> None:
        """As `SpoolingBuffer.tidy`."""
        self.backlog.tidy()
        super().tidy()

    @property
    def waits_for_clock(self) -> bool:
        """As `SendBuffer.waits_for_clock`, on the disk as well."""
        return self.unplaced > 0 or (self.backlog.offset_at is None and self.backlog.untimed)

    @property
    def next_order(self) -> int:
        """As `SendBuffer.next_order`: streams go on from what is in memory."""
        return self._order + 1

    @property
    def left(self) -> int:
        """As `SendBuffer.left`, on the disk as well."""
        return self.pending + self.backlog.left

    @property
    def idle(self) -> bool:
        """Whether nothing that is new waits to be sent."""
        return not self._line
