"""Reading audio and video files for an import, as far as they can be read.

What cannot be decoded is counted and left out; where the container itself cannot be read any
further, the file ends there, and that is noted.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from pipeline.core.errors import RecordingError
from pipeline.core.ledger import DropReason
from pipeline.recording.import_report import InputReport, check_file

# A tag in some old encoding is no reason to refuse a file. PyAV took an option for that up to
# 18; from 19 on it has none and always reads such tags.
_LENIENT: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)

_GUESSED = frozenset({"aac", "ac3", "dts", "eac3", "m4v", "mp3", "mpegvideo"})
"""Formats that do not say their length: FFmpeg guesses it by the size and the first bitrate."""
_NOTHING = Fraction(0)


def open_media(path: Path) -> Any:  # noqa: ANN401 - PyAV's container
    """Open a media file; to be closed by ``with``.

    Raises:
        SourceUnavailable: There is no such file.
        RecordingError: It is not a media file.
    """
    check_file(path)
    try:
        return av.open(str(path), **_LENIENT)
    except (av.error.FFmpegError, OSError) as error:
        raise RecordingError(
            f"not a video or audio file: {error.strerror}", where=str(path)
        ) from error


def container_start(container: Any) -> Fraction:  # noqa: ANN401 - PyAV's container
    """Second at which the container's clock starts, so that its streams stay together."""
    return Fraction(container.start_time or 0, av.time_base)


def media_stream(container: Any, report: InputReport) -> Any:  # noqa: ANN401 - PyAV's types
    """The picture or sound track of a file with the stream's name as its title, else the first.

    Raises:
        RecordingError: There is none, or none that can be decoded.
    """
    named = "video" if report.kind == "video" else "sound"
    tracks = container.streams.video if report.kind == "video" else container.streams.audio
    if not tracks:
        raise RecordingError(f"the file holds no {named}", where=report.path)
    titles = [track.metadata.get("title", "") for track in tracks]
    meant = report.stream in titles
    if len(tracks) > 1 and not meant:
        told = ", ".join(title or "no title" for title in titles)
        report.note(
            f"it holds {len(tracks)} tracks of {named} ({told}): the first is taken; "
            "a stream with the title of one takes that"
        )
    track = tracks[titles.index(report.stream) if meant else 0]
    if track.codec_context is None:
        raise RecordingError(f"the file holds {named} that cannot be decoded", where=report.path)
    return track


def length_ns(container: Any, stream: Any, each_s: Fraction = _NOTHING) -> int:  # noqa: ANN401
    """How long a file is: as it says, else to the end of its last packet, for which all are read.

    Args:
        container: Open for reading, from its start.
        stream: Its stream.
        each_s: Seconds of a packet that says neither its time nor its length.
    """
    said_us: int = container.duration or 0
    if said_us and container.format.name not in _GUESSED:
        return said_us * 1000
    start_s, end_s = container_start(container), Fraction(0)
    for packet in packets(container, stream, InputReport("", "", "")):
        if not packet.size:
            continue
        at_s: Fraction = end_s if packet.pts is None else packet.pts * packet.time_base - start_s
        long_s: Fraction = packet.duration * packet.time_base if packet.duration else each_s
        end_s = max(end_s, at_s + long_s)
    return round(end_s * 1_000_000_000)


def packets(
    container: Any,  # noqa: ANN401 - PyAV's types
    stream: Any,  # noqa: ANN401
    report: InputReport,
) -> Iterator[Any]:
    """Packets of a stream, up to where the container is too damaged to be read."""
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError:
        report.note("it is damaged: the rest of it cannot be read")


def decoded(packet: Any, report: InputReport) -> list[Any] | None:  # noqa: ANN401 - PyAV's packet
    """Frames that come out of a decoder for a packet; None when it is damaged, which is counted."""
    try:
        return list(packet.decode())
    except av.error.FFmpegError:
        report.drop(DropReason.CORRUPT)
        return None
