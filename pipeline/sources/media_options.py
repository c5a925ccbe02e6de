"""What can be told to a network stream or a file; see `pipeline.sources.media`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from pipeline.sources.base import SourceSettings
from pipeline.sources.media_sender import SenderTime


class MediaOptions(SourceSettings):
    """A network stream or a file that FFmpeg can read."""

    type: Literal["media"] = "media"
    """Kind of source."""

    url: str | None = Field(default=None, min_length=1)
    """Network stream: ``rtsp://user:password@host/path``, ``http://...``."""

    file: Path | None = None
    """File to read instead of a network stream."""

    video: str | None = None
    """Name of the stream for its picture; none: leave the picture out."""

    audio: str | None = None
    """Name of the stream for its sound; none: leave the sound out."""

    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    """How RTSP carries its data; UDP loses packets."""

    sender_time: SenderTime = "auto"
    """Live streams: stamp by the wall clock of the sender where it tells it (RTSP cameras do).
    auto: while that is plausible, half a second behind ours at most; always: whatever it says;
    never: by the smallest delay alone."""

    open_timeout_s: float = Field(default=10.0, gt=0, le=15.0)
    """Longest time to connect, seconds."""

    read_timeout_s: float = Field(default=4.0, gt=0)
    """A live stream that sends nothing for this long is opened again, seconds."""

    options: dict[str, str] = {}
    """Further options for FFmpeg, as its command line has them."""

    loop: bool = False
    """Files: begin again at the end; stamps go on without a gap."""

    pace: Literal["real_time", "max"] = "real_time"
    """Files: give samples when they are due, or as fast as they are taken (needs start)."""

    start: AwareDatetime | None = None
    """Files: when the recording began, ISO 8601 with offset; none: it begins when opened."""

    video_hz: float | None = Field(default=None, gt=0)
    """Most pictures a second; none: all."""

    width: int | None = Field(default=None, ge=16)
    """Scale wider pictures down to this, pixels."""

    height: int | None = Field(default=None, ge=16)
    """Scale higher pictures down to this, pixels."""

    jpeg_quality: int | None = Field(default=85, ge=1, le=100)
    """Give pictures as JPEG of this quality; null: as raw BGR."""

    audio_hz: int | None = Field(default=None, ge=1000, le=192_000)
    """Resample sound to this rate; none: keep its own."""

    audio_channels: int | None = Field(default=None, ge=1, le=8)
    """Mix sound to this many channels; none: keep its own."""

    isolated: ClassVar[bool] = True
    default_stall_s: ClassVar[float | None] = 5.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.url is None) == (self.file is None):
            raise ValueError("write either 'url' or 'file'")
        if self.video is None and self.audio is None:
            raise ValueError("name a stream for 'video', for 'audio', or for both")
        if self.video == self.audio:
            raise ValueError("'video' and 'audio' need different stream names")
        if self.pace == "max" and self.start is None:
            raise ValueError("'pace: max' runs ahead of the clock, so it needs 'start'")
        return self

    @property
    def address(self) -> str:
        """What FFmpeg is to open."""
        return str(self.file) if self.url is None else self.url

    def stream_names(self) -> tuple[str, ...]:
        """The picture's stream, then the sound's."""
        return tuple(name for name in (self.video, self.audio) if name is not None)

    def waits_for_taker(self) -> bool:
        """A file read as fast as it is taken waits; everything else is live."""
        return self.pace == "max"
