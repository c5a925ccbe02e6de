"""The protocol between a capture node (sender) and a fusion node (receiver).

Frames
    Every message is one ZeroMQ message. Its first frame is one of the structs below in
    msgpack; only `Data` has more: large payloads, a frame each. The sender is a
    DEALER, the receiver a ROUTER. A connection is one DEALER identity: the sender makes a new
    socket whenever it lost the link, so nothing of an old connection is mixed into a new one.

States
    Sender: *offline*, *asked* (HELLO was said), *ready* (WELCOME was heard: only now it sends
    data, ledgers and CLOCK), *closing* (LEDGER and BYE were said), *closed*. From asked and ready
    a lost link leads back to offline. Receiver, for each node: *absent*, *welcome*, *lost* (not
    heard for `NODE_LOST_NS`, or its connection is gone) or *gone* (said BYE); from each of them a
    HELLO leads to welcome. Of a node only the newest connection is listened to.

Versions
    Both sides must speak the same `PROTOCOL_VERSION`. A field added at the end of a struct, with
    a default, is no new version: a side that does not know it passes over it.

Opening
    The sender says HELLO (version, node, session, attempt, all its streams) and repeats it on
    a new socket every `HELLO_RETRY_NS` until WELCOME or REFUSED comes. WELCOME carries, for
    each stream the receiver remembers, a `Resume` point: the next sequence it wants, what is
    committed, what it rejected. The sender rewinds to these points and sends on from there, in
    the order in which the samples were first sent. A WELCOME of an older attempt is ignored.

Session
    A session is one life of a sending process: a random id. Sequences count from 0 per stream
    and session, so a new session of a node starts every stream anew. A node name belongs to
    one session at a time: a second one is refused with ``name_taken`` until the first said
    BYE, its connection is gone, or nothing was heard of it for `NODE_LOST_NS`.
    What a life left in its spool is delivered by the next one, as the session it was, before
    its own; the attempts of such a session go on from the time of day, so that they are newer.
    Or behind its own, as streams ``NAME~backlog`` of it (`spool_backlog`).

Data
    STREAM describes a stream before its first sample and again when it changes. DATA carries
    samples of any streams, in order. A sequence at or below the last received is a duplicate:
    counted, dropped. A jump ahead is accepted: the sender dropped what lies between and says
    so in its ledger. END says that a stream gave its last sample; it is said again after each
    WELCOME. ACK says that everything up to and including a sequence is committed: until then
    the sender keeps it. REJECT gives up single samples, for a reason the sender's ledger
    counts; WELCOME repeats it. (A REJECT lost with its connection, and then with the receiver's
    memory before the sender was back, is not: there these samples count as delivered.)
    LEDGER is the sender's account, and whether samples wait to be sent, once a second and before
    BYE.

Credit
    Every sample costs its payload, as padded by the codec, plus `SAMPLE_COST` bytes. The
    sender may begin a message while the bytes sent on this connection are below the bytes
    granted. WELCOME grants the first, CREDIT raises the total as the receiver hands samples
    over; totals only grow, so a lost or doubled CREDIT does no harm. A DATA that comes again on
    the same connection was paid for the first time: it raises no grant.

Full pictures
    FETCH, FULL and FETCHED bring back pictures that a node keeps and sent small, see
    `pipeline.transport.fetching`. The HELLO names the streams; a node that names none, as one does
    that does not know these messages, is never asked.

Timers
    The sender says CLOCK at least every `HEARTBEAT_NS`; the receiver answers at once, which
    also serves as the clock exchange where UDP does not pass. It says LEDGER every `LEDGER_NS`;
    the receiver says CREDIT at least every `GRANT_NS` while samples come. A sender that has
    heard nothing for `LINK_LOST_NS`, or whose socket disconnected, starts over on a new socket.

Faults
    What cannot be decoded, is out of bounds or out of place is counted and answered with
    REFUSED (a code and words). REFUSED never ends the receiver. ``hello_first`` makes the
    sender start over at once; ``version``, ``not_allowed``, ``name_taken`` and
    ``too_many_streams`` make it try again after `REFUSED_RETRY_NS`; the others are logged.
    Who asks more than it may (`pipeline.transport.limits`), or whose key is no longer trusted,
    is told so and its connection is ended.

Keys
    NEWKEY brings the key that will replace the speaker's, see `pipeline.transport.rekeying`.

Closing
    BYE ends the session; the receiver answers with BYE and forgets the connection.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from pipeline.core.errors import CodecError, ProtocolError
from pipeline.core.ledger import DropReason, StreamAccount
from pipeline.core.sample import StreamInfo
from pipeline.core.stream_codec import check_stream
from pipeline.transport.bounds import Count, Name, Time, Words
from pipeline.transport.fetching import Fetch, Fetched, Full
from pipeline.transport.rekeying import KeyTaken, NewKey

PROTOCOL_VERSION = 1
SAMPLE_COST = 128
"""Bytes of credit and buffer a sample costs beside its payload."""
HEARTBEAT_NS = 1_000_000_000
LINK_LOST_NS = 5_000_000_000
NODE_LOST_NS = 5_000_000_000
HELLO_RETRY_NS = 2_000_000_000
REFUSED_RETRY_NS = 500_000_000
LEDGER_NS = 1_000_000_000
GRANT_NS = 100_000_000
"""Credit is granted at least this often while samples come."""
FUTURE_NS = 5_000_000_000
"""A stamp further ahead of its arrival than this is refused."""
MAX_CONTROL_BYTES = 4 << 20
"""Largest first frame of any message."""
MAX_FRAMES = 2_048
"""Most frames of one message."""


class Refusal(StrEnum):
    """Why a message was refused."""

    VERSION = "version"  # another protocol version
    NOT_ALLOWED = "not_allowed"  # key unknown, revoked, or of another node or role
    NAME_TAKEN = "name_taken"  # another live session has this node name
    TOO_MANY_STREAMS = "too_many_streams"
    HELLO_FIRST = "hello_first"  # this connection did not say HELLO
    MALFORMED = "malformed"  # not a message of this protocol, or out of bounds
    OUT_OF_PLACE = "out_of_place"  # a message the other side does not send
    OVER_CREDIT = "over_credit"  # more bytes than were granted; the connection is ended
    TOO_FAST = "too_fast"  # more messages or HELLOs than may be; the connection is ended
    TOO_LARGE = "too_large"  # a message over the limit; the connection is ended


class Hello(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """Sender: here I am. ``shared`` offers memory that both may use, see `shared_arena`.

    ``full`` names streams of which full pictures may be fetched, see `fetching`.
    """

    version: int
    node: Name
    session: Name
    attempt: Count
    streams: list[StreamInfo]
    shared: Words = ""
    full: list[Name] = []


class Resume(msgspec.Struct, array_like=True, frozen=True):
    """Where a stream goes on.

    Attributes:
        wanted: Next sequence the receiver wants.
        acked: Sequences below this are committed.
        rejected: The latest sequences that were rejected, with the drop reason; the sender
            counts them before it takes `acked` for delivered.
    """

    wanted: Count
    acked: Count
    rejected: dict[Count, DropReason] = {}


class Welcome(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """Receiver: go ahead.

    Attributes:
        attempt: Of the HELLO this answers.
        credit: Bytes granted.
        max_message: Largest cost of one sample, bytes.
        resume: By stream, for streams of this session that the receiver remembers.
        receiver: Id of the receiver's process; another one may have another clock.
        shared: Whether payloads may be left in the shared memory.
    """

    version: int
    attempt: Count
    credit: Count
    max_message: Count
    resume: dict[Name, Resume]
    receiver: Words = ""
    shared: bool = False


class Data(msgspec.Struct, array_like=True, tag=3, frozen=True):
    """Sender: samples, as `pipeline.core.codec` encodes them.

    Attributes:
        header: The codec's frame 0.
        joined: Its frame 1. Frames 2 and on, the large payloads, follow as they are.
        shared: ``(frame, offset, size)`` of payloads that lie in shared memory; their frames
            are left out.
    """

    header: bytes
    joined: bytes
    shared: list[tuple[Count, Count, Count]] = []


class Ack(msgspec.Struct, array_like=True, tag=4, frozen=True):
    """Receiver: everything up to and including these sequences is committed."""

    sequences: dict[Name, Count]


class Credit(msgspec.Struct, array_like=True, tag=5, frozen=True):
    """Receiver: bytes granted on this connection, in total.

    ``done`` names the parts of shared memory that it needs no longer, by offset.
    """

    granted: Count
    done: list[Count] = []


class ClockAsk(msgspec.Struct, array_like=True, tag=6, frozen=True):
    """Sender: heartbeat; ``sent_ns`` is node time."""

    sent_ns: Time


class ClockAnswer(msgspec.Struct, array_like=True, tag=7, frozen=True):
    """Receiver: heartbeat back; the latter two are site time."""

    asked_ns: Time
    received_ns: Time
    answered_ns: Time


class LedgerSaid(msgspec.Struct, array_like=True, tag=8, frozen=True):
    """Sender: account of each stream, and whether samples wait to be sent (not backlog behind)."""

    accounts: dict[Name, StreamAccount]
    waits: bool = False


class StreamSaid(msgspec.Struct, array_like=True, tag=9, frozen=True):
    """Sender: from here on the stream is this."""

    info: StreamInfo


class End(msgspec.Struct, array_like=True, tag=10, frozen=True):
    """Sender: the stream gave its last sample."""

    stream: Name


class Bye(msgspec.Struct, array_like=True, tag=11, frozen=True):
    """Either: the session is over."""

    reason: Words = ""


class Refused(msgspec.Struct, array_like=True, tag=12, frozen=True):
    """Receiver: not this. ``attempt`` is the HELLO's, or 0."""

    code: Refusal
    detail: Words = ""
    attempt: Count = 0


