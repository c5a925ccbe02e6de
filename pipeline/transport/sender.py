"""The capture node's end of the link: takes samples, gets them to the fusion node.

`Sender.send` may be called from any thread and never waits for the network, save for streams
that ``block`` when the buffer is full. A thread of its own owns the socket (`SenderLoop`):
it sends what waits, in batches of whatever is there, within the credit, and connects again
as often as it must. Samples are kept until they are acked.

Payloads under 100 kB are copied on the way in. Larger ones are copied once when the array
could still be written to by others, straight into memory shared with the receiver where both
are on one machine; a frozen array (`pipeline.transport.frames.is_frozen`) is used as it is.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence

import structlog

from pipeline.core.clock import Clock
from pipeline.core.codec import JOIN_BELOW, SampleHeader, describe
from pipeline.core.errors import CodecError, ProtocolError
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import Sample, StreamInfo
from pipeline.transport.clock_probe import ClockSync
from pipeline.transport.clock_sync import ClockEstimate
from pipeline.transport.directory_client import WorkerFinder
from pipeline.transport.frames import frozen
from pipeline.transport.full_ring import FullRing
from pipeline.transport.kept import OnFull, Stream, cost_of
from pipeline.transport.security import CurveClient, needs_curve
from pipeline.transport.send_buffer import SendBuffer
from pipeline.transport.sender_loop import SenderLoop
from pipeline.transport.sender_session import LinkState, SenderSession
from pipeline.transport.sender_status import SenderStatus
from pipeline.transport.spooling import Spooling, SpoolPlan
from pipeline.transport.whereabouts import Whereabouts

log = structlog.get_logger(__name__)

FARTHEST_NS = 2**61
"""No stamp is further from 1970: with any clock offset it can still be written and sent."""
_BLOCK_LOOK_S = 0.25


class Sender:
    """Sends samples of one node to one receiver.

    Args:
        node: Name of this node.
        endpoint: Address of the receiver; with `finder`, of the directory.
        clock: Node time.
        ledger: Where every sample is accounted.
        buffer_bytes: Samples kept until they are acked.
        max_message_bytes: Largest sample sent, no larger than the buffer; larger ones are dropped
            and counted.
        curve: Keys, for an encrypted link.
        shared_memory: Whether a receiver on this machine may get large payloads that way.
        clock_sync: Whether to measure the clock offset to the receiver.
        spool: Where samples go that wait for long; closed with the sender. None: nowhere.
        full: Full pictures that the receiver may fetch; None: there are none.
        finder: Finds the receiver where it may move, and is closed with the sender; None: it
            stays at `endpoint`.

    Raises:
        TransportError: The address is not one.
    """

    def __init__(
        self,
        node: str,
        endpoint: str,
        *,
        clock: Clock,
        ledger: Ledger,
        buffer_bytes: int = 64 << 20,
        max_message_bytes: int = 32 << 20,
        curve: CurveClient | None = None,
        shared_memory: bool = True,
        clock_sync: bool = True,
        spool: SpoolPlan | None = None,
        full: FullRing | None = None,
        finder: WorkerFinder | None = None,
    ) -> None:
        self.session = secrets.token_hex(4) + f"-{clock.now_ns()}"
        self._ledger = ledger
        self._changed = threading.Condition(threading.Lock())
        self._clock = clock
        self._spooling = Spooling(spool, self.session, buffer_bytes, ledger) if spool else None
        live = self._spooling.live if self._spooling else None
        self._buffer = live or SendBuffer(buffer_bytes, ledger)
        local = shared_memory and curve is None and not needs_curve(endpoint)
        max_message_bytes = min(max_message_bytes, buffer_bytes)  # what is larger never fits in
        self._link = SenderSession(
            node,
            self.session,
            self._buffer,
            ledger,
            arena_bytes=buffer_bytes if local else 0,
            max_message=max_message_bytes,
            full=full,
        )
        earlier = [
            SenderSession(
                node, name, kept, ledger, max_message=max_message_bytes, attempt=clock.now_ns()
            )
            for name, kept in (self._spooling.earlier if self._spooling else ())
        ]
        self._sync = ClockSync("" if finder else endpoint, clock) if clock_sync else None
        self._closed = False
        self._where = Whereabouts(endpoint, finder, curve, self._sync)
        self._loop = SenderLoop(
            self._where,
            curve,
            clock,
            sessions=(*earlier, self._link),
            changed=self._changed,
            sync=self._sync,
            spooling=self._spooling,
            max_message=max_message_bytes,
        )

    def add_stream(
        self, info: StreamInfo, on_full: OnFull | None = None, max_waiting: int | None = None
    ) -> None:
        """Announce a stream, or its new description from the next sample on.

        Args:
            info: The stream.
            on_full: What gives way when the buffer is full; none: as before, or ``drop_oldest``.
            max_waiting: Most samples that wait to be sent, older ones give way: freshness
                before completeness. None: as before, or as many as the buffer holds.
        """
        with self._changed:
            self._buffer.describe(info, on_full, max_waiting)
        self._loop.wake()

    def send(self, sample: Sample, *, placed: bool = True) -> None:
        """Take a sample over; its sequence is given here. Everything is in the ledger.

        One that is not `placed` on site time yet waits in node time for the clock offset.

        Raises:
            ProtocolError: Its stream was not added.
        """
        self._stream(sample.stream)
        if sample.nbytes < JOIN_BELOW:
            self._send_small((sample,), placed=placed)
        else:
            self._send_large(sample, placed=placed)

    def send_many(self, samples: Sequence[Sample]) -> None:
        """Take many small samples over at once; as `send` for each, at a lower price.

        Raises:
            ProtocolError: A stream was not added; nothing is taken then.
        """
        for sample in samples:
            self._stream(sample.stream)
        small: list[Sample] = []
        for sample in samples:
            if sample.nbytes < JOIN_BELOW:
                small.append(sample)
                continue
            self._send_small(small)
            small = []
            self._send_large(sample)
        self._send_small(small)

    def end(self, stream: str) -> None:
        """The stream gave its last sample.

        Raises:
            ProtocolError: The stream was not added.
        """
        self._stream(stream)
        with self._changed:
            self._buffer.end(stream)
        self._loop.wake()

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything is acked (or dropped); whether it is.

        Call `end` for every stream before: the receiver commits the last samples of a stream
        only when it knows that no more will come.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._left and self._buffer.idle, timeout_s)

    def clock_estimate(self) -> ClockEstimate | None:
        """The offset to stamp by now; None until the first exchange (or without sync)."""
        return self._sync.held() if self._sync else None

    @property
    def clock_settled(self) -> bool:
        """Whether the offset is as exact as the first probes make it."""
        return self._sync is not None and self._sync.settled

    @property
    def status(self) -> SenderStatus:
        """How the link is."""
        with self._changed:
            link, refusal = self._loop.session, self._loop.session.refusal
            clock = self._sync.forgotten if self._sync else {}
            spool = self._spooling.counters if self._spooling else {}
            return SenderStatus(
                link.state,
                f"{refusal.code.value}: {refusal.detail}" if refusal else self._where.trouble,
                self._left,
                self._buffer.used,
                link.shared,
                {**link.counters, **spool, **{f"clock_{why}": n for why, n in clock.items()}},
            )

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the receiver welcomed us; whether it did."""
        with self._changed:
            return self._changed.wait_for(lambda: self._link.state is LinkState.READY, timeout_s)

    def close(self, timeout_s: float = 1.0) -> None:
        """Say goodbye and stop; what is not acked by then is in the spool, or dropped and counted.

        Args:
            timeout_s: Longest wait for the receiver's answer.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
            if self._spooling is None:
                self._buffer.give_up(DropReason.SHUTDOWN)
            self._changed.notify_all()
        self._loop.close(timeout_s)
        if self._sync:
            self._sync.close()
        if self._spooling is not None:
            self._spooling.close(self._clock.now_ns(), self._changed)
        with self._changed:
            self._buffer.give_up(DropReason.SHUTDOWN)
            self._link.close_arena()

    @property
    def _left(self) -> int:
        return self._spooling.left if self._spooling else self._buffer.left

    def _stream(self, name: str) -> Stream:
        stream = self._buffer.streams.get(name)
        if stream is None:
            raise ProtocolError("the stream was not added to the sender", where=name)
        return stream

    def _send_small(self, samples: Sequence[Sample], *, placed: bool = True) -> None:
        streams, buffer, ledger = self._buffer.streams, self._buffer, self._ledger
        with self._changed:
            for sample in samples:
                stream = streams[sample.stream]
                ledger.captured(stream.name)
                try:
                    _, header, payload = describe(sample)
                except CodecError as error:
                    self._corrupt(stream, error)
                    continue
                if self._admit(stream, header):
                    buffer.push(stream, header, payload, placed=placed)
        self._loop.wake()

    def _send_large(self, sample: Sample, *, placed: bool = True) -> None:
        """Reserve under the lock, copy without it, push under it again."""
        stream = self._stream(sample.stream)
        self._ledger.captured(stream.name)
        with self._changed:
            try:
                _, header, payload = describe(sample)
            except CodecError as error:
                self._corrupt(stream, error)
                return
            if not self._admit(stream, header):
                return
            arena = self._link.arena if self._link.shared else None
            lease = arena.lease(header.size) if arena else None
        if lease is not None:
            lease.write(payload)
        kept = frozen(payload) if lease is None else lease
        with self._changed:
            self._buffer.push(stream, header, kept, placed=placed)
        self._loop.wake()

    def _corrupt(self, stream: Stream, error: CodecError) -> None:
        self._buffer.refuse(stream, DropReason.CORRUPT)
        self._link.counters["corrupt"] += 1
        if (count := self._link.counters["corrupt"]) in (1, 10, 100) or count % 1000 == 0:
            log.warning("sample dropped", stream=stream.name, why=error.message, count=count)

    def _admit(self, stream: Stream, header: SampleHeader) -> bool:
        """Set memory aside for a sample, waiting if its stream may; the lock is held."""
        cost = cost_of(header.size)
        too_large = cost > self._link.max_message
        if too_large or abs(header.timestamp_ns) > FARTHEST_NS:
            self._buffer.refuse(stream, DropReason.TOO_LARGE if too_large else DropReason.FUTURE)
            return False
        while not self._closed:
            if self._buffer.reserve(stream, cost):
                return True
            if stream.on_full != "block":
                self._buffer.refuse(stream, DropReason.BUFFER_FULL)
                return False
            self._loop.wake()
            self._changed.wait(_BLOCK_LOOK_S)
        self._buffer.refuse(stream, DropReason.SHUTDOWN)
        return False
