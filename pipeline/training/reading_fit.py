"""Windows that fit the files of a labelled folder, where its settings leave that open.

A second of sound or of a clip is a window: most sounds are shorter than two, and what follows a
short one would fill most of a longer window with nothing. Readings may come a thousand times a
second or once an hour, so a table is a window as a whole, at its own rate, as far as a window
may be so long and its readings so many a second.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.errors import RecordingError, SourceError
from pipeline.core.sample import Modality
from pipeline.recording.import_sensors import SensorInput
from pipeline.training.labelled_folder import PICTURES, LabelledFolder, LabelledSample
from pipeline.training.sample_parts import FASTEST_HZ, LONGEST_S, Reading, ReadingSettings

_HEARD_S = 1.0
_READINGS_HZ = 10.0  # of tables that tell no rate
_TABLES = 50  # that are looked at; the middle one of so many is near that of all


def fit_reading(settings: ReadingSettings, folder: LabelledFolder) -> Reading:
    """How the files of this folder become windows.

    Args:
        settings: What is asked for.
        folder: The folder; some of its tables are read where their length or rate is needed.
    """
    said = settings.model_dump(exclude_none=True)
    if len(said.keys() & {"window_s", "readings_hz"}) < 2:
        tables = list(_tables(folder))
        lengths = [one.duration_ns / 1e9 for one in tables if one.duration_ns > 0]
        rates = [rate for one in tables if (rate := one.info.rate_hz)]
        whole = statistics.median(lengths) if lengths and not _passes(folder) else _HEARD_S
        rate_hz = statistics.median(rates) if rates else _READINGS_HZ
        fitted = {"window_s": min(whole, LONGEST_S), "readings_hz": min(rate_hz, FASTEST_HZ)}
        said = fitted | said
    return Reading.model_validate(said | {"silent_after": False})


def _passes(folder: LabelledFolder) -> bool:
    """Whether any sample is a sound or a clip."""
    return any(_is_played(sample) for sample in folder.samples)


def _is_played(sample: LabelledSample) -> bool:
    film = sample.files.get(Modality.VIDEO)
    return Modality.AUDIO in sample.files or (
        film is not None and film.suffix.lower() not in PICTURES
    )


def _tables(folder: LabelledFolder) -> Iterator[SensorInput]:
    """Tables from all over the folder that can be read; of others it is said when they are."""
    files = [s.files[Modality.SENSOR] for s in folder.samples if Modality.SENSOR in s.files]
    for file in files[:: max(1, len(files) // _TABLES)]:
        table = _table(file)
        if table is not None:
            yield table


def _table(file: Path) -> SensorInput | None:
    try:
        return SensorInput("readings", file)
    except (RecordingError, SourceError):
        return None
