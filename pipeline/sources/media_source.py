"""Reads a medium: packets to tracks, tracks to samples, samples out when they are due.

A live sample is due at once, but no packet is decoded before its timeline has settled. A
sample of a file is due when the clock shows its stamp, or at once with ``pace: max``. A loop
opens the file again and goes on with stamps and positions where the last round ended.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from time import monotonic
from urllib.parse import urlsplit

from pipeline.core.errors import SourceEnded
from pipeline.core.ledger import DropReason
from pipeline.core.redact import redact_url
from pipeline.core.sample import Encoding, Sample, StreamInfo
from pipeline.sources.base import SourceContext
from pipeline.sources.media_clock import FilePtsClock, LivePtsClock, Timeline
from pipeline.sources.media_input import (
    Access,
    MediaInput,
    Unit,
    packet_duration_ns,
    packet_pts_ns,
    packet_wall_ns,
)
from pipeline.sources.media_options import MediaOptions
from pipeline.sources.media_picture import PictureFormat
from pipeline.sources.media_tracks import AudioTrack, VideoTrack

SECOND_NS = 1_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHORTEST_WAIT_S = 0.001


class MediaSource:
    """Reads a medium; see `MediaOptions`."""

    def __init__(self, settings: MediaOptions, context: SourceContext) -> None:
        self._settings = settings
        self._context = context
        self._input: MediaInput | None = None
        self._clock: LivePtsClock | FilePtsClock = LivePtsClock()
        self._opened_ns = 0
        self._by_sender = False
        self._pace_ns: int | None = None
        self._tracks: dict[str, VideoTrack | AudioTrack] = {}
        self._timelines: dict[str, Timeline] = {}
        self._held: deque[tuple[Unit, Timeline | None]] = deque()
        self._due: deque[Sample] = deque()
        self._round_samples = 0
        self._closing = threading.Event()

    def open(self) -> tuple[StreamInfo, ...]:
        """See `Source`."""
        medium = self._begin_round()
        self._opened_ns = self._context.clock.now_ns()
        where = redact_url(self._settings.address)
        if medium.finite:
            start = self._settings.start
            start_ns = self._opened_ns if start is None else _to_ns(start)
            self._clock = FilePtsClock(start_ns, medium.origin_ns, where)
            if self._settings.pace == "real_time":
                self._pace_ns = self._opened_ns - start_ns
        else:
            self._clock = LivePtsClock(where, self._settings.sender_time, self._tracks)
        return tuple(track.info for track in self._tracks.values())

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """See `Source`."""
        until = monotonic() + timeout_s
        while not self._closing.is_set():
            if ready := self._take_due():
                return ready
            left_s = until - monotonic()
            if left_s <= 0:
                break
            if self._due:
                self._closing.wait(min(left_s, self._wait_s(self._due[0])))
            else:
                self._advance(left_s)
        return ()

    def close(self) -> None:
        """See `Source`."""
        self._closing.set()
        if self._input is not None:
            self._input.close()
            self._input = None

    def _begin_round(self) -> MediaInput:
        """Open the medium and its tracks, for the first time or for a loop."""
        if self._input is not None:
            self._input.close()
        medium = MediaInput(self._access(), self._context.clock, self._drop)
        self._input = medium
        exact = medium.finite and self._settings.start is not None
        stamp = "exact" if exact else "arrival" if medium.untimed else "pts"
        if self._settings.video is not None:
            self._add_video(medium, self._settings.video, stamp)
        if self._settings.audio is not None:
            self._add_audio(medium, self._settings.audio, stamp)
        medium.start(self._tracks)
        self._round_samples = 0
        return medium

    def _add_video(self, medium: MediaInput, name: str, stamp: str) -> None:
        own = self._settings
        form = PictureFormat(own.width, own.height, own.jpeg_quality)
        stream, reject = medium.video(), self._context.reject
        counted = medium.counted
        track = VideoTrack(name, stream, form, own.video_hz, stamp, reject, counted=counted)
        if isinstance(previous := self._tracks.get("video"), VideoTrack):
            track.take_over(previous)
        self._tracks["video"] = track

    def _add_audio(self, medium: MediaInput, name: str, stamp: str) -> None:
        own = self._settings
        stream, reject = medium.audio(), self._context.reject
        track = AudioTrack(name, stream, own.audio_hz, own.audio_channels, stamp, reject)
        if isinstance(previous := self._tracks.get("audio"), AudioTrack):
            track.take_over(previous)
        self._tracks["audio"] = track

    def _access(self) -> Access:
        options = dict(self._settings.options)
        if urlsplit(self._settings.address).scheme in {"rtsp", "rtsps"}:
            options.setdefault("rtsp_transport", self._settings.rtsp_transport)
            # The rate stands in the stream's header; measuring it delays opening by seconds.
            options.setdefault("fpsprobesize", "0")
        own = self._settings
        return Access(own.address, options, own.open_timeout_s, own.read_timeout_s)

    def _drop(self, track: str, reason: DropReason, detail: str) -> None:
        name = self._settings.video if track == "video" else self._settings.audio
        self._context.reject(name or track, reason, detail)

    def _take_due(self) -> list[Sample]:
        """Samples whose time has come."""
        now_ns = self._context.clock.now_ns()
        ready: list[Sample] = []
        while self._due and self._due_ns(self._due[0]) <= now_ns:
            ready.append(self._due.popleft())
        return ready

    def _due_ns(self, sample: Sample) -> int:
        return 0 if self._pace_ns is None else sample.timestamp_ns + self._pace_ns

    def _wait_s(self, sample: Sample) -> float:
        left_ns = self._due_ns(sample) - self._context.clock.now_ns()
        return max(left_ns / SECOND_NS, SHORTEST_WAIT_S)

    def _advance(self, timeout_s: float) -> None:
        """Take one packet off the medium, and decode what may be decoded by now."""
        if self._input is None:
            return
        try:
            unit = self._input.get(min(timeout_s, 0.05) if self._held else timeout_s)
        except SourceEnded:
            self._end_round()
            return
        if unit is not None:
            self._place(unit)
        self._decode_settled()

    def _place(self, unit: Unit) -> None:
        """Put a packet on its timeline; one without a time goes on its predecessor's."""
        packet = unit.packet
        if self._input is not None and self._input.untimed and packet.size:
            packet.time_base = Fraction(1, SECOND_NS // 1000)
            packet.pts = packet.dts = (unit.arrival_ns - self._opened_ns) // 1000
        pts_ns = packet_pts_ns(packet)
        timeline = self._timelines.get(unit.track)
        if pts_ns is not None:
            timeline = self._timeline_of(unit, pts_ns)
            self._timelines[unit.track] = timeline
            self._announce()
        self._held.append((unit, timeline))

    def _timeline_of(self, unit: Unit, pts_ns: int) -> Timeline:
        duration_ns = packet_duration_ns(unit.packet)
        if isinstance(self._clock, FilePtsClock):
            return self._clock.place(unit.track, pts_ns, duration_ns)
        lasts_ns = duration_ns if unit.track == "audio" else 0
        wall_ns = packet_wall_ns(unit.packet)
        return self._clock.place(unit.track, pts_ns, unit.arrival_ns, lasts_ns, wall_ns)

    def _announce(self) -> None:
        """Say so when stamps have become the sender's own, or ceased to be."""
        if not isinstance(self._clock, LivePtsClock) or self._clock.by_sender is self._by_sender:
            return
        self._by_sender = self._clock.by_sender
        for track in self._tracks.values():
            track.info = replace(track.info, stamp="sender" if self._by_sender else "pts")
        self._context.announce(tuple(track.info for track in self._tracks.values()))

    def _decode_settled(self) -> None:
        """Decode packets in order, up to the first whose timeline is not settled.

        A key frame may come without a time before anything has one; it waits for the first
        timeline of its track, because the pictures after it cannot do without it.
        """
        now_ns = self._context.clock.now_ns()
        while self._held:
            unit, timeline = self._held[0]
            timeline = timeline or self._timelines.get(unit.track)
            if timeline is None or not timeline.settled(now_ns):
                return
            self._held.popleft()
            self._decode(unit, timeline)

    def _decode(self, unit: Unit, timeline: Timeline) -> None:
        packet = unit.packet if unit.packet.size else None
        for sample in self._tracks[unit.track].feed(packet, timeline):
            self._due.append(sample)
            self._round_samples += 1
            if isinstance(self._clock, FilePtsClock):
                self._clock.extend(sample.timestamp_ns + self._length_ns(sample))

    def _length_ns(self, sample: Sample) -> int:
        """How long the sound of a sample lasts; pictures are given their length by packets."""
        track = self._tracks.get("audio")
        if sample.encoding is not Encoding.PCM or track is None or not track.info.rate_hz:
            return 0
        return int(len(sample.data) * SECOND_NS / track.info.rate_hz)

    def _end_round(self) -> None:
        """The file is at its end: begin again, or end once everything was given."""
        looping = self._settings.loop and isinstance(self._clock, FilePtsClock)
        if not looping or not self._round_samples:
            raise SourceEnded(f"end of {redact_url(self._settings.address)}")
        self._timelines.clear()
        self._begin_round()
        if isinstance(self._clock, FilePtsClock):
            self._clock.begin_again()


def _to_ns(when: datetime) -> int:
    """Nanoseconds since the Unix epoch, exactly."""
    since = when - EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND_NS + since.microseconds * 1000
