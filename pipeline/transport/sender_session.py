"""The sender's half of the protocol as a pure state machine. No thread, no socket.

It is given messages and the time, and says what to send. States::

    OFFLINE ──open()──> ASKED ──WELCOME──> READY
       ^                  │ REFUSED, no answer  │ nothing heard, HELLO_FIRST
       └──────────────────┴─────────────────────┘   (`wants_reconnect` is set)
    any ──close()──> CLOSING ──BYE──> CLOSED

See `pipeline.transport.protocol` for the rules.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

import structlog

from pipeline.core.ledger import Ledger
from pipeline.transport.backlog_pace import BacklogPace
from pipeline.transport.clock_sync import ClockEstimate
from pipeline.transport.fetching import Fetch
from pipeline.transport.full_line import FullFrame, FullLine
from pipeline.transport.full_ring import FullRing
from pipeline.transport.kept import Described, Ended, Kept
from pipeline.transport.protocol import (
    HEARTBEAT_NS,
    HELLO_RETRY_NS,
    LEDGER_NS,
    LINK_LOST_NS,
    PROTOCOL_VERSION,
    REFUSED_RETRY_NS,
    Ack,
    Bye,
    ClockAnswer,
    ClockAsk,
    Credit,
    End,
    Hello,
    LedgerSaid,
    Message,
    Refusal,
    Refused,
    Reject,
    StreamSaid,
    Welcome,
)
from pipeline.transport.rekeying import NewKey
from pipeline.transport.send_buffer import SendBuffer
from pipeline.transport.shared_arena import SharedArena

log = structlog.get_logger(__name__)

BATCH_BYTES = 512_000
SHARED_BATCH_BYTES = 4_000_000
BATCH_SAMPLES = 4_000


class LinkState(StrEnum):
    """Where the link is."""

    OFFLINE = "offline"
    ASKED = "asked"
    READY = "ready"
    CLOSING = "closing"
    CLOSED = "closed"


class SenderSession:
    """See the module.

    Args:
        node: Name of this node.
        session: Id of this life of the process.
        buffer: What waits to be sent.
        ledger: Accounts reported to the receiver.
        arena_bytes: Size of the memory offered to a receiver on this machine; 0: none.
        max_message: Largest cost of one sample we send, bytes.
        attempt: Higher than that of any HELLO the session said before.
        full: Full pictures that may be fetched; None: there are none.
    """

    def __init__(
        self,
        node: str,
        session: str,
        buffer: SendBuffer,
        ledger: Ledger,
        *,
        arena_bytes: int = 0,
        max_message: int,
        attempt: int = 0,
        full: FullRing | None = None,
    ) -> None:
        self._node = node
        self._session = session
        self._buffer = buffer
        self._ledger = ledger
        self._arena_bytes = arena_bytes
        self.arena: SharedArena | None = None
        self._attempt = attempt
        self._granted = 0
        self._since_ns = self._heard_ns = self._asked_ns = 0
        self._ledger_ns = 0
        self._lost_ns = 0
        self._retry_ns = 0
        self._clock_answers: list[tuple[ClockAnswer, int]] = []
        self._pace = BacklogPace()
        self.state = LinkState.OFFLINE
        self.wants_reconnect = False
        self.shared = False
        self.receiver = ""
        self.max_message = max_message
        self.refusal: Refused | None = None
        self.news = ""
        self.counters: Counter[str] = Counter()
        self.full = FullLine(full, buffer, max_message, self.counters)

    @property
    def reconnect_at_ns(self) -> int:
        """A new connection may be made from then on."""
        return self._retry_ns

    def open(self, now_ns: int) -> list[Message]:
        """A new connection is made: what to say on it."""
        self._attempt += 1
        self.state = LinkState.ASKED
        self.wants_reconnect = False
        self._since_ns = self._heard_ns = now_ns
        self.counters["connections"] += 1
        self.full.begin()
        infos = [stream.info for stream in self._buffer.streams.values()]
        who = (PROTOCOL_VERSION, self._node, self._session, self._attempt)
        return [Hello(*who, infos, self._offer(), self.full.streams)]

    def _offer(self) -> str:
        """A fresh arena for a connection, unless nobody has seen the present one yet."""
        if self._arena_bytes and (self.arena is None or self.shared):
            self.close_arena()
            self.arena = SharedArena(self._arena_bytes)
        self.shared = False
        return self.arena.offer if self.arena else ""

    def close_arena(self) -> None:
        """Offer the shared memory to nobody any more."""
        if self.arena is not None:
            self.arena.close()

    def lost(self, now_ns: int, after_ns: int = 0) -> None:
        """The connection is gone; ask for a new one."""
        if self.state is LinkState.CLOSED:
            return
        if self.state is LinkState.READY:
            log.warning("link lost", node=self._node)
        self.state = LinkState.OFFLINE
        if not self.wants_reconnect:
            self.wants_reconnect, self._lost_ns = True, now_ns
        # A failed handshake is told twice, as such and as a disconnection: the longer wait counts,
        # from the first on, as ZeroMQ tries and fails again meanwhile.
        self._retry_ns = max(self._retry_ns, self._lost_ns + after_ns)

    def receive(self, message: Message, now_ns: int) -> None:
        """Take in what the receiver said."""
        self._heard_ns = self._pace.now_ns = self.full.now_ns = now_ns
        if isinstance(message, Welcome):
            self._welcome(message)
        elif isinstance(message, Refused):
            self._refused(message, now_ns)
        elif isinstance(message, Bye):
            self._bye(now_ns)
        elif isinstance(message, NewKey):
            self.news = message.public
        elif self.state is not LinkState.READY and self.state is not LinkState.CLOSING:
            self.counters["out_of_place"] += 1
        elif isinstance(message, Ack):
            for stream, sequence in message.sequences.items():
                self._buffer.acked(stream, sequence)
        elif isinstance(message, Credit):
            self._credited(message)
        elif isinstance(message, ClockAnswer):
            self._clock_answers.append((message, now_ns))
        elif isinstance(message, Reject):
            self._rejected(message)
        elif isinstance(message, Fetch):
            self.full.ask(message)
        else:
            self.counters["out_of_place"] += 1

    def tick(self, now_ns: int) -> list[Message]:
        """What the timers say; to be called at least every 100 ms."""
        self._pace.now_ns = self.full.now_ns = now_ns
        if self.state is LinkState.ASKED and now_ns - self._since_ns > HELLO_RETRY_NS:
            self.lost(now_ns)
        if self.state is not LinkState.READY:
            return []
        if now_ns - self._heard_ns > LINK_LOST_NS:
            self.lost(now_ns)
            return []
        said: list[Message] = []
        if now_ns - self._asked_ns >= HEARTBEAT_NS:
            self._asked_ns = now_ns
            said.append(ClockAsk(now_ns))
        if now_ns - self._ledger_ns >= LEDGER_NS:
            self._ledger_ns = now_ns
            said.append(LedgerSaid(self._ledger.snapshot(), not self._buffer.idle))
        return said

    def next(self) -> list[Kept] | Message | FullFrame | None:
        """What to send now, within the credit: samples, something about a stream, a picture."""
        if self.state is not LinkState.READY or self._buffer.waits_for_clock:
            return None
        left = self._granted - self._buffer.sent_total
        if left <= 0:
            return None
        most = SHARED_BATCH_BYTES if self.shared else BATCH_BYTES
        taken = self._buffer.take(min(left, most), BATCH_SAMPLES)
        if taken is None:
            taken = self._pace.take(self._buffer, left, BATCH_SAMPLES)
        if taken is None:
            return self._pace.take(self.full, left, 1)
        if isinstance(taken, Described):
            return StreamSaid(taken.info)
        return End(taken.stream.name) if isinstance(taken, Ended) else taken

    @property
    def hungry(self) -> bool:
        """Whether it would send more if the buffer had it at hand."""
        ready = self.state is LinkState.READY and not self._buffer.waits_for_clock
        return ready and self._granted > self._buffer.sent_total

    @property
    def waits_for_clock(self) -> bool:
        """Whether samples wait to be put on site time."""
        return self._buffer.waits_for_clock

    def place(self, estimate: ClockEstimate) -> None:
        """The clock offset is known: put samples that came before on site time."""

        def offset_at(node_ns: int) -> tuple[int, int]:
            then = estimate.at(node_ns)
            return then.offset_ns, then.uncertainty_ns

        self._buffer.place(offset_at)

    @property
    def drained(self) -> bool:
        """Whether the link is ready and nothing waits to be sent."""
        return self.state is LinkState.READY and self._buffer.idle

    @property
    def finished(self) -> bool:
        """Whether the link is ready and everything was acked or dropped."""
        return self.drained and not self._buffer.left

    def clock_answers(self) -> list[tuple[ClockAnswer, int]]:
        """Clock answers since the last call, with the node time at which each came."""
        answers, self._clock_answers = self._clock_answers, []
        return answers

    def close(self) -> list[Message]:
        """What to say at the end."""
        was, self.state = self.state, LinkState.CLOSED
        if was is not LinkState.READY:
            return []
        self.state = LinkState.CLOSING
        return [LedgerSaid(self._ledger.snapshot()), Bye("closed")]

    def _welcome(self, message: Welcome) -> None:
        if message.attempt != self._attempt or self.state is not LinkState.ASKED:
            self.counters["stale"] += 1
            return
        self.state = LinkState.READY
        self.refusal = None
        self._granted = message.credit
        self._pace.begin(message.credit)
        self.max_message = min(self.max_message, message.max_message)
        self.full.max_message = self.max_message
        self.shared, self.receiver = message.shared, message.receiver
        self._asked_ns = self._ledger_ns = 0
        self._buffer.rewind(message.resume)
        log.info("link ready", node=self._node, attempt=self._attempt, shared=self.shared)

    def _refused(self, message: Refused, now_ns: int) -> None:
        self.counters[f"refused_{message.code.value}"] += 1
        if message.code is Refusal.HELLO_FIRST:
            if self.state is LinkState.READY:
                self.lost(now_ns)
        elif self.state is LinkState.ASKED and message.attempt in (0, self._attempt):
            if self.refusal is None or self.refusal.code is not message.code:
                log.warning("refused", node=self._node, code=message.code, detail=message.detail)
            self.refusal = message
            self.lost(now_ns, REFUSED_RETRY_NS)
        elif message.code is Refusal.NOT_ALLOWED:
            self.lost(now_ns, REFUSED_RETRY_NS)
        elif self.counters[f"refused_{message.code.value}"] == 1:
            log.warning("refused", node=self._node, code=message.code, detail=message.detail)

    def _credited(self, message: Credit) -> None:
        self._granted = max(self._granted, message.granted)
        self._pace.granted(self._granted)
        if self.arena is not None:
            self.arena.returned(message.done)

    def _rejected(self, message: Reject) -> None:
        self.counters["rejected"] += len(message.sequences)
        self._buffer.rejected(message.stream, frozenset(message.sequences), message.reason)

    def _bye(self, now_ns: int) -> None:
        if self.state is LinkState.CLOSING:
            self.state = LinkState.CLOSED
        elif self.state is not LinkState.CLOSED:
            self.lost(now_ns, REFUSED_RETRY_NS)
