"""What is wrong with one stream, by measures of its last windows and limits that hold anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from nodes.doctor import Finding, Level
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import SensorSlice, Slice
from pipeline.models.audio_quality import AudioInspector
from pipeline.models.quality import Array
from pipeline.models.video_quality import VideoInspector

MOSTLY = 0.9  # share of the last windows
GAPS = 0.2  # share of what should be there that is missing
_BLACK = 20.0  # grey levels of 255: the bright end of the picture
_PALE = 225.0  # its mean
_EVEN = 3.0  # its standard deviation
_STILL = 0.005  # change from frame to frame, grey levels
_CLIPPED, _CLIPPED_WINDOWS = 0.0005, 0.05
_SILENT_DB, _FAINT_DB = 100.0, 70.0  # below full scale
_COPIES = 0.99  # share of samples that are like the one before
_NAMED = 4

Measure = Callable[[Slice], Array]


def nothing(_: Slice) -> Array:
    """Measures of a stream that is not looked into, ``(0,)``."""
    return np.zeros(0)


def fine(_info: StreamInfo, _measures: Array) -> Iterator[Finding]:
    """Nothing is wrong."""
    yield from ()


def _picture(part: Slice) -> Array:
    """Bright end, mean, contrast and change of a picture in grey levels, ``(4,)``."""
    bright, contrast, _, change = np.exp(-VideoInspector().measure(part))
    bright, contrast = bright - 1.0, contrast - 1.0
    return np.array([bright, bright - 2.0 * contrast, contrast, change - 0.02])


def _judge_picture(info: StreamInfo, measures: Array) -> Iterator[Finding]:
    """Findings by the last measures, ``(n, 4)``."""
    bright, mean, contrast, change = measures.T
    if _most(bright < _BLACK):
        yield Finding(
            info.name, Level.PROBLEM,
            f"its picture is black (brightest {np.median(bright):.0f} of 255)",
            "switch a light on, take the cap off, or set its exposure; to watch a dark place by "
            "night needs infrared light",
        )  # fmt: skip
    elif _most(mean > _PALE):
        yield Finding(
            info.name, Level.PROBLEM,
            f"its picture is blown out (mean {np.median(mean):.0f} of 255)",
            "lower its exposure or gain, or turn it away from the light",
        )  # fmt: skip
    elif _most(contrast < _EVEN):
        yield Finding(
            info.name, Level.PROBLEM,
            f"its picture is one even grey (contrast {np.median(contrast):.1f} of 255)",
            "see whether the lens is covered or fogged, and the input is the right one",
        )  # fmt: skip
    elif _most(change < _STILL):
        yield Finding(
            info.name, Level.PROBLEM, "its picture stands still to the last bit",
            "walk through it: if it stays, the camera or its link hangs",
        )  # fmt: skip


def _judge_sound(info: StreamInfo, measures: Array) -> Iterator[Finding]:
    """Findings by the last measures, ``(n, 3)``, see `AudioInspector`."""
    clipped, below_db, copies = measures.T
    loud = float(np.mean(clipped > _CLIPPED))
    if _most((below_db > _SILENT_DB) | (copies > _COPIES)):
        yield Finding(
            info.name, Level.PROBLEM, "is digitally silent",
            "see whether it is muted, unplugged, or another input is the right one",
        )  # fmt: skip
    elif float(np.min(below_db)) > _FAINT_DB:
        yield Finding(
            info.name, Level.NOTE,
            f"is very quiet: {-np.min(below_db):.0f} dB of full scale at its loudest",
            "clap; if that hardly changes it, turn its gain up",
        )  # fmt: skip
    if loud > _CLIPPED_WINDOWS:
        yield Finding(
            info.name, Level.PROBLEM, f"is clipped in {loud:.0%} of the last minute",
            "turn its gain down until loud moments stay below full scale",
        )  # fmt: skip


def _beyond(part: Slice) -> Array:
    """Which channels read what they cannot, ``(C,)``, 0 or 1."""
    if not isinstance(part, SensorSlice):
        return np.zeros(0)
    return np.array([float(c in part.beyond) for c in part.info.channels])


def _judge_readings(info: StreamInfo, measures: Array) -> Iterator[Finding]:
    """Findings by the last windows, ``(n, C)``, see `_beyond`."""
    often = measures.mean(axis=0) > GAPS
    if wrong := [name for name, bad in zip(info.channels, often, strict=False) if bad]:
        yield Finding(
            info.name, Level.PROBLEM, f"reads out of the range set for it: {some(wrong)}",
            "see the sensor, or set its channel_range under streams as it is",
        )  # fmt: skip


def _most(said: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> bool:
    return bool(np.mean(said) >= MOSTLY)


def some(names: list[str]) -> str:
    """The first few names."""
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


MEASURES: dict[Modality, Measure] = {
    Modality.VIDEO: _picture,
    Modality.AUDIO: AudioInspector().measure,
    Modality.SENSOR: _beyond,
}
JUDGES: dict[Modality, Callable[[StreamInfo, Array], Iterator[Finding]]] = {
    Modality.VIDEO: _judge_picture,
    Modality.AUDIO: _judge_sound,
    Modality.SENSOR: _judge_readings,
}
