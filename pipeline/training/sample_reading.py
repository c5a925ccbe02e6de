"""The files of a labelled sample as windows in a row, as a scene's streams would give them.

A sample lasts as long as the longest of its sound, clip and readings. A longer one than a window
becomes several, spread evenly from its first moment to its last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.core.errors import RecordingError, SourceError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import Window
from pipeline.recording.import_audio import AudioInput
from pipeline.recording.import_sensors import SensorInput
from pipeline.training.labelled_folder import PICTURES, LabelledFolder, LabelledSample, Unusable
from pipeline.training.sample_parts import Part, Reading, part_of

_SECOND_NS = 1_000_000_000
_NAMES = {
    Modality.VIDEO: "picture",
    Modality.AUDIO: "sound",
    Modality.SENSOR: "readings",
    Modality.TEXT: "text",
}


class SampleReader:
    """Reads samples.

    Args:
        settings: How.
        streams: What the network sees, as `streams_of` found it.
    """

    def __init__(self, settings: Reading, streams: Sequence[StreamInfo]) -> None:
        self._settings = settings
        self._streams = {info.modality: info for info in streams}

    def read(self, sample: LabelledSample) -> tuple[list[Window], list[Unusable]]:
        """Windows of a sample, none when no file of it can be used; and what cannot."""
        parts: dict[str, Part] = {}
        unusable = []
        for modality, file in sample.files.items():
            info = self._streams.get(modality)
            if info is None:
                unusable += _unread(sample, modality, file)
                continue
            try:
                parts[info.name] = part_of(modality, file, info, self._settings)
            except (RecordingError, SourceError) as error:
                unusable.append(Unusable(sample.name + file.suffix, error.message))
                continue
            remarks = parts[info.name].remarks
            unusable += [Unusable(sample.name + file.suffix, remark) for remark in remarks]
        self._sound_of_clip(sample, parts)
        return (self._windows(sample.name, parts) if parts else []), unusable

    def _sound_of_clip(self, sample: LabelledSample, parts: dict[str, Part]) -> None:
        """A clip's own sound, where there is no file of sound."""
        info, clip = self._streams.get(Modality.AUDIO), _clip_to_hear(sample)
        if info is None or clip is None:
            return
        try:
            parts[info.name] = part_of(Modality.AUDIO, clip, info, self._settings)
        except (RecordingError, SourceError):
            return  # a silent clip; were it damaged, its pictures have been reported

    def _windows(self, name: str, parts: dict[str, Part]) -> list[Window]:
        length = self._settings.window_s
        duration = max(length, *(part.duration_s for part in parts.values()))
        # A duration told in whole frames or samples may be a hair over so many windows.
        count = min(self._settings.windows, math.ceil(duration / length - 1e-6))
        starts = np.linspace(0.0, duration - length, count) if count > 1 else np.zeros(1)
        return [
            Window(
                name,
                index,
                round(start * _SECOND_NS),
                round((start + length) * _SECOND_NS),
                {stream: part.cut(start) for stream, part in parts.items()},
            )
            for index, start in enumerate(starts.tolist())
        ]


def _unread(sample: LabelledSample, modality: Modality, file: Path) -> list[Unusable]:
    """Why there is no stream for a table: where none can be read, there are no columns."""
    try:
        if modality is Modality.SENSOR:
            SensorInput("readings", file)
    except (RecordingError, SourceError) as error:
        return [Unusable(sample.name + file.suffix, error.message)]
    return []


def modalities_of(folder: LabelledFolder) -> tuple[Modality, ...]:
    """Modalities that any sample has, the sound of a clip among them."""
    found = folder.modalities
    clips = [clip for sample in folder.samples if (clip := _clip_to_hear(sample))]
    if Modality.AUDIO in found or not any(_is_heard(clip) for clip in clips):
        return found
    return tuple(m for m in Modality if m in found or m is Modality.AUDIO)


def _clip_to_hear(sample: LabelledSample) -> Path | None:
    """Its clip, if there is no file of sound beside it."""
    film = sample.files.get(Modality.VIDEO)
    if film is None or Modality.AUDIO in sample.files or film.suffix.lower() in PICTURES:
        return None
    return film


def _is_heard(clip: Path) -> bool:
    try:
        AudioInput("sound", clip)
    except (RecordingError, SourceError):
        return False
    return True


def streams_of(
    folder: LabelledFolder, settings: Reading, wanted: Iterable[Modality] = ()
) -> tuple[StreamInfo, ...]:
    """One stream per modality of a folder.

    Args:
        folder: The folder.
        settings: How its files are read.
        wanted: Modalities to look at; empty: all there are.
    """
    modalities = modalities_of(folder)
    chosen = set(wanted) or set(modalities)
    found = []
    for modality in modalities:
        info = _stream(folder, modality, settings) if modality in chosen else None
        if info is not None:
            found.append(info)
    return tuple(found)


def _stream(folder: LabelledFolder, modality: Modality, settings: Reading) -> StreamInfo | None:
    name = _NAMES[modality]
    match modality:
        case Modality.VIDEO:
            size = (settings.height_px, settings.width_px, 3)
            fps = settings.frames / settings.window_s
            return StreamInfo(name, modality, fps, size, "uint8", stamp="exact")
        case Modality.AUDIO:
            rate = float(settings.sound_hz)
            return StreamInfo(name, modality, rate, (1,), "float32", stamp="exact")
        case Modality.TEXT:
            return StreamInfo(name, modality, stamp="exact")
        case Modality.SENSOR:
            columns = _columns(folder)
            hz, shape = settings.readings_hz, (len(columns),)
            found = StreamInfo(name, modality, hz, shape, "float64", channels=columns)
            return found if columns else None


def _columns(folder: LabelledFolder) -> tuple[str, ...]:
    """Columns of the first table that can be read; the other samples' must have them too."""
    for sample in folder.samples:
        if Modality.SENSOR in sample.files:
            try:
                return SensorInput("readings", sample.files[Modality.SENSOR]).info.channels
            except (RecordingError, SourceError):
                continue  # it is reported when its sample is read
    return ()
