"""A recording for people without MCAP tools: one Matroska file, and tables beside it.

``FOLDER/NAME.mkv`` holds a track for every video and audio stream, named after it. Pictures stay
the JPEGs that they are (raw ones become JPEGs of high quality), sound stays 16-bit PCM. Matroska
counts milliseconds, so the exact time of each frame and of each piece of sound stands in
``STREAM.times.csv``. Sensors are ``STREAM.csv``, text is ``STREAM.txt``, events ``events.jsonl``.
All of it can be imported again.

What a track cannot hold is left out of it and counted: frames of another size than their
stream announced, sound of another channel count, damaged pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import av
import av.error

from pipeline.core.arrival import SampleArrived
from pipeline.core.errors import RecordingError
from pipeline.core.event import to_json
from pipeline.core.sample import Modality, Sample
from pipeline.recording.export_tables import (
    ExportedStream,
    LinesFile,
    ReadingsTable,
    file_beside,
)
from pipeline.recording.export_tracks import AudioTrack, Media, VideoTrack
from pipeline.recording.reader import Recording

_TOLD_EVERY = 64
_EVENTS = "events.jsonl"
_TRACKS = frozenset({Modality.VIDEO, Modality.AUDIO})

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export made.

    Attributes:
        folder: Where it lies.
        start_ns: Site time of second 0 of the Matroska file.
        streams: Each stream.
        events: Events written.
        faults: What could not be read of the recording, in words.
    """

    folder: Path
    start_ns: int
    streams: tuple[ExportedStream, ...]
    events: int
    faults: tuple[str, ...]


class _Output(Protocol):
    """What takes the samples of one stream."""

    told: ExportedStream

    def write(self, sample: Sample) -> None: ...


def export_recording(path: Path, folder: Path, progress: Progress | None = None) -> ExportReport:
    """Export a recording.

    Args:
        path: The recording.
        folder: Where to; nothing in it is written over.
        progress: Called now and then with nanoseconds done and in all.

    Raises:
        RecordingError: The recording cannot be read, or the folder not be written.
    """
    with Recording(path) as recording:
        start_ns, end_ns = recording.start_ns, recording.end_ns
        media = folder / f"{path.stem}.mkv"
        events = [to_json(event) for _, event in recording.events()]
        _check_free(recording, media, events)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as stack:
                outputs = _outputs(recording, media, start_ns, stack)
                for count, sample in enumerate(_samples(recording)):
                    outputs[sample.stream].write(sample)
                    if progress is not None and count % _TOLD_EVERY == 0:
                        progress(max(0, sample.timestamp_ns - start_ns), end_ns - start_ns)
            if events:
                (folder / _EVENTS).write_bytes(b"\n".join(events) + b"\n")
        except (OSError, av.error.FFmpegError) as error:
            raise RecordingError(f"cannot be written: {error}", where=str(folder)) from error
        told = tuple(output.told for output in outputs.values())
        faults = (*recording.faults, *([recording.truncated] if recording.truncated else ()))
    return ExportReport(folder, start_ns, told, len(events), faults)


def _check_free(recording: Recording, media: Path, events: Sequence[bytes]) -> None:
    """See that nothing is there of what is to be written.

    Raises:
        RecordingError: Something is.
    """
    infos = recording.streams.values()
    names = [file_beside(info) for info in infos]
    names += [media.name] if any(info.modality in _TRACKS for info in infos) else []
    names += [_EVENTS] if events else []
    if there := [name for name in names if (media.parent / name).exists()]:
        raise RecordingError(
            f"holds an export already: {there[0]}", where=str(media.parent), fix="name another"
        )


def _samples(recording: Recording) -> Iterator[Sample]:
    for arrival in recording.arrivals():
        if isinstance(arrival, SampleArrived):
            yield arrival.sample


def _outputs(
    recording: Recording, path: Path, start_ns: int, stack: ExitStack
) -> dict[str, _Output]:
    """An output per stream; all tracks are added before the first packet is written."""
    infos = recording.streams
    tracks = [info for info in infos.values() if info.modality in _TRACKS]
    container: Any = None
    if tracks:
        container = stack.enter_context(av.open(str(path), "w", format="matroska"))
    media = Media(container, path, start_ns, stack)
    outputs: dict[str, _Output] = {}
    for name, info in infos.items():
        if info.modality is Modality.VIDEO:
            outputs[name] = VideoTrack(info, media)
        elif info.modality is Modality.AUDIO:
            outputs[name] = AudioTrack(info, media)
        elif info.modality is Modality.SENSOR:
            outputs[name] = ReadingsTable(info, path.parent, stack)
        else:
            outputs[name] = LinesFile(info, path.parent, stack)
    return outputs
