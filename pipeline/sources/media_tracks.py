"""The picture track and the sound track of a medium: packets in, samples out.

A packet that cannot be decoded is rejected as corrupt and the track goes on. What comes before
a track's first time is decoded, because what follows builds on it, and skipped: RTSP servers
give the first picture after PLAY without a time. Later, a missing time is rejected too.
Stamps of one track never go back within an epoch: where the estimate of the offset falls by
more than the time between two samples, the later stamp is held just behind the earlier one
and the uncertainty says by how much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.error import FFmpegError

from pipeline.core.errors import BadReading, SourceUnavailable
from pipeline.core.jpeg import check_jpeg
from pipeline.core.ledger import DropReason
from pipeline.core.picture_times import CountedTimes, PictureTimes
from pipeline.core.sample import Encoding, Modality, Payload, Sample, StreamInfo
from pipeline.sources.media_clock import Timeline
from pipeline.sources.media_input import packet_pts_ns, reason_of
from pipeline.sources.media_picture import Decimator, PictureFormat
from pipeline.sources.media_sound import SampleCounter, SoundFormat, to_ns

Reject = Callable[[str, DropReason, str], None]
MOST_LIKELY_HZ = (0.1, 240.0)
GAP_NS = 8_000_000


def _medium_ns(
    ticks: int | None, frame: av.VideoFrame | av.AudioFrame, time_base: Fraction | None
) -> int | None:
    """A frame's time on the medium; those that leave the decoder last lack their time base."""
    frame.time_base = frame.time_base or time_base
    if ticks is None or frame.time_base is None:
        return None
    return to_ns(ticks, frame.time_base)


@dataclass(slots=True)
class _Begin:
    """Knows whether a track has had a time yet."""

    name: str
    reject: Reject
    begun: bool = False

    def time_ns(self, pts_ns: int | None, what: str) -> int | None:
        """A time as it is; a missing one is rejected once the track has begun."""
        if pts_ns is None and self.begun:
            self.reject(self.name, DropReason.CORRUPT, f"{what} without a time")
        self.begun |= pts_ns is not None
        return pts_ns


@dataclass(slots=True)
class _Stamper:
    """Stamps of one track, strictly growing within an epoch."""

    last_ns: int = 0
    epoch: int = -1

    def stamp(self, timeline: Timeline, pts_ns: int) -> tuple[int, int]:
        """Time and uncertainty of a sample."""
        stamp = timeline.stamp(pts_ns)
        held = 0
        if timeline.epoch == self.epoch and stamp <= self.last_ns:
            held = self.last_ns + 1 - stamp
        self.last_ns, self.epoch = stamp + held, timeline.epoch
        return stamp + held, timeline.uncertainty_ns + held


