"""Streams whose announcement lay in a chunk that is damaged: their channels say what they are.

The channel of a stream's samples carries its node and `StreamInfo`, and stands outside of any
chunk, too. So a sample always tells its stream, and the announcement that is missing can be made
anew, right before the first sample that lacks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from mcap.records import Channel

from pipeline.core.arrival import Arrival, HopSet, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.sample import StreamInfo

_STREAM_INFO_DECODER = msgspec.json.Decoder(StreamInfo)


def stream_of(channel: Channel) -> tuple[str, StreamInfo] | None:
    """Node and stream of a channel of samples; None of any other and of one that is damaged."""
    try:
        return channel.metadata["node"], _STREAM_INFO_DECODER.decode(channel.metadata["info"])
    except (KeyError, ValueError, msgspec.MsgspecError):
        return None


def unannounced(
    channels: Mapping[int, Channel], said: Iterable[StreamOpened | StreamEnded | HopSet]
) -> dict[int, tuple[str, StreamInfo]]:
    """Node and stream of each channel whose stream is never announced as what it is there."""
    known = {(s.node, s.info) for s in said if isinstance(s, StreamOpened)}
    streams = {number: stream_of(channel) for number, channel in channels.items()}
    return {n: stream for n, stream in streams.items() if stream and stream not in known}


class Announcements:
    """Follows which streams are announced, and announces one that a sample finds missing.

    Args:
        channels: Channels of the file; there may be more while it is read.
        opened: What is announced already.
    """

    def __init__(self, channels: Mapping[int, Channel], opened: Iterable[Arrival]) -> None:
        self._channels = channels
        self._open: dict[tuple[str, str], StreamInfo] = {}
        self._fit: set[int] = set()  # channels whose stream is open as what it is there
        for arrival in opened:
            self.missing_before(0, arrival)

    def missing_before(self, channel: int, arrival: Arrival) -> StreamOpened | None:
        """The announcement that `arrival`, of this channel, lacks; None when it lacks none."""
        if isinstance(arrival, SampleArrived):
            return None if channel in self._fit else self._announced(channel, arrival.arrival_ns)
        if isinstance(arrival, StreamOpened):
            self._open[arrival.node, arrival.info.name] = arrival.info
            self._fit.clear()
        elif isinstance(arrival, StreamEnded):
            self._open.pop((arrival.node, arrival.stream), None)
            self._fit.clear()
        return None

    def _announced(self, channel: int, arrival_ns: int) -> StreamOpened | None:
        stream = stream_of(self._channels[channel])
        if stream is None:
            return None
        node, info = stream
        missing = self._open.get((node, info.name)) != info
        if missing:
            self._open[node, info.name] = info
            self._fit.clear()
        self._fit.add(channel)
        return StreamOpened(arrival_ns, node, info) if missing else None
