"""What is wrong with streams while they are recorded for commissioning, and what to do about it.

Unlike `pipeline.models.quality`, which asks whether a stream sees as well as it did in its own
normal, these are limits that hold anywhere: a normal that was learnt from a black picture is none.
Most look at the last minute, so what was mended is told no longer; only a channel that stands
still is judged by all there was, since many do for a while.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from nodes.commissioning.slow_readings import slow_readings
from nodes.commissioning.stream_judges import (
    GAPS,
    JUDGES,
    MEASURES,
    MOSTLY,
    Measure,
    fine,
    nothing,
    some,
)
from nodes.doctor import Finding, Level
from nodes.window_fit import short_windows
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import SensorSlice, VideoSlice, Window
from pipeline.models.quality import Array

RECENT_S = 60.0
_LEAST_S = 20.0  # before anything is told
_STUCK_S = 300.0
_MINUTE_S = 60.0


@dataclass(slots=True)
class _Watched:
    """What is remembered of one stream.

    Attributes:
        info: The stream.
        recent: Measures of the last windows, each ``(K,)``.
        covered: Share of each of them that was there, 0 to 1.
        lows: Lowest value of each channel so far ``(C,)``, if it is a sensor.
        highs: Highest.
        since_s: Time over which those were gathered.
        lights: Mean brightness of each window so far, if it is a camera.
    """

    info: StreamInfo
    recent: deque[Array]
    covered: deque[float]
    lows: Array | None = None
    highs: Array | None = None
    since_s: float = 0.0
    lights: list[float] = field(default_factory=list)


class LiveChecks:
    """Looks at the windows of a scene as they are cut.

    Args:
        streams: Names of the scene's streams.
        window_s: Length of its windows, seconds.
        hop_s: Step from one window to the next, seconds.
        holds_s: For how long a reading of each sensor holds, seconds.
    """

    def __init__(
        self,
        streams: tuple[str, ...],
        window_s: float,
        hop_s: float,
        holds_s: Mapping[str, float],
    ) -> None:
        self._streams = streams
        self._window_s = window_s
        self._holds_s = holds_s
        self._hop_s = hop_s
        self._recent = max(1, round(RECENT_S / hop_s))
        self._watched: dict[str, _Watched] = {}
        self._measures: dict[str, Measure] = {}
        self._changed: dict[str, str] = {}

    @property
    def lights(self) -> Mapping[str, list[float]]:
        """Mean brightness of each window, by camera."""
        return {
            name: one.lights
            for name, one in self._watched.items()
            if one.info.modality is Modality.VIDEO
        }

    def open(self, info: StreamInfo) -> None:
        """Take note of a stream."""
        known = self._watched.get(info.name)
        if known is not None and known.info.like(info):
            return
        if known is not None:
            self._changed[info.name] = f"{_form(known.info)} became {_form(info)}"
        recent, covered = deque[Array](maxlen=self._recent), deque[float](maxlen=self._recent)
        self._watched[info.name] = _Watched(info, recent, covered)
        self._measures[info.name] = MEASURES.get(info.modality, nothing)

    def take(self, window: Window) -> None:
        """Look at one window."""
        for name, one in self._watched.items():
            part = window.slices.get(name)
            one.covered.append(0.0 if part is None else part.coverage)
            if part is None or part.coverage <= 0:
                continue
            one.recent.append(self._measures[name](part))
            if isinstance(part, VideoSlice) and np.isfinite(one.recent[-1][1]):
                one.lights.append(float(one.recent[-1][1]))
            if isinstance(part, SensorSlice):
                self._range(one, part)

    def findings(self, recorded_s: float) -> list[Finding]:
        """What is wrong now.

        Args:
            recorded_s: For how long it has been recorded, seconds.
        """
        if recorded_s < _LEAST_S:
            return []
        found = [_never(name) for name in self._streams if name not in self._watched]
        for name, one in self._watched.items():
            found.extend(self._of(name, one))
        few = short_windows([one.info for one in self._watched.values()], self._window_s)
        if few is not None and len(self._watched) == len(self._streams):
            found.append(Finding("windows", Level.NOTE, *few))
        return found

    def _of(self, name: str, one: _Watched) -> Iterator[Finding]:
        if name in self._changed:
            yield Finding(
                name, Level.PROBLEM, f"changed while it was recorded: {self._changed[name]}",
                "set the device to one form, and begin again",
            )  # fmt: skip
        if len(one.covered) * self._hop_s < _LEAST_S:
            return
        slow = slow_readings(one.info, self._holds_s.get(name, math.inf))
        if slow is not None:
            yield Finding(name, Level.PROBLEM, *slow)
            return
        there = float(np.mean(one.covered))
        if there <= 1 - MOSTLY:
            yield _gone(name, one)
            return
        if there < 1 - GAPS:
            yield Finding(
                name, Level.PROBLEM, f"{1 - there:.0%} of the last minute is missing",
                "see the device, its link and the load of this machine",
            )  # fmt: skip
        if len(one.recent) * self._hop_s >= _LEAST_S:
            yield from JUDGES.get(one.info.modality, fine)(one.info, np.stack(one.recent))
        yield from self._still(name, one)

    def _range(self, one: _Watched, part: SensorSlice) -> None:
        there = part.present & np.isfinite(part.values)
        lows = np.where(there, part.values, np.inf).min(axis=0)
        highs = np.where(there, part.values, -np.inf).max(axis=0)
        one.lows = lows if one.lows is None else np.minimum(one.lows, lows)
        one.highs = highs if one.highs is None else np.maximum(one.highs, highs)
        one.since_s += self._hop_s

    def _still(self, name: str, one: _Watched) -> Iterator[Finding]:
        """Channels that have not changed at all."""
        if one.lows is None or one.highs is None or one.since_s < _STUCK_S:
            return
        still = [
            f"{channel} ({low:g})"
            for channel, low, high in zip(one.info.channels, one.lows, one.highs, strict=False)
            if low == high
        ]
        if still:
            yield Finding(
                name, Level.NOTE,
                f"never changed in {one.since_s / _MINUTE_S:.0f} minutes: {some(still)}",
                "if it is no switch or door, see whether the sensor hangs",
            )  # fmt: skip


def _never(name: str) -> Finding:
    return Finding(
        name, Level.PROBLEM, "nothing has come from it at all",
        "see the log above for its source; 'fusewatch doctor' lists the devices that are here",
    )  # fmt: skip


def _gone(name: str, one: _Watched) -> Finding:
    if one.info.modality is Modality.TEXT:
        return Finding(
            name, Level.NOTE, "its log was not there in the last minute",
            "see whether its file is still written to",
        )  # fmt: skip
    return Finding(
        name, Level.PROBLEM, "was silent in the last minute",
        "see the device and its link; what is missing is not learnt",
    )  # fmt: skip


def _form(info: StreamInfo) -> str:
    shape = " x ".join(map(str, info.shape))
    return f"{shape} at {info.rate_hz:g} Hz" if info.rate_hz else shape
