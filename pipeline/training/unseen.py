"""What a recording of normal has not seen: times of day, days, weather, light.

A scene is judged by what was recorded of it, so what comes later for the first time, a night, a
weekend, rain, is unusual to it and raises alarms. All by site time, in the site's own time zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

import numpy as np

from pipeline.training.stream_data import Indices

_SECOND_NS = 1_000_000_000
_MINUTE_NS = 60 * _SECOND_NS
_NIGHT = (22, 6)  # hours of the day
_SATURDAY = 5
_WEATHER_S = 12 * 3600.0
_CHANGED = 1.5  # times as bright: a cloud before the sun does that
_DARK = 8.0  # grey levels: below, brightness is noise
_HOURS = 24


@dataclass(frozen=True, slots=True)
class Unseen:
    """What was seen and what was not.

    Attributes:
        seen: When it was recorded, in words.
        warnings: What was not seen, each a sentence with what comes of it.
    """

    seen: str
    warnings: tuple[str, ...]


def unseen(
    end_ns: Indices,
    lights: Mapping[str, Sequence[float]],
    zone: tzinfo | None = None,
) -> Unseen:
    """What the normal of a scene has not shown.

    Args:
        end_ns: End of each window, site time, growing ``(n,)``.
        lights: Mean brightness of each camera's picture over time, grey levels of 255.
        zone: The site's time zone; None: that of this machine.
    """
    if not len(end_ns):
        return Unseen("nothing", ())
    minutes = np.unique(end_ns // _MINUTE_NS)
    moments = [datetime.fromtimestamp(int(m) * 60, UTC).astimezone(zone) for m in minutes]
    hours = {moment.hour for moment in moments}
    found = [*_times(moments, hours), *_days(moments), *_weather(end_ns), *_light(lights)]
    first, last = moments[0], moments[-1]
    until = f"{last:%H:%M}" if last.date() == first.date() else f"{last:%a %d %b %H:%M}"
    said = (
        f"{first:%a %d %b %H:%M} to {until} ({first.tzname()}), in {len(hours)} of the {_HOURS} "
        "hours of a day"
    )
    return Unseen(said, tuple(found))


def _times(moments: Sequence[datetime], hours: set[int]) -> list[str]:
    night = {h for h in hours if h >= _NIGHT[0] or h < _NIGHT[1]}
    found = []
    if not night:
        found.append(
            f"no night ({_NIGHT[0]} to {_NIGHT[1]} h): its darkness, infrared pictures and quiet "
            "will be unusual"
        )
    if night == hours:
        found.append("no day: daylight and what people do by day will be unusual")
    missing = [h for h in range(_HOURS) if h not in hours]
    if missing and night and night != hours:
        found.append(f"nothing of the hours {_ranges(missing)}")
    return found


def _days(moments: Sequence[datetime]) -> list[str]:
    days = {moment.weekday() for moment in moments}
    found = []
    if not any(day >= _SATURDAY for day in days):
        found.append("no weekend: if the place lives otherwise then, that will be unusual")
    if all(day >= _SATURDAY for day in days):
        found.append("no working day: if the place lives otherwise then, that will be unusual")
    return found


def _weather(end_ns: Indices) -> list[str]:
    seconds = (int(end_ns[-1]) - int(end_ns[0])) / _SECOND_NS
    if seconds >= _WEATHER_S:
        return []
    return ["one weather only: rain, wind, heat and cold that come later will be unusual"]


def _light(lights: Mapping[str, Sequence[float]]) -> list[str]:
    found = []
    for stream, levels in lights.items():
        if not len(levels):
            continue
        low, high = np.quantile(np.asarray(levels), [0.02, 0.98])
        if max(high, _DARK) < _CHANGED * max(low, _DARK):
            found.append(
                f"one light only before {stream} (mean brightness {low:.0f} to {high:.0f} of "
                "255): lamps switched on or off, sun and dusk will be unusual"
            )
    return found


def _ranges(hours: Sequence[int]) -> str:
    """Hours in words: ``0 to 6, 9``."""
    runs: list[list[int]] = []
    for hour in hours:
        if runs and hour == runs[-1][-1] + 1:
            runs[-1].append(hour)
        else:
            runs.append([hour])
    return ", ".join(f"{r[0]} to {r[-1] + 1}" for r in runs)
