"""What a receiver knows about a node: its session, its streams, its connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.core.jpeg import MAX_PIXELS, jpeg_size
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.protocol import GRANT_NS, Resume

_MAX_REMEMBERED = 1_000
_ENCODINGS = {
    Modality.VIDEO: (Encoding.RAW, Encoding.JPEG),
    Modality.AUDIO: (Encoding.PCM, Encoding.FLOAT),
    Modality.SENSOR: (Encoding.FLOAT,),
    Modality.TEXT: (Encoding.UTF8,),
}


@dataclass(slots=True)
class StreamState:
    """One stream of a node's session.

    Attributes:
        info: Its description; None until the session said it.
        encodings: What its samples may be.
        shape: Of frames and readings; of one moment of sound.
        dated: Whether stamps must not be from the future.
        wanted: Next sequence.
        seen: Highest sequence that came on this connection.
        acked: Sequences below this are committed.
        rejected: The latest sequences that were refused.
        ended: Whether it gave its last sample.
    """

    info: StreamInfo | None = None
    encodings: tuple[Encoding, ...] = ()
    shape: tuple[int, ...] = ()
    dated: bool = True
    wanted: int = 0
    seen: int = -1
    acked: int = 0
    rejected: dict[int, DropReason] = field(default_factory=dict)
    ended: bool = False

    def describe(self, info: StreamInfo) -> None:
        """From here on the stream is this."""
        self.info = info
        self.encodings = _ENCODINGS[info.modality]
        self.shape = info.shape
        self.dated = info.stamp != "exact"
        self.ended = False

    def fault_of(self, sample: Sample, latest_ns: int) -> DropReason | None:
        """Why a sample cannot be taken, or None.

        It is not what the stream carries, or it is stamped after `latest_ns`.
        """
        data = sample.data
        if sample.encoding not in self.encodings or (
            isinstance(data, np.ndarray) and data.shape != self.shape and not self._fits(data.shape)
        ):
            return DropReason.CORRUPT
        if sample.encoding is Encoding.JPEG and not self._is_of_size(data):
            return DropReason.CORRUPT
        return DropReason.FUTURE if sample.timestamp_ns > latest_ns and self.dated else None

    def _fits(self, shape: tuple[int, ...]) -> bool:
        """Sound comes as ``(N, channels)``; a stream without a shape takes any."""
        return not self.shape or (len(shape) == 2 and shape[1:] == self.shape)

    def _is_of_size(self, data: object) -> bool:
        """Whether a JPEG is as large as the stream says; one that is damaged is found later."""
        size = jpeg_size(data) if isinstance(data, bytes | memoryview) else None
        if size is None:
            return True
        return size == self.shape[:2] if self.shape else size[0] * size[1] <= MAX_PIXELS

    def resume(self) -> Resume:
        """Where the sender goes on."""
        return Resume(self.wanted, self.acked, dict(self.rejected))

    def ack(self, sequence: int) -> int | None:
        """Note that all up to `sequence` is committed; what to tell, None when it is old."""
        acked = min(sequence + 1, self.wanted)
        if acked <= self.acked:
            return None
        self.acked = acked
        return acked - 1

    def reject(self, sequences: Sequence[int], reason: DropReason) -> None:
        """Remember that samples were refused, for a sender that missed it.

        That is also told of those below `acked`: what was refused was not delivered.
        """
        self.rejected.update(dict.fromkeys(sequences, reason))
        while len(self.rejected) > _MAX_REMEMBERED:
            del self.rejected[next(iter(self.rejected))]


@dataclass(slots=True, eq=False)
class Peer:
    """A node.

    Attributes:
        node: Its name.
        session: Its session.
        connection: ZeroMQ routing id of its newest connection.
        heard_ns: When it last said anything.
        attempt: Of its newest HELLO.
        lost: Nothing was heard for long, or its connection is gone.
        said_bye: The session is over.
        streams: By name.
        granted: Credit told on this connection, in total.
        granted_ns: When it was told.
        received: Cost of samples received on this connection.
        handed: Cost of samples handed on.
        pending: Cost of what was consumed, granted at the next poll.
        waiting: Samples and cost of each message that was handed over and is not consumed.
        samples: How many samples these are.
        full: Streams of which it keeps full pictures.
    """

    node: str
    session: str
    connection: bytes
    heard_ns: int
    attempt: int = 0
    lost: bool = False
    said_bye: bool = False
    streams: dict[str, StreamState] = field(default_factory=dict)
    granted: int = 0
    granted_ns: int = 0
    received: int = 0
    handed: int = 0
    pending: int = 0
    waiting: deque[tuple[int, int]] = field(default_factory=deque)
    samples: int = 0
    full: frozenset[str] = frozenset()

    def greet(self, now_ns: int, attempt: int, credit: int) -> dict[str, Resume]:
        """A new connection begins; where its streams go on."""
        self.heard_ns, self.attempt = now_ns, attempt
        self.lost = self.said_bye = False
        self.received = self.handed = self.pending = self.samples = 0
        self.waiting.clear()
        self.granted = credit
        for state in self.streams.values():
            state.seen = -1
        return {name: state.resume() for name, state in self.streams.items()}

    def ack(self, sequences: Mapping[str, int]) -> dict[str, int]:
        """Note what is committed; what is new of that."""
        said = {}
        for stream, sequence in sequences.items():
            state = self.streams.get(stream)
            told = state.ack(sequence) if state else None
            if told is not None:
                said[stream] = told
        return said

    def hand_over(self, cost: int, samples: int) -> None:
        """So many samples of a message were handed over, which cost that much together."""
        self.waiting.append((samples, cost))
        self.samples += samples

    def consumed(self, but: int) -> None:
        """All but the latest so many samples that were handed over are consumed."""
        while self.waiting and self.samples - self.waiting[0][0] >= but:
            samples, cost = self.waiting.popleft()
            self.samples -= samples
            self.pending += cost

    def grant(self, credit: int, now_ns: int, *, at_once: bool) -> int | None:
        """Credit in total to tell now; None when there is no need to say any yet.

        Not after every sample, but before it runs low, and often enough for the sender to see
        that the link is alive.
        """
        low = self.granted - self.received <= credit // 2
        due = low or now_ns - self.granted_ns >= GRANT_NS
        if not at_once and not (self.pending and due):
            return None
        self.handed += self.pending
        self.pending = 0
        self.granted, self.granted_ns = self.handed + credit, now_ns
        return self.granted


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node as others may see it.

    Attributes:
        node: Its name.
        session: Its session.
        heard_ns: When it last said anything, site time.
        lost: It should be there and is not heard.
        ended: It said goodbye.
        streams: Names of its streams.
    """

    node: str
    session: str
    heard_ns: int
    lost: bool
    ended: bool
    streams: tuple[str, ...]
