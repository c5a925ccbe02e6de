"""A capture node as far as a fusion node can tell, light enough for hundreds in one process.

A light node is what a real one has behind its sources: a send buffer, a ledger and a
`SenderSession`, which speaks the protocol with acks, credits, heartbeats and ledgers. What it
lacks is a thread, a ZeroMQ context and a spool of its own: `tests.benchmarks.fleet_loop` sends for
all of them, over a socket each. Samples wait in memory until they are acked, as those of a real
node do.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import zmq

from pipeline.core.clock import Clock
from pipeline.core.codec import pack
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import StreamInfo
from pipeline.transport.full_line import frames_of
from pipeline.transport.kept import Kept, cost_of
from pipeline.transport.link import (
    READABLE,
    WRITABLE,
    Context,
    can,
    connect,
    receive_frames,
    send_frames,
)
from pipeline.transport.protocol import Data, Message, decode, encode
from pipeline.transport.send_buffer import SendBuffer
from pipeline.transport.sender_session import LinkState, SenderSession
from tests.benchmarks.fleet_site import Shown

BUFFER_BYTES = 16 << 20
MAX_MESSAGE = 4 << 20
KEPT_MESSAGES = 4_000


@dataclass(slots=True)
class Turn:
    """The next sample of one stream of a node."""

    node: LightNode
    name: str
    shown: Shown
    number: int
    position: int = 0


@dataclass(slots=True)
class Traffic:
    """What a fleet has sent so far.

    Attributes:
        messages: Messages with samples.
        samples: Samples.
        size: Bytes of all frames of these messages.
        kept: Frames of the last of them.
    """

    messages: int = 0
    samples: int = 0
    size: int = 0
    kept: list[list[bytes]] = field(default_factory=list)


class LightNode:
    """One node; see the module.

    Args:
        name: Its name.
        endpoint: Address of its fusion node.
        streams: What its streams show, by their names.
        clock: Node time.
    """

    def __init__(self, name: str, endpoint: str, streams: dict[str, Shown], clock: Clock) -> None:
        self.name = name
        self.streams = streams
        self.ledger = Ledger()
        self.socket: zmq.Socket[bytes] | None = None
        self._endpoint = endpoint
        self._clock = clock
        self._buffer = SendBuffer(BUFFER_BYTES, self.ledger)
        session = f"{secrets.token_hex(4)}-{clock.now_ns()}"
        self._session = SenderSession(
            name, session, self._buffer, self.ledger, max_message=MAX_MESSAGE
        )
        for stream, shown in streams.items():
            self._buffer.describe(_named(shown.info, stream))

    @property
    def ready(self) -> bool:
        """Whether the fusion node has welcomed it."""
        return self._session.state is LinkState.READY

    @property
    def done(self) -> bool:
        """Whether all that it captured is acked or dropped."""
        return self._session.finished

    @property
    def counters(self) -> dict[str, int]:
        """What the session counts."""
        return dict(self._session.counters)

    def connect(self, context: Context) -> None:
        """Begin, on a new socket."""
        self.disconnect()
        self.socket = connect(context, self._endpoint, None, MAX_MESSAGE)
        self._say(self._session.open(self._clock.now_ns()))

    def disconnect(self) -> None:
        """Let go of the socket."""
        if self.socket is not None:
            self.socket.close(0)
            self.socket = None

    def capture(self, turn: Turn, time_ns: int) -> None:
        """One sample of one of its streams comes to be."""
        stream = self._buffer.streams[turn.name]
        header, payload = turn.shown.parts[turn.number % len(turn.shown.parts)]
        header = msgspec.structs.replace(header, timestamp_ns=time_ns, position=turn.position)
        self.ledger.captured(turn.name)
        if self._buffer.reserve(stream, cost_of(header.size)):
            self._buffer.push(stream, header, payload)
        else:
            self._buffer.refuse(stream, DropReason.BUFFER_FULL)
        turn.number += 1
        turn.position += turn.shown.length

    def tick(self, now_ns: int) -> bool:
        """Say what the timers say; whether a new socket is wanted."""
        self._say(self._session.tick(now_ns))
        again = self._session.wants_reconnect and now_ns >= self._session.reconnect_at_ns
        return self.socket is not None and again

    def send(self, traffic: Traffic) -> None:
        """Send what waits, as far as credit and socket allow."""
        while self.socket is not None and can(self.socket, WRITABLE):
            item = self._session.next()
            if item is None:
                return
            frames = _frames(item) if isinstance(item, list) else frames_of(item)
            send_frames(self.socket, frames)
            if isinstance(item, list):
                _count(traffic, len(item), frames)

    def hear(self) -> None:
        """Take in what the fusion node said."""
        while self.socket is not None and can(self.socket, READABLE):
            message = decode(receive_frames(self.socket)[0].buffer)
            self._session.receive(message, self._clock.now_ns())
            self._session.clock_answers()  # it has the fusion node's own clock

    def end(self) -> None:
        """Its streams end."""
        for stream in self.streams:
            self._buffer.end(stream)

    def goodbye(self) -> None:
        """It says that it goes."""
        self._say(self._session.close())

    def _say(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if self.socket is not None and can(self.socket, WRITABLE):
                send_frames(self.socket, [encode(message)])


def _named(info: StreamInfo, name: str) -> StreamInfo:
    return replace(info, name=name)


def _frames(samples: Sequence[Kept]) -> list[bytes]:
    parts = [(k.stream.name, k.header, k.payload) for k in samples if k.payload is not None]
    header, joined, *large = pack(parts)
    return [encode(Data(bytes(header), bytes(joined), [])), *large]


def _count(traffic: Traffic, samples: int, frames: Sequence[bytes]) -> None:
    traffic.messages += 1
    traffic.samples += samples
    traffic.size += sum(map(len, frames))
    if len(traffic.kept) < KEPT_MESSAGES:
        traffic.kept.append([bytes(frame) for frame in frames])