class VideoTrack:
    """Pictures.

    Args:
        name: Name of the stream.
        stream: Stream of the open medium.
        form: What pictures are to be.
        limit_hz: Most pictures a second; None: all.
        stamp_kind: What the stamps mean, for `StreamInfo`.
        reject: Where unusable packets go.
        counted: Whether packets have no time but what they are counted to, by the announced rate.
    """

    def __init__(
        self,
        name: str,
        stream: av.VideoStream,
        form: PictureFormat,
        limit_hz: float | None,
        stamp_kind: str,
        reject: Reject,
        *,
        counted: bool = False,
    ) -> None:
        self._name = name
        self._codec = stream.codec_context
        self._time_base = stream.time_base
        self._codec.thread_type = "SLICE"  # threads over frames would delay each by some
        self._form = form
        self._decimator = Decimator(limit_hz)
        self._times: CountedTimes | PictureTimes = CountedTimes() if counted else PictureTimes()
        self._reject = reject
        self._begin = _Begin(name, reject)
        self._stamper = _Stamper()
        self._timeline: Timeline | None = None
        self._size = (self._codec.width, self._codec.height)
        if not all(self._size):
            raise SourceUnavailable("the picture's size is not known", where=name)
        self._passes_jpeg = self._codec.name == "mjpeg" and form.jpeg_quality is not None
        self._passes_jpeg &= form.size(*self._size) == self._size
        self.info = self._info(_rate(stream, counted), limit_hz, stamp_kind)

    def take_over(self, previous: VideoTrack) -> None:
        """Go on where the track of the previous round of a loop ended."""
        self._stamper = previous._stamper
        self._decimator = previous._decimator

    def feed(self, packet: av.Packet[Any] | None, timeline: Timeline) -> Iterator[Sample]:
        """Samples that a packet completes; None: those still in the decoder."""
        if self._timeline is not None and timeline is not self._timeline:
            yield from self._decode(None, self._timeline)
            self._codec.flush_buffers()
        self._timeline = timeline
        if packet is not None and self._passes_jpeg:
            yield from self._pass(packet, timeline)
        else:
            yield from self._decode(packet, timeline)

    def _pass(self, packet: av.Packet[Any], timeline: Timeline) -> Iterator[Sample]:
        pts_ns = self._begin.time_ns(packet_pts_ns(packet), "picture")
        if pts_ns is None or not self._decimator.keep(timeline.medium_ns(pts_ns)):
            return
        try:
            jpeg = check_jpeg(bytes(packet))
        except BadReading as error:
            self._reject(self._name, DropReason.CORRUPT, error.message)
            return
        yield self._sample(jpeg, Encoding.JPEG, timeline, pts_ns)

    def _decode(self, packet: av.Packet[Any] | None, timeline: Timeline) -> Iterator[Sample]:
        try:
            frames = self._codec.decode(packet)
        except FFmpegError as error:
            self._reject(self._name, DropReason.CORRUPT, reason_of(error))
            return
        for frame in frames:
            yield from self._convert(frame, timeline)

    def _convert(self, frame: av.VideoFrame, timeline: Timeline) -> Iterator[Sample]:
        if frame.is_corrupt:
            self._reject(self._name, DropReason.CORRUPT, "damaged picture")
            return
        ticks = self._times.of(frame.pts, frame.dts)
        pts_ns = self._begin.time_ns(_medium_ns(ticks, frame, self._time_base), "picture")
        if pts_ns is None:
            return
        self._check_size(frame)
        if self._decimator.keep(timeline.medium_ns(pts_ns)):
            payload, encoding = self._form.make(frame)
            yield self._sample(payload, encoding, timeline, pts_ns)

    def _check_size(self, frame: av.VideoFrame) -> None:
        if self._form.size(frame.width, frame.height) != self._form.size(*self._size):
            raise SourceUnavailable(
                f"the picture changed from {self._size[0]}x{self._size[1]} "
                f"to {frame.width}x{frame.height}",
                where=self._name,
            )

    def _sample(
        self, payload: Payload, encoding: Encoding, timeline: Timeline, pts_ns: int
    ) -> Sample:
        stamp_ns, uncertainty_ns = self._stamper.stamp(timeline, pts_ns)
        return Sample(self._name, 0, stamp_ns, payload, encoding, uncertainty_ns, timeline.epoch)

    def _info(self, rate_hz: float | None, limit_hz: float | None, stamp: str) -> StreamInfo:
        width, height = self._form.size(*self._size)
        known = [r for r in (rate_hz, limit_hz) if r is not None]
        return StreamInfo(
            self._name,
            Modality.VIDEO,
            rate_hz=min(known) if rate_hz is not None else None,
            shape=(height, width, 3),
            dtype="uint8",
            stamp=stamp,
        )


