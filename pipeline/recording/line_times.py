"""Where in the lines of a log their time stands, and how it is written.

Programs write it in a few ways, and each file in one of them, so that is looked for once: a number
at the head of some line of a log with dates is no time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Protocol, TypeAlias

from pipeline.recording.import_table import Moment, parse_moment

Split: TypeAlias = tuple[Moment, str]
"""The time of a line, and the rest of it."""

KNOWN = (
    "2024-05-01T12:00:00, 2024/05/01 12:00:00, 01-May-2024 12:00:00, 240501 120000, seconds that "
    "go on, 'May  1 12:00:00', 05-01 12:00:00.000, I0501 12:00:00.000000 or "
    "'Wed May  1 12:00:00 2024' at the head of lines, [01/May/2024:12:00:00 +0000], "
    '"ts": 1714564800 or an ISO time within them'
)

_LOOKED_AT = 1000  # lines
_ENOUGH = 0.2  # of the lines that the commonest way reads; the first such in the list is taken
_RATHER = 0.8  # as many lines with dates as with a count of seconds: the count is something else
_FORWARD = 0.75  # of the steps from line to line do not go back in a count of seconds
_LEAST = 10  # lines by which it would have gone on
_ZONES = timedelta(days=1)  # what is written in local time may seem so much later
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ISO = (
    r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?"
    r"(?:Z|[+-]\d\d:?\d\d| (?:UTC|GMT)\b)?"
)
_CLOCK = r"\d\d:\d\d:\d\d"
_NAME = r"[A-Z][a-z]{2}"  # of a month or a day
_DAY = rf"{_NAME} [ \d]\d {_CLOCK}"
_PRIORITY = r"(?:<\d{1,3}>(?:1 )?)?"  # of syslog
_END = r"\]?:?(?:[\s,;|]+|$)"


class _Read(Protocol):
    """Reads a time; raises ValueError."""

    def __call__(self, text: str, zone: tzinfo, near_ns: int | None) -> Moment: ...


@dataclass(frozen=True, slots=True)
class LineTimes:
    """One way of writing times.

    Attributes:
        expression: With a group ``time``; the rest of a line is what it says.
        read: Reads the group.
        zone: That of times which name none.
    """

    expression: re.Pattern[str]
    read: _Read
    zone: tzinfo = UTC

    def split(self, line: str, near_ns: int | None = None) -> Split | None:
        """The time of a line and the rest of it; None when it has none.

        Args:
            line: The line.
            near_ns: The time of the line before, see `pipeline.core.timestamps.iso_ns`.
        """
        line = line.strip()
        match = self.expression.search(line)
        if match is None:
            return None
        try:
            moment = self.read(match["time"], self.zone, near_ns)
        except ValueError:
            return None
        return moment, line[: match.start()] + line[match.end() :]


def times_of(lines: Sequence[str], written: datetime, zone: tzinfo = UTC) -> LineTimes | None:
    """The way in which the lines of a file say when; None when it is none that is known.

    Args:
        lines: All its lines.
        written: When it was last written to, for times that do not tell their year.
        zone: That of times which name none.
    """
    ways = [replace(way, zone=zone) for way in _ways(lines, written)]
    some = lines[:_LOOKED_AT]
    found = [[said[0] for line in some if (said := way.split(line))] for way in ways]
    most = max((len(moments) for moments in found if _dated(moments)), default=0)
    read = [_count(moments, most) for moments in found]
    if not max(read):
        return None
    return next(w for w, count in zip(ways, read, strict=True) if count >= _ENOUGH * max(read))


def _dated(moments: Sequence[Moment]) -> bool:
    return 2 * sum(moment.absolute for moment in moments) > len(moments)


def _count(moments: Sequence[Moment], dated: int) -> int:
    """How many lines a way reads; none where it reads a process, a level or a day for seconds.

    Args:
        moments: What it reads.
        dated: How many lines a way reads that finds dates.
    """
    if _dated(moments):
        return len(moments)
    steps = [later.ns - earlier.ns for earlier, later in pairwise(moments)]
    forward = sum(step >= 0 for step in steps) >= _FORWARD * len(steps)
    grows = len(moments) < _LEAST or max(steps) > 0
    return len(moments) if forward and grows and dated < _RATHER * len(moments) else 0


def without_time(line: str) -> str:
    """A line without the time that is written in it: what it says, whenever it does."""
    line = line.strip()
    for expression in _WRITTEN:
        match = expression.search(line)
        if match is not None:
            return line[: match.start()] + line[match.end() :]
    return line


def _calendar(text: str, zone: tzinfo, near_ns: int | None) -> Moment:
    written = re.sub(r" (?:UTC|GMT)$", "Z", text)
    return parse_moment(written.replace("/", "-").replace(",", "."), zone, near_ns)


def _of_digits(text: str, zone: tzinfo, near_ns: int | None) -> Moment:
    """``081109 203615.25``, as Hadoop writes it, or with the century."""
    digits = re.sub(r"[^\d.]", "", text.replace(",", "."))
    whole, point, fraction = digits.partition(".")
    date, clock = whole[:-6], f"{whole[-6:]}{point}{fraction}"
    year = date[:-4] if len(date) == 8 else f"20{date[:-4]}"
    return parse_moment(f"{year}-{date[-4:-2]}-{date[-2:]}T{clock}", zone, near_ns)


def _of_access(text: str, zone: tzinfo, near_ns: int | None) -> Moment:
    """``01/May/2024:12:00:00 +0000``, as web servers write it."""
    day, month, rest = text.split("/")
    year, clock, offset = rest[:4], rest[5:13], rest[14:]
    written = f"{year}-{_month(month):02d}-{day}T{clock}{offset[:3]}:{offset[3:]}"
    return parse_moment(written, zone, near_ns)


def _of_ctime(text: str, zone: tzinfo, near_ns: int | None) -> Moment:
    """``May  1 12:00:00.25 2024``, as C's ``ctime`` writes it."""
    clock, year = text[7:].split()
    written = f"{year}-{_month(text[:3]):02d}-{int(text[4:6]):02d}T{clock}"
    return parse_moment(written, zone, near_ns)


