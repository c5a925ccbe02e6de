"""What a node says of its streams, and its samples: taken as arrivals, or refused with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from pipeline.core.arrival import Arrival, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Sample, StreamInfo
from pipeline.transport.peer import Peer, StreamState
from pipeline.transport.protocol import FUTURE_NS, Message, Refusal, Reject


class Session(Protocol):
    """Collects what arrived and what to answer, see `ReceiverSession`."""

    outgoing: list[tuple[bytes, Message]]
    arrivals: list[Arrival]
    counters: Counter[str]

    def refuse(self, connection: bytes, code: Refusal, detail: str, attempt: int = 0) -> None:
        """Count and answer something that is not taken."""


class StreamIntake:
    """See the module.

    Args:
        session: Given what arrived, and what is to be answered.
        max_streams: Most streams of one node.
    """

    def __init__(self, session: Session, max_streams: int) -> None:
        self._session = session
        self._max_streams = max_streams

    def said(self, peer: Peer, info: StreamInfo, now_ns: int) -> None:
        """A node describes a stream."""
        session = self._session
        state = peer.streams.get(info.name)
        if state is None:
            if len(peer.streams) >= self._max_streams:
                session.refuse(peer.connection, Refusal.TOO_MANY_STREAMS, f"at {info.name}")
                return
            state = peer.streams[info.name] = StreamState()
        if state.info != info or state.ended:
            state.describe(info)
            session.arrivals.append(StreamOpened(now_ns, peer.node, info, peer.session))

    def ended(self, peer: Peer, stream: str, now_ns: int) -> None:
        """A stream will give no more."""
        session = self._session
        state = peer.streams.get(stream)
        if state is None or state.info is None:
            session.refuse(peer.connection, Refusal.OUT_OF_PLACE, f"end of an unknown {stream}")
        elif not state.ended:
            state.ended = True
            session.arrivals.append(StreamEnded(now_ns, peer.node, stream))

    def end_missing(self, peer: Peer, going_on: set[str], now_ns: int) -> None:
        """Of a node's streams only these go on."""
        for stream, state in peer.streams.items():
            if state.info is not None and stream not in going_on:
                self.ended(peer, stream, now_ns)

    def samples(self, peer: Peer, samples: Sequence[Sample], now_ns: int) -> tuple[int, int]:
        """Samples of one message.

        Returns:
            How many arrived, and how many had come before in this session.
        """
        session = self._session
        rejected: dict[tuple[str, DropReason], list[int]] = {}
        arrivals = session.arrivals
        before = len(arrivals)
        latest_ns, node, streams = now_ns + FUTURE_NS, peer.node, peer.streams
        replayed = 0
        for sample in samples:
            state, sequence = streams.get(sample.stream), sample.sequence
            if state is None or state.info is None:
                fault: DropReason | None = DropReason.REFUSED
            elif sequence < state.wanted:
                session.counters["duplicate"] += 1
                replayed += sequence <= state.seen
                state.seen = max(state.seen, sequence)
                continue
            else:
                state.wanted, state.seen = sequence + 1, sequence
                fault = state.fault_of(sample, latest_ns)
            if fault is None:
                arrivals.append(SampleArrived(now_ns, node, sample))
            else:
                rejected.setdefault((sample.stream, fault), []).append(sequence)
        self._reject(peer, rejected)
        return len(arrivals) - before, replayed

    def _reject(self, peer: Peer, rejected: Mapping[tuple[str, DropReason], list[int]]) -> None:
        for (stream, reason), sequences in rejected.items():
            self._session.counters[f"rejected_{reason.value}"] += len(sequences)
            if stream in peer.streams:
                peer.streams[stream].reject(sequences, reason)
            self._session.outgoing.append((peer.connection, Reject(stream, sequences, reason)))