class AudioTrack:
    """Sound.

    Args:
        name: Name of the stream.
        stream: Stream of the open medium.
        rate_hz: Rate to resample to; None: its own.
        channels: Channels to mix to; None: its own.
        stamp_kind: What the stamps mean, for `StreamInfo`.
        reject: Where unusable packets go.
    """

    def __init__(
        self,
        name: str,
        stream: av.AudioStream,
        rate_hz: int | None,
        channels: int | None,
        stamp_kind: str,
        reject: Reject,
    ) -> None:
        self._name = name
        self._codec = stream.codec_context
        self._time_base = stream.time_base
        self._rate_hz = rate_hz or self._codec.sample_rate
        channels = channels or self._codec.layout.nb_channels
        if not self._rate_hz or not channels:
            raise SourceUnavailable("the sound's rate or channels are not known", where=name)
        self._form = SoundFormat(self._rate_hz, channels)
        self._counter = SampleCounter(self._rate_hz)
        self._counted_epoch: int | None = None
        self._stamper = _Stamper()
        self._begin = _Begin(name, reject)
        self._reject = reject
        self._timeline: Timeline | None = None
        self._end_ns: int | None = None
        self.info = StreamInfo(
            name,
            Modality.AUDIO,
            rate_hz=float(self._rate_hz),
            shape=(channels,),
            dtype="int16",
            stamp=stamp_kind,
        )

    def take_over(self, previous: AudioTrack) -> None:
        """Go on where the track of the previous round of a loop ended."""
        self._counter = previous._counter
        self._counted_epoch = previous._counted_epoch
        self._stamper = previous._stamper

    def feed(self, packet: av.Packet[Any] | None, timeline: Timeline) -> Iterator[Sample]:
        """Samples that a packet completes; None: those still in decoder and resampler."""
        if self._timeline is not None and timeline is not self._timeline:
            yield from self._rest(self._timeline)
            self._codec.flush_buffers()
        self._timeline = timeline
        if packet is None:
            yield from self._rest(timeline)
        else:
            yield from self._decode(packet, timeline)

    def _decode(self, packet: av.Packet[Any] | None, timeline: Timeline) -> Iterator[Sample]:
        try:
            frames = self._codec.decode(packet)
        except FFmpegError as error:
            self._reject(self._name, DropReason.CORRUPT, reason_of(error))
            return
        for frame in frames:
            pts_ns = self._begin.time_ns(_medium_ns(frame.pts, frame, self._time_base), "sound")
            if pts_ns is not None:
                yield from self._convert(frame, pts_ns, timeline)

    def _convert(self, frame: av.AudioFrame, pts_ns: int, timeline: Timeline) -> Iterator[Sample]:
        if self._end_ns is not None and abs(pts_ns - self._end_ns) > GAP_NS:
            yield from self._samples(None, timeline)
        self._end_ns = pts_ns + frame.samples * 1_000_000_000 // frame.sample_rate
        yield from self._samples(frame, timeline)

    def _rest(self, timeline: Timeline) -> Iterator[Sample]:
        yield from self._decode(None, timeline)
        yield from self._samples(None, timeline)
        self._end_ns = None

    def _samples(self, frame: av.AudioFrame | None, timeline: Timeline) -> Iterator[Sample]:
        if timeline.epoch != self._counted_epoch:
            self._counter, self._counted_epoch = SampleCounter(self._rate_hz), timeline.epoch
        for chunk in self._form.chunks(frame):
            stamp_ns, uncertainty_ns = self._stamper.stamp(timeline, chunk.pts_ns)
            yield Sample(
                self._name,
                0,
                stamp_ns,
                chunk.pcm,
                Encoding.PCM,
                uncertainty_ns,
                timeline.epoch,
                self._counter.place(timeline.medium_ns(chunk.pts_ns), len(chunk.pcm)),
            )
        if frame is None:
            self._form.begin_again()


def _rate(stream: av.VideoStream, counted: bool) -> float | None:
    """Pictures a second, or None when what the medium says cannot be."""
    measured, announced = stream.average_rate, stream.guessed_rate
    rate = announced or measured if counted else measured or announced
    lowest, highest = MOST_LIKELY_HZ
    return float(rate) if rate and lowest <= rate <= highest else None