def _of_named_month(text: str, zone: tzinfo, near_ns: int | None) -> Moment:
    """``01-May-2024 12:00:00.25``, as Tomcat and BIND write it, or with blanks, as Redis does."""
    day, month, year, clock = re.split("[- ]", text)
    return parse_moment(f"{year}-{_month(month):02d}-{day}T{clock}", zone, near_ns)


def _month(name: str) -> int:
    return _MONTHS.index(name) + 1


_DATE = re.compile(rf"^{_PRIORITY}\[?(?P<time>{_ISO}){_END}")
_DIGITS = re.compile(  # looked ahead for, so that lines keep it as live ones do in `without_time`
    r"^(?=\[?(?P<time>(?:(?:19|20)\d{6}[ T_-]?|\d{6}[ T_-])\d\d:?\d\d:?\d\d(?:[.,]\d+)?)"
    rf"{_END})"
)
_SECONDS = re.compile(rf"^\[? *(?P<time>\d+(?:\.\d+)?){_END}")
_SINCE_1970 = re.compile(rf"^\[?(?P<time>\d{{9,}}(?:\.\d+)?){_END}")
_CTIME = re.compile(rf"^\[?(?:{_NAME} )?(?P<time>{_DAY}(?:\.\d+)? \d{{4}}){_END}")
_SYSLOG = re.compile(rf"^{_PRIORITY}(?P<time>{_DAY}){_END}")
_TOMCAT = re.compile(rf"^\[?(?P<time>\d\d-{_NAME}-\d{{4}} {_CLOCK}(?:\.\d+)?){_END}")
_REDIS = re.compile(rf"(?<=[A-Z] )(?P<time>\d\d {_NAME} \d{{4}} {_CLOCK}(?:\.\d+)?){_END}")
_KLOG = re.compile(rf"(?<=^[IWEF])(?P<time>\d{{4}} {_CLOCK}\.\d+)")
_LOGCAT = re.compile(rf"^(?P<time>\d\d-\d\d {_CLOCK}\.\d+){_END}")
_ACCESS = re.compile(rf"\[(?P<time>\d\d/{_NAME}/\d{{4}}:{_CLOCK} [+-]\d{{4}})\] ?")
_FIELD = re.compile(
    r"\"?\b(?:ts|time|timestamp|__REALTIME_TIMESTAMP)\"?[:=] ?\"?(?P<time>\d{10,}(?:\.\d+)?)\"?,? ?"
)
_ANYWHERE = re.compile(rf"(?P<time>{_ISO})")

