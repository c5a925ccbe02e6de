"""Opens a medium with FFmpeg and takes packets off it in a thread of its own.

A packet is stamped the moment the demuxer gives it, so that the time it takes to decode the
one before does not count as delay of the network. Live packets that nobody takes in time are
dropped, video up to its next key frame, and counted; packets of a file wait.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import av
import structlog
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError

from pipeline.core.clock import Clock
from pipeline.core.errors import SourceEnded, SourceError, SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.redact import redact_url
from pipeline.sources.media_sound import to_ns

log = structlog.get_logger(__name__)

SECOND_NS = 1_000_000_000
LIVE_PACKETS = 512
FILE_PACKETS = 32
UNTIMED_FORMATS = frozenset({"mpjpeg", "mjpeg", "h264", "hevc"})
"""Formats that carry no time: FFmpeg makes one up from an assumed rate. Live, the time of arrival
is better; a file has nothing but the rate it announces."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to get at a medium.

    Attributes:
        url: Address or path.
        options: Options for FFmpeg.
        open_timeout_s: Longest time to connect.
        read_timeout_s: Longest wait for data.
    """

    url: str
    options: dict[str, str]
    open_timeout_s: float
    read_timeout_s: float


@dataclass(frozen=True, slots=True)
class Unit:
    """A packet and when it came; the packet that ends a track is empty.

    Attributes:
        track: ``video`` or ``audio``.
        packet: What the demuxer gave.
        arrival_ns: Node time right after it was given.
    """

    track: str
    packet: av.Packet[Any]
    arrival_ns: int


def packet_pts_ns(packet: av.Packet[Any]) -> int | None:
    """A packet's time on the medium, nanoseconds; None when it has none."""
    ticks = packet.pts if packet.pts is not None else packet.dts
    if ticks is None or packet.time_base is None:
        return None
    return to_ns(ticks, packet.time_base)


def packet_duration_ns(packet: av.Packet[Any]) -> int:
    """How long a packet lasts, nanoseconds; 0 when it does not say."""
    if not packet.duration or packet.time_base is None:
        return 0
    return to_ns(packet.duration, packet.time_base)


def packet_wall_ns(packet: av.Packet[Any]) -> int | None:
    """What the sender's clock showed at a packet's time, UTC; None when it did not say.

    FFmpeg's producer reference time begins with a signed count of microseconds.
    """
    if not packet.has_sidedata("prft"):
        return None
    data = bytes(packet.get_sidedata("prft"))
    return int.from_bytes(data[:8], sys.byteorder, signed=True) * 1000


def open_container(access: Access) -> InputContainer:
    """Open a medium for reading.

    Raises:
        SourceUnavailable: It is not there, refuses us, or is nothing FFmpeg can read.
    """
    shown = redact_url(access.url)
    timeout = (access.open_timeout_s, access.read_timeout_s)
    try:
        return av.open(access.url, options=access.options, timeout=timeout)
    except FFmpegError as error:
        raise SourceUnavailable(
            f"cannot open {shown}: {reason_of(error)}", fix=_advice(error)
        ) from error


def reason_of(error: FFmpegError) -> str:
    """What FFmpeg says, without the URL it adds."""
    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    return redact_url(error.strerror or str(error))


def _advice(error: FFmpegError) -> str:
    if isinstance(error, av.error.FileNotFoundError):
        return "check the path"
    if isinstance(error, av.error.HTTPUnauthorizedError):
        return "put user and password into the URL: rtsp://user:password@host/path"
    if isinstance(error, av.error.HTTPNotFoundError):
        return "the server is there, check the path after the host"
    if isinstance(error, InvalidDataError):
        return "play it with ffplay to see whether it is a medium"
    return ""


def is_finite(url: str, container: InputContainer) -> bool:
    """Whether a medium is a file, wherever it lies, and not a live stream."""
    scheme = urlsplit(url).scheme
    if scheme in {"http", "https"}:
        return bool(container.duration)
    return scheme in {"", "file"}


