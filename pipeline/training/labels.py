"""Labels: what was really there, as ``fusewatch evaluate`` reads it.

A labels file is JSON, a list of objects::

    [{"start_s": 12.5, "end_s": 18.0, "kind": "V", "modalities": ["video"]}]

Seconds count from the recording's second 0, as ``fusewatch replay`` counts them. ``start`` and
``end`` as ISO 8601 times may be written instead. ``kind``, ``modalities`` and ``description``
may be left out; anything else that a label says is left alone.

A label of the kind ``normal`` says that somebody looked and nothing was wrong. That is what time
without a label means too: what is raised there is a false alarm, and fine-tuning learns it as
normal. So `read_labels` leaves them out; `read_normal` has them for who judges whole stretches
(`pipeline.training.stretches`). ``fusewatch feedback export`` writes such files, and so does
``fusewatch import --labels``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.core.timestamps import iso_ns

SECOND_NS = 1_000_000_000
NORMAL = "normal"
"""Kind of the labels, and name of the windows, that show nothing wrong."""

_FIX = "write [{start_s, end_s, kind, modalities}, ...], seconds from the recording's start"


@dataclass(frozen=True, slots=True)
class Label:
    """One anomaly that was really there.

    Attributes:
        start_s: When it began, seconds from the recording's start.
        end_s: When it was over.
        kind: Sort of anomaly; empty when it was not said.
        modalities: Where it shows.
        description: One line for people; may be empty.
    """

    start_s: float
    end_s: float
    kind: str = ""
    modalities: tuple[str, ...] = ()
    description: str = ""

    @property
    def length_s(self) -> float:
        """How long it lasted, seconds."""
        return self.end_s - self.start_s


def read_labels(path: Path, origin_ns: int | None = None) -> list[Label]:
    """Read a labels file.

    Args:
        path: The file.
        origin_ns: Site time of second 0; None: absolute times are refused.

    Returns:
        The labels by their start, without those of the kind ``normal``.

    Raises:
        ConfigError: The file cannot be read or a label is wrong; every wrong label is told
            with its number, counted from 0.
    """
    return [label for label in _read(path, origin_ns) if label.kind != NORMAL]


def read_normal(path: Path, origin_ns: int | None = None) -> list[Label]:
    """The labels of the kind ``normal`` of a file, which `read_labels` leaves out."""
    return [label for label in _read(path, origin_ns) if label.kind == NORMAL]


def _read(path: Path, origin_ns: int | None) -> list[Label]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:  # JSON and UTF-8 faults alike
        raise ConfigError(f"not JSON: {error}", where=str(path), fix=_FIX) from error
    return _labels_of(data, str(path), origin_ns)


def _labels_of(data: object, where: str, origin_ns: int | None) -> list[Label]:
    """All labels by their start."""
    if not isinstance(data, list):
        raise ConfigError(f"holds {_sort(data)} instead of a list", where=where, fix=_FIX)
    labels: list[Label] = []
    problems: list[str] = []
    for number, item in enumerate(data):
        try:
            labels.append(_label(item, origin_ns))
        except ValueError as error:
            problems.append(f"{where}: label {number}: {error}")
    if problems:
        count = f"{len(problems)} of {len(data)} labels are wrong"
        raise ConfigError(count, where=where, fix=_FIX, problems=tuple(problems))
    return sorted(labels, key=lambda label: (label.start_s, label.end_s))


def _label(item: object, origin_ns: int | None) -> Label:
    if not isinstance(item, dict):
        raise ValueError(f"{_sort(item)} instead of an object")
    start_s = _seconds(item, "start", origin_ns)
    end_s = _seconds(item, "end", origin_ns)
    if end_s < start_s:
        raise ValueError(f"ends at {end_s:g} s, before it starts at {start_s:g} s")
    return Label(
        start_s,
        end_s,
        _text(item, "kind"),
        _names(item.get("modalities") or ()),
        _text(item, "description"),
    )


def _seconds(item: Mapping[str, Any], name: str, origin_ns: int | None) -> float:
    value = item.get(f"{name}_s")
    if value is None:
        return _absolute(item, name, origin_ns)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}_s is {value!r}, not a number of seconds")
    return float(value)


def _absolute(item: Mapping[str, Any], name: str, origin_ns: int | None) -> float:
    value = item.get(name)
    if value is None:
        raise ValueError(f"has no {name}_s")
    if origin_ns is None:
        raise ValueError(f"{name} is a date, which only a recording can place: write {name}_s")
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, not an ISO 8601 time")
    return (iso_ns(value) - origin_ns) / SECOND_NS


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, not text")
    return value


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"modalities is {value!r}, not a list of names")
    if wrong := [name for name in value if not isinstance(name, str)]:
        raise ValueError(f"modalities holds {wrong[0]!r}, not a name")
    return tuple(value)


def _sort(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", type(None): "null"}
    return names.get(type(value), "a number")
