"""Where in the lines of a log their time stands, and how it is written.

Programs write it in a few ways, and each file in one of them, so that is looked for once: a number
at the head of some line of a log with dates is no time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from pipeline.recording.import_table import Moment, parse_moment

Split: TypeAlias = tuple[Moment, str]
"""The time of a line, and the rest of it."""

KNOWN = (
    "2024-05-01T12:00:00, 2024/05/01 12:00:00, seconds, 'May  1 12:00:00' or "
    "'Wed May  1 12:00:00 2024' at the head of lines, "
    "[01/May/2024:12:00:00 +0000] or an ISO time within them"
)

_LOOKED_AT = 1000  # lines
_ENOUGH = 0.2  # of the lines that the commonest way reads; the first such in the list is taken
_ZONES = timedelta(days=1)  # what is written in local time may seem so much later
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ISO = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
_NAME = r"[A-Z][a-z]{2}"  # of a month or a day
_DAY = rf"{_NAME} [ \d]\d \d\d:\d\d:\d\d"
_PRIORITY = r"(?:<\d{1,3}>(?:1 )?)?"  # of syslog
_END = r"\]?:?(?:[\s,;|]+|$)"


@dataclass(frozen=True, slots=True)
class LineTimes:
    """One way of writing times.

    Attributes:
        expression: With a group ``time``; the rest of a line is what it says.
        read: Reads the group; raises ValueError.
    """

    expression: re.Pattern[str]
    read: Callable[[str], Moment]

    def split(self, line: str) -> Split | None:
        """The time of a line and the rest of it; None when it has none."""
        line = line.strip()
        match = self.expression.search(line)
        if match is None:
            return None
        try:
            return self.read(match["time"]), line[: match.start()] + line[match.end() :]
        except ValueError:
            return None


def times_of(lines: Sequence[str], written: datetime) -> LineTimes | None:
    """The way in which the lines of a file say when; None when it is none that is known.

    Args:
        lines: All its lines.
        written: When it was last written to, for times that do not tell their year.
    """
    ways = (*_BEFORE, _syslog(lines, written), *_AFTER)
    some = lines[:_LOOKED_AT]
    read = [sum(way.split(line) is not None for line in some) for way in ways]
    if not max(read, default=0):
        return None
    return next(w for w, count in zip(ways, read, strict=True) if count >= _ENOUGH * max(read))


def without_time(line: str) -> str:
    """A line without the time that is written in it: what it says, whenever it does."""
    line = line.strip()
    for expression in _WRITTEN:
        match = expression.search(line)
        if match is not None:
            return line[: match.start()] + line[match.end() :]
    return line


def _calendar(text: str) -> Moment:
    return parse_moment(text.replace("/", "-").replace(",", "."))


def _of_access(text: str) -> Moment:
    """``01/May/2024:12:00:00 +0000``, as web servers write it."""
    day, month, rest = text.split("/")
    year, clock, zone = rest[:4], rest[5:13], rest[14:]
    return parse_moment(f"{year}-{_month(month):02d}-{day}T{clock}{zone[:3]}:{zone[3:]}")


def _of_ctime(text: str) -> Moment:
    """``May  1 12:00:00.25 2024``, as C's ``ctime`` writes it."""
    clock, year = text[7:].split()
    return parse_moment(f"{year}-{_month(text[:3]):02d}-{int(text[4:6]):02d}T{clock}")


def _month(name: str) -> int:
    return _MONTHS.index(name) + 1


_DATE = re.compile(rf"^{_PRIORITY}\[?(?P<time>{_ISO}){_END}")
_SECONDS = re.compile(rf"^\[?(?P<time>\d+(?:\.\d+)?){_END}")
_SINCE_1970 = re.compile(rf"^\[?(?P<time>\d{{9,}}(?:\.\d+)?){_END}")
_CTIME = re.compile(rf"^\[?(?:{_NAME} )?(?P<time>{_DAY}(?:\.\d+)? \d{{4}}){_END}")
_SYSLOG = re.compile(rf"^{_PRIORITY}(?P<time>{_DAY}){_END}")
_ACCESS = re.compile(rf"\[(?P<time>\d\d/{_NAME}/\d{{4}}:\d\d:\d\d:\d\d [+-]\d{{4}})\] ?")
_ANYWHERE = re.compile(rf"(?P<time>{_ISO})")

_WRITTEN = (_DATE, _SINCE_1970, _CTIME, _SYSLOG, _ACCESS, _ANYWHERE)
_BEFORE = (
    LineTimes(_DATE, _calendar),
    LineTimes(_SECONDS, _calendar),
    LineTimes(_CTIME, _of_ctime),
)
_AFTER = (LineTimes(_ACCESS, _of_access), LineTimes(_ANYWHERE, _calendar))


def _syslog(lines: Sequence[str], written: datetime) -> LineTimes:
    """Times without a year: each line's is the latest that is not after the next one's.

    The last one's is not after the file was written.
    """
    years: dict[str, int] = {}
    later, year = written, written.year
    for line in reversed(lines):
        match = _SYSLOG.search(line.strip())
        moment = match and _in_year(match["time"], year)
        if match is None or moment is None or match["time"] in years:
            continue
        if moment - later > _ZONES:
            year -= 1
            moment = _in_year(match["time"], year) or moment
        years[match["time"]], later = year, moment

    def read(text: str) -> Moment:
        moment = _in_year(text, years.get(text, year))
        if moment is None:
            raise ValueError(f"{text!r} is not a time")
        return parse_moment(moment.isoformat())

    return LineTimes(_SYSLOG, read)


def _in_year(text: str, year: int) -> datetime | None:
    """``May  1 12:00:00`` in a year; None when it has no such day."""
    try:
        hour, minute, second = map(int, text[7:].split(":"))
        month = _month(text[:3])
        return datetime(year, month, int(text[4:6]), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