class MediaInput:
    """An open medium.

    Args:
        access: Where and how.
        clock: Node time, for arrivals.
        dropped: Called with the track for each packet that nobody took in time.

    Attributes:
        container: What FFmpeg opened.
        finite: Whether it is a file.
        untimed: Whether packets carry no time but that of their arrival.
        counted: Whether they carry none but their place in a file.
    """

    def __init__(
        self, access: Access, clock: Clock, dropped: Callable[[str, DropReason, str], None]
    ) -> None:
        self._access = access
        self._clock = clock
        self._dropped = dropped
        self.container = open_container(access)
        self.finite = is_finite(access.url, self.container)
        raw = self.container.format.name in UNTIMED_FORMATS
        self.untimed, self.counted = raw and not self.finite, raw and self.finite
        self._queue: queue.Queue[Unit | SourceError] = queue.Queue(
            FILE_PACKETS if self.finite else LIVE_PACKETS
        )
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._skipping = False
        self._elapsed = 0  # ticks that the packets of a raw file lasted so far

    @property
    def origin_ns(self) -> int | None:
        """PTS at which a file begins, nanoseconds; None when it does not say."""
        start_us = self.container.start_time
        return None if start_us is None else start_us * 1000

    def video(self) -> av.VideoStream:
        """The first picture track.

        Raises:
            SourceUnavailable: There is none.
        """
        if self.container.streams.video:
            return self.container.streams.video[0]
        raise self._lacks("video")

    def audio(self) -> av.AudioStream:
        """The first sound track.

        Raises:
            SourceUnavailable: There is none.
        """
        if self.container.streams.audio:
            return self.container.streams.audio[0]
        raise self._lacks("audio")

    def _lacks(self, track: str) -> SourceUnavailable:
        there = ", ".join(sorted({s.type for s in self.container.streams})) or "nothing"
        return SourceUnavailable(
            f"{redact_url(self._access.url)} has no {track}, only {there}",
            fix=f"leave out {track!r} in the settings of this source",
        )

    def start(self, tracks: Iterable[str]) -> None:
        """Begin to take packets of these tracks."""
        streams = [self.video() if track == "video" else self.audio() for track in tracks]
        self._thread = threading.Thread(
            target=self._demux, args=(streams,), name="demux", daemon=True
        )
        self._thread.start()

    def get(self, timeout_s: float) -> Unit | None:
        """The next packet, or None when none came in time.

        Raises:
            SourceEnded: The file is at its end.
            SourceUnavailable: The stream ended or was lost.
        """
        try:
            unit = self._queue.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return None
        if isinstance(unit, Unit):
            return unit
        self._queue.put(unit)  # the end stays the end for whoever asks again
        raise unit

    def close(self) -> None:
        """Close the medium, unless the demuxer hangs in it: then it is left to its fate."""
        self._closing.set()
        while not self._queue.empty():
            self._queue.get_nowait()
        if self._thread is not None:
            self._thread.join(timeout=0.5)
            if self._thread.is_alive():
                return
        self.container.close()

    def _demux(self, streams: Sequence[av.VideoStream | av.AudioStream]) -> None:
        try:
            self._put(self._take_packets(streams))
        except FFmpegError as error:
            self._put(self._loss(error))

    def _take_packets(self, streams: Sequence[av.VideoStream | av.AudioStream]) -> SourceError:
        """Take packets until there are no more; why that is."""
        shown = redact_url(self._access.url)
        last_ns = self._clock.now_ns()
        for packet in self.container.demux(*streams):
            now_ns = self._clock.now_ns()
            unit = Unit(packet.stream.type, packet, now_ns)
            if self._closing.is_set():
                break
            if self.finite:
                self._count_on(packet)
                self._put(unit)
                continue
            self._put_live(unit)
            # After a silence FFmpeg gives the packet its parser held back, not an error.
            if now_ns - last_ns >= self._access.read_timeout_s * SECOND_NS:
                return SourceUnavailable(f"lost {shown}: no answer in time")
            last_ns = now_ns
        if self.finite:
            return SourceEnded(f"end of {shown}")
        return SourceUnavailable(f"lost {shown}: the server ended the stream")

    def _count_on(self, packet: av.Packet[Any]) -> None:
        """Give a packet of a raw file its time, which is the length of those before it."""
        if self.counted and packet.size and packet.pts is None and packet.dts is None:
            packet.pts = packet.dts = self._elapsed
            self._elapsed += packet.duration or 0

    def _loss(self, error: FFmpegError) -> SourceError:
        shown = redact_url(self._access.url)
        if isinstance(error, InvalidDataError) and self.finite:
            log.warning("file is damaged, nothing can be read from here on", path=shown)
            return SourceEnded(f"{shown} is damaged")
        return SourceUnavailable(f"lost {shown}: {reason_of(error)}")

    def _put(self, unit: Unit | SourceError) -> None:
        while not self._closing.is_set():
            try:
                return self._queue.put(unit, timeout=0.2)
            except queue.Full:
                continue

    def _put_live(self, unit: Unit) -> None:
        """Queue a packet, or drop it and with it the video that depends on it."""
        if unit.track == "video" and self._skipping and not unit.packet.is_keyframe:
            return self._drop(unit)
        try:
            self._queue.put_nowait(unit)
        except queue.Full:
            self._skipping |= unit.track == "video"
            return self._drop(unit)
        if unit.track == "video":
            self._skipping = False

    def _drop(self, unit: Unit) -> None:
        detail = "decoding is slower than the stream"
        self._dropped(unit.track, DropReason.READER_OVERRUN, detail)
