"""Messages of a recording as arrivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from pipeline.core.arrival import (
    Arrival,
    HopSet,
    LedgerReport,
    SampleArrived,
    SamplesWait,
    StreamEnded,
    StreamOpened,
)
from pipeline.core.errors import RecordingError
from pipeline.core.ledger import StreamAccount
from pipeline.core.sample import Encoding, StreamInfo
from pipeline.recording.layout import HOPS, TOPIC, WAITS
from pipeline.recording.mcap_index import McapIndex
from pipeline.recording.mcap_reader import Message
from pipeline.recording.messages import sample_codec


@dataclass(frozen=True, slots=True)
class Recorded:
    """An arrival, and whether a further file merely repeats it (see `RecordingFolder`)."""

    arrival: Arrival
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """A node's clock as it was recorded: ``site_ns = node_ns + offset_ns``."""

    arrival_ns: int
    node: str
    offset_ns: int
    uncertainty_ns: int


class _Opened(msgspec.Struct):
    node: str
    info: StreamInfo
    repeated: bool = False


class _Ended(msgspec.Struct):
    node: str
    stream: str


class _Ledger(msgspec.Struct):
    node: str
    accounts: dict[str, StreamAccount]


class _Hop(msgspec.Struct):
    scene: str
    times: int
    from_ns: int
    lag_ns: int = 0
    left_out: int = 0
    repeated: bool = False


class _Wait(msgspec.Struct):
    node: str
    until_ns: int


class _Clock(msgspec.Struct):
    node: str
    offset_ns: int
    uncertainty_ns: int


_STREAM_INFO_DECODER = msgspec.json.Decoder(StreamInfo)
_OPENED_DECODER = msgspec.json.Decoder(_Opened)
_ENDED_DECODER = msgspec.json.Decoder(_Ended)
_LEDGER_DECODER = msgspec.json.Decoder(_Ledger)
_HOP_DECODER = msgspec.json.Decoder(_Hop)
_WAIT_DECODER = msgspec.json.Decoder(_Wait)
_CLOCK_DECODER = msgspec.json.Decoder(_Clock)


_Decode: TypeAlias = Callable[[Message], Recorded]


class ArrivalDecoder:
    """Turns messages into arrivals, and counts those that cannot be read.

    Args:
        index: Channels of the file; it may learn more while the file is read.
    """

    def __init__(self, index: McapIndex) -> None:
        self.unreadable = 0
        self._index = index
        self._decoders: dict[int, _Decode | None] = {}

    def decode(self, message: Message) -> Recorded | None:
        """What arrived; None when the message is no arrival or not readable."""
        try:
            if message.channel not in self._decoders:
                self._decoders[message.channel] = self._decoder(message.channel)
            decode = self._decoders[message.channel]
            return decode(message) if decode is not None else None
        except (ValueError, KeyError, TypeError, msgspec.MsgspecError, RecordingError):
            self.unreadable += 1
            return None

    def _decoder(self, number: int) -> _Decode | None:
        channel = self._index.channels[number]
        if "info" in channel.metadata:
            return _sample_decoder(channel.metadata)
        return _CONTROL_DECODERS.get(channel.topic.removeprefix(TOPIC))


def clock_offset(message: Message) -> ClockOffset:
    """A message of the clock topic.

    Raises:
        msgspec.DecodeError: It is not one.
    """
    try:
        clock = _CLOCK_DECODER.decode(message.body)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"not UTF-8: {error.reason}") from error
    return ClockOffset(message.log_time_ns, clock.node, clock.offset_ns, clock.uncertainty_ns)


def _sample_decoder(metadata: Mapping[str, str]) -> _Decode:
    info = _STREAM_INFO_DECODER.decode(metadata["info"])
    decode = sample_codec(info, Encoding(metadata["encoding"])).decode
    node = metadata["node"]

    def read(message: Message) -> Recorded:
        return Recorded(SampleArrived(message.log_time_ns, node, decode(message.body)))

    return read


def _opened(message: Message) -> Recorded:
    body = _OPENED_DECODER.decode(message.body)
    return Recorded(StreamOpened(message.log_time_ns, body.node, body.info), body.repeated)


def _ended(message: Message) -> Recorded:
    body = _ENDED_DECODER.decode(message.body)
    return Recorded(StreamEnded(message.log_time_ns, body.node, body.stream))


def _ledger(message: Message) -> Recorded:
    body = _LEDGER_DECODER.decode(message.body)
    return Recorded(LedgerReport(message.log_time_ns, body.node, body.accounts))


def _hop(message: Message) -> Recorded:
    body = _HOP_DECODER.decode(message.body)
    if body.times < 1:
        raise ValueError(f"a hop {body.times} times as wide")
    how = (body.times, body.from_ns, body.lag_ns, body.left_out)
    return Recorded(HopSet(message.log_time_ns, body.scene, *how), body.repeated)


def _wait(message: Message) -> Recorded:
    body = _WAIT_DECODER.decode(message.body)
    return Recorded(SamplesWait(message.log_time_ns, body.node, body.until_ns))


_CONTROL_DECODERS: dict[str, _Decode] = {
    "streams": _opened,
    "ended": _ended,
    "ledger": _ledger,
    HOPS: _hop,
    WAITS: _wait,
}
