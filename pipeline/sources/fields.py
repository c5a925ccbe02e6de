"""Numbers and times out of what devices send: JSON documents and lines of text.

A reading has one cell per channel. A cell that is absent or unusable is NaN (missing) and the
others are kept; a reading with no usable cell at all is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from pipeline.core.errors import BadReading
from pipeline.core.settings import Settings
from pipeline.core.time_zone import ZoneName, zone_of
from pipeline.core.timestamps import TimeUnit, parse_ns

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_INDEX = re.compile(r"\[(\d+)\]")
_BORDER = re.compile(r"[.\[]|$")


class ChannelSettings(Settings):
    """One channel of a sensor stream."""

    name: str = Field(min_length=1)
    """Name of the channel."""

    path: str | None = None
    """Where the number stands: ``data.temp`` or ``values[0]``; none: under the name itself."""

    unit: str = ""
    """Physical unit."""

    scale: float = 1.0
    """The number is multiplied by this."""

    offset: float = 0.0
    """Then this is added."""


class TimeFieldSettings(Settings):
    """Where a message carries its own time."""

    path: str = Field(min_length=1)
    """Where the time stands in the message."""

    unit: TimeUnit = TimeUnit.AUTO
    """How it is written: iso, s, ms, us, ns, or auto (ISO 8601 or seconds)."""

    timezone: ZoneName | None = None
    """Zone of times that name none, as ``Europe/Berlin``; none: UTC."""


class LineSettings(Settings):
    """How a line of text is read: as JSON, or by a regular expression with named groups."""

    regex: str | None = None
    """Named groups become fields; none: the line is a JSON document."""

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value).groupindex
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
            if not groups:
                raise ValueError("name its groups, for example T=(?P<temperature_c>[-0-9.]+)")
        return value

    def fields(self, line: str) -> object:
        """The line as a document.

        Raises:
            BadReading: The line does not fit.
        """
        if self.regex is None:
            return parse_json(line)
        found = re.search(self.regex, line)
        if found is None:
            raise BadReading(f"line does not fit the regular expression: {line[:80]!r}")
        return {k: v for k, v in found.groupdict().items() if v is not None}


def parse_json(text: str | bytes) -> object:
    """A JSON document.

    Raises:
        BadReading: `text` is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadReading(f"not JSON: {str(error)[:80]}") from error


def at_path(document: object, path: str) -> object:
    """The value at a path such as ``a.b[0]``; the document itself for an empty path.

    Names may have dots and brackets of their own, as ``PM2.5``: where the path leads nowhere,
    longer names are looked for, the longest first.

    Raises:
        KeyError: There is nothing at that path.
    """
    try:
        return _by_steps(document, path)
    except KeyError:
        return _by_long_names(document, path.removeprefix("."))


def _by_long_names(document: object, path: str) -> object:
    if isinstance(document, Mapping):
        for end in reversed([border.start() for border in _BORDER.finditer(path)]):
            if path[:end] in document:
                with suppress(KeyError):
                    return at_path(document[path[:end]], path[end:])
    elif isinstance(document, list) and (found := _INDEX.match(path)):
        index = int(found[1])
        if index < len(document):
            return at_path(document[index], path[found.end() :])
    raise KeyError(path)


def _by_steps(document: object, path: str) -> object:
    value = document
    for name, index in _STEP.findall(path):
        if index:
            if (
                not isinstance(value, Sequence)
                or isinstance(value, str)
                or int(index) >= len(value)
            ):
                raise KeyError(path)
            value = value[int(index)]
        elif isinstance(value, Mapping) and name in value:
            value = value[name]
        else:
            raise KeyError(path)
    return value


def number(value: object) -> float:
    """A finite number out of a number, a bool or a text.

    Raises:
        BadReading: It is none.
    """
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, int | float | str):
        raise BadReading(f"not a number: {str(value)[:40]!r}")
    try:
        result = float(value)
    except (ValueError, OverflowError) as error:
        raise BadReading(f"not a number: {str(value)[:40]!r}") from error
    if not math.isfinite(result):
        raise BadReading(f"not a finite number: {str(value)[:40]!r}")
    return result


class ReadingParser:
    """Cells of one stream out of a document.

    Args:
        channels: The stream's channels; row order is their order.
        time: Where the document carries its time, if it does.
    """

    def __init__(
        self, channels: Sequence[ChannelSettings], time: TimeFieldSettings | None = None
    ) -> None:
        self._channels = tuple(channels)
        self._time = time

    def values(self, document: object) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
        """Values float64 ``(C,)``, NaN where missing, and what was wrong with cells.

        Raises:
            BadReading: No cell could be read.
        """
        values = np.full(len(self._channels), np.nan)
        faults: list[str] = []
        for i, channel in enumerate(self._channels):
            path = channel.name if channel.path is None else channel.path
            try:
                found = at_path(document, path)
                values[i] = number(found) * channel.scale + channel.offset
            except KeyError:
                continue
            except BadReading as error:
                faults.append(f"{channel.name}: {error.message}")
        if np.isnan(values).all():
            raise BadReading("; ".join(faults) or "none of the channels is in the message")
        return values, tuple(faults)

    def time_ns(self, document: object, arrival_ns: int) -> int | None:
        """The document's own time, or None when it carries none.

        Args:
            document: The document.
            arrival_ns: When it came.

        Raises:
            BadReading: There should be one and it cannot be read.
        """
        if self._time is None:
            return None
        try:
            written = str(at_path(document, self._time.path))
            return parse_ns(written, self._time.unit, zone_of(self._time.timezone), arrival_ns)
        except (KeyError, ValueError) as error:
            raise BadReading(f"no time at {self._time.path!r}: {error}") from error