_WRITTEN = (
    *(_DATE, _SINCE_1970, _CTIME, _SYSLOG, _TOMCAT, _REDIS, _KLOG, _LOGCAT),
    *(_ACCESS, _FIELD, _ANYWHERE),
)


def _ways(lines: Sequence[str], written: datetime) -> Iterator[LineTimes]:
    """All ways, those first that are less likely to be read out of another one."""
    yield LineTimes(_DATE, _calendar)
    yield LineTimes(_DIGITS, _of_digits)
    yield LineTimes(_SECONDS, parse_moment)
    yield LineTimes(_CTIME, _of_ctime)
    for expression, split in _YEARLESS.items():
        yield LineTimes(expression, _Yearless(expression, split, lines, written))
    yield LineTimes(_TOMCAT, _of_named_month)
    yield LineTimes(_REDIS, _of_named_month)
    yield LineTimes(_ACCESS, _of_access)
    yield LineTimes(_FIELD, parse_moment)
    yield LineTimes(_ANYWHERE, _calendar)


def _of_syslog(text: str) -> tuple[int, int, str]:
    return _month(text[:3]), int(text[4:6]), text[7:]


def _of_klog(text: str) -> tuple[int, int, str]:
    return int(text[:2]), int(text[2:4]), text[5:]


def _of_logcat(text: str) -> tuple[int, int, str]:
    return int(text[:2]), int(text[3:5]), text[6:]


_YEARLESS: Mapping[re.Pattern[str], Callable[[str], tuple[int, int, str]]] = {
    _SYSLOG: _of_syslog,
    _KLOG: _of_klog,
    _LOGCAT: _of_logcat,
}
"""Ways that tell no year, and how month, day and the clock are read out of them."""


class _Yearless:
    """Times without a year: each line's is the latest that is not after the next one's.

    The last one's is not after the file was written.
    """

    def __init__(
        self,
        expression: re.Pattern[str],
        split: Callable[[str], tuple[int, int, str]],
        lines: Sequence[str],
        written: datetime,
    ) -> None:
        self._split = split
        self._years: dict[str, int] = {}
        later, year = written, written.year
        for line in reversed(lines):
            match = expression.search(line.strip())
            moment = match and self._in_year(match["time"], year)
            if match is None or moment is None or match["time"] in self._years:
                continue
            if moment - later > _ZONES:
                year -= 1
                moment = self._in_year(match["time"], year) or moment
            self._years[match["time"]], later = year, moment
        self._first = year

    def __call__(self, text: str, zone: tzinfo, near_ns: int | None) -> Moment:
        moment = self._in_year(text, self._years.get(text, self._first))
        if moment is None:
            raise ValueError(f"{text!r} is not a time")
        return parse_moment(moment.replace(tzinfo=None).isoformat(), zone, near_ns)

    def _in_year(self, text: str, year: int) -> datetime | None:
        """The time in a year, as if in UTC; None when it has no such day."""
        try:
            month, day, clock = self._split(text)
            return datetime.fromisoformat(f"{year}-{month:02d}-{day:02d}T{clock}+00:00")
        except ValueError:
            return None
