"""Moves samples between a sender's memory and its spool; called by the thread of the link.

The lock of the sender is held only to choose what is written, to note that it was, and to delete
files: capture does not wait for the disk to write or to read ahead. Only what was sent, let go of
and is wanted again after a broken link is read with the lock held, a sample at a time.

When the disk does not take something, samples stay in memory, the streams' ``on_full`` decides
there, and it is tried again after `RETRY_NS`.

In which order (`SpoolOrder`)
    ``oldest_first``: everything in the order in which it was captured. Windows are cut in the
    order of time, so this is the only order in which all of them are scored; events of the
    outage are raised, late, and what is new waits until the backlog is through, as fast as the
    credit allows. What the spool holds of earlier lives of the process is delivered before,
    oldest session first, each as the session it was: under its id and its sequences, so that
    the receiver resumes it where it knows it and takes nothing twice.
    ``live_first``: what is new at once, the backlog behind it (`LiveFirstBuffer`). Windows of
    the outage are not scored again. For nodes whose scene has streams of others too, which went
    on meanwhile: its windows were cut without this node, and its backlog would be late whenever
    it came. And for thin lines, over which catching up would take hours.

An orderly end leaves in the spool what was not acked.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from pipeline.core.ledger import DropReason, Ledger
from pipeline.transport.live_first_buffer import LiveFirstBuffer
from pipeline.transport.spool import Spool
from pipeline.transport.spool_format import ClockBase
from pipeline.transport.spool_session import SpoolSession
from pipeline.transport.spool_settings import SpoolOrder
from pipeline.transport.spooling_buffer import SpoolingBuffer, ToWrite

log = structlog.get_logger(__name__)

RETRY_NS = 1_000_000_000
_TURNS = 64


@dataclass(frozen=True, slots=True)
class SpoolPlan:
    """A spool and when samples go there.

    Attributes:
        spool: The spool; closed with the sender.
        after_ns: A sample that has waited this long for its ack is written.
        order: In which order what it holds is sent.
        base: What node time is counted from; None: nothing that is in node time is written.
    """

    spool: Spool
    after_ns: int
    order: SpoolOrder = "oldest_first"
    base: ClockBase | None = None


class Spooling:
    """See the module.

    Args:
        plan: The spool.
        session: Id of the live session.
        capacity: Bytes of memory for the live session.
        ledger: Where samples are accounted.

    Attributes:
        earlier: Sessions before the live one that have something to deliver, oldest first:
            ``(id, buffer)``.
        counters: Records found torn and parts found damaged, samples written, segments let go,
            failures of the disk.
        live: Buffer of the live session.
    """

    def __init__(self, plan: SpoolPlan, session: str, capacity: int, ledger: Ledger) -> None:
        self._spool = plan.spool
        self._ledger = ledger
        self._retry_ns: int | None = None
        self.counters: Counter[str] = Counter(
            spool_torn=0, spool_damaged=0, spool_written=0, spool_let_go=0, spool_failed=0
        )
        disk = SpoolSession(plan.spool, session, ledger, base=plan.base)
        self.earlier: list[tuple[str, SpoolingBuffer]] = []
        self.live: SpoolingBuffer = SpoolingBuffer(capacity, ledger, disk, plan.after_ns)
        if plan.order == "live_first":
            earlier = list(self._behind(plan))
            self.live = LiveFirstBuffer(capacity, ledger, disk, plan.after_ns, earlier)
        else:
            self._recall(plan, capacity)
        self._count()

    def _behind(self, plan: SpoolPlan) -> Iterator[SpoolSession]:
        """Earlier sessions, to be sent behind the live one."""
        for recalled in plan.spool.earlier:
            for name, stored in recalled.streams.items():
                self._ledger.captured(name, stored.samples)
            yield SpoolSession(plan.spool, recalled.session, self._ledger, recalled, plan.base)

    def _recall(self, plan: SpoolPlan, capacity: int) -> None:
        """Earlier sessions, to be sent before the live one."""
        for recalled in plan.spool.earlier:
            disk = SpoolSession(plan.spool, recalled.session, self._ledger, recalled, plan.base)
            buffer = SpoolingBuffer(capacity, self._ledger, disk, plan.after_ns)
            buffer.recall(recalled)
            if buffer.left:
                self.earlier.append((recalled.session, buffer))
            else:
                self._try(disk.clear)

    @property
    def left(self) -> int:
        """Samples of all sessions that are neither acked nor dropped; the lock is held."""
        return self.live.left + sum(buffer.left for _, buffer in self.earlier)

    def turn(self, now_ns: int, lock: threading.Condition) -> None:
        """Write what is due, keep the limits, delete what is done; called often."""
        if self._retry_ns is None or now_ns >= self._retry_ns:
            self._retry_ns = None
            self._try(lambda: self._turn(now_ns, lock), now_ns)

    def prepare(self) -> bool:
        """Read from the disk what is to be sent next; whether anything was read. No lock."""
        first = next((buffer for buffer in self._buffers if buffer.left), self.live)
        return first.prepare()

    def close(self, now_ns: int, lock: threading.Condition) -> None:
        """Write everything that was not acked, and let go of the spool."""
        self._try(lambda: self._write_rest(now_ns, lock))
        self._try(self._spool.close)

    def give_up(self, reason: DropReason) -> None:
        """Drop what is neither acked nor on the disk; the lock is held."""
        for buffer in self._buffers:
            buffer.give_up(reason)

    @property
    def _buffers(self) -> list[SpoolingBuffer]:
        return [*(buffer for _, buffer in self.earlier), self.live]

    def _turn(self, now_ns: int, lock: threading.Condition) -> None:
        self._keep_limits(now_ns, lock)  # a full disk has room again for what is due
        with lock:
            self._tidy()
        for _ in range(_TURNS):
            with lock:
                items = self.live.due(now_ns)
            if not items:
                break
            self._write(items, now_ns, lock)
        self._keep_limits(now_ns, lock)
        self.live.disk.note_acked(now_ns)
        self._spool.flush(now_ns)
        self._count()

    def _write_rest(self, now_ns: int, lock: threading.Condition) -> None:
        with lock:
            self._tidy()
        while items := self.live.rest():
            self._write(items, now_ns, lock)
        self.live.disk.note_acked(now_ns, at_once=True)
        self._spool.seal()
        self._keep_limits(now_ns, lock)

    def _write(self, items: Sequence[ToWrite], now_ns: int, lock: threading.Condition) -> None:
        places = []
        try:
            for kept, kind, payload in items:
                places.append(self.live.disk.write(kind, kept, payload, now_ns))
        finally:
            with lock:
                for item, place in zip(items, places, strict=False):
                    self.live.written(item, place)
                self.live.not_written(items[len(places) :])
                self.counters["spool_written"] += len(places)
                lock.notify_all()

    def _keep_limits(self, now_ns: int, lock: threading.Condition) -> None:
        while (overdue := self._spool.overdue(now_ns)) is not None:
            segment, reason = overdue
            self._spool.remove(segment)
            self.counters["spool_let_go"] += 1
            with lock:
                for stream, count in segment.unread.items():
                    if count:
                        self._ledger.dropped(stream, reason, count)
                segment.unread.clear()
                lock.notify_all()

    def _tidy(self) -> None:
        for buffer in self._buffers:
            buffer.tidy()

    def _count(self) -> None:
        damage = self._spool.damage
        self.counters["spool_torn"] = torn = sum(part.torn for part in damage)
        self.counters["spool_damaged"] = len(damage) - torn
        if isinstance(self.live, LiveFirstBuffer):
            self.counters["spool_late"] = self.live.backlog.sent

    def _try(self, work: Callable[[], None], now_ns: int = 0) -> None:
        try:
            work()
        except OSError as error:
            self._retry_ns = now_ns + RETRY_NS
            self.counters["spool_failed"] += 1
            if (count := self.counters["spool_failed"]) in (1, 10, 100) or count % 1000 == 0:
                log.error("spool failed", error=error.strerror, file=error.filename, count=count)