class Reject(msgspec.Struct, array_like=True, tag=13, frozen=True):
    """Receiver: these samples are refused for good."""

    stream: Name
    sequences: list[Count]
    reason: DropReason


Message: TypeAlias = (
    Hello
    | Welcome
    | Data
    | Ack
    | Credit
    | ClockAsk
    | ClockAnswer
    | LedgerSaid
    | StreamSaid
    | End
    | Bye
    | Refused
    | Reject
    | NewKey
    | KeyTaken
    | Fetch
    | Full
    | Fetched
)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """First frame of a message."""
    return _encoder.encode(message)


def decode(frame: bytes | memoryview) -> Message:
    """The message of a first frame.

    Raises:
        ProtocolError: It is not one, or a value is out of bounds.
    """
    if len(frame) > MAX_CONTROL_BYTES:
        raise ProtocolError(f"a first frame of {len(frame)} bytes, at most {MAX_CONTROL_BYTES}")
    try:
        message: Message = _decoder.decode(frame)
        infos: tuple[StreamInfo, ...] = ()
        if isinstance(message, Hello):
            infos = tuple(message.streams)
        elif isinstance(message, StreamSaid):
            infos = (message.info,)
        for info in infos:
            check_stream(info)
    except (msgspec.DecodeError, UnicodeDecodeError, CodecError) as error:
        raise ProtocolError(f"not a message of this protocol: {error}") from error
    return message
