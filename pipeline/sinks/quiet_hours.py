"""Quiet hours of a sink: spans of the week in which only what is severe is told at once.

Times of day are those of a clock on the wall in a time zone, so that the span moves with
daylight saving. Where the wall clock skips a time, it means the moment that the skipped clock
would have shown it (02:30 is 03:30 in summer time); where it shows a time twice, the first.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import Field

from pipeline.core.event import Severity
from pipeline.core.settings import Settings
from pipeline.core.time_zone import ZoneName

SECOND_NS = 1_000_000_000
DAY = dt.timedelta(days=1)
Day: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


class QuietHours(Settings):
    """When a sink is left alone unless it is severe."""

    start: str = Field(pattern=_TIME)
    """Time of day at which they begin, as ``22:00``."""

    end: str = Field(pattern=_TIME)
    """Time of day at which they end; the next day if it is not later than `start`."""

    timezone: ZoneName
    """Whose time of day, as ``Europe/Berlin``; daylight saving is followed."""

    days: list[Day] = Field(default=list(DAYS), min_length=1)
    """Days on which they begin."""

    at_least: Severity = Severity.HIGH
    """What is this severe is told at once all the same."""

    def end_ns(self, now_ns: int) -> int | None:
        """When the quiet hours end that it is now; None: it is not quiet.

        Args:
            now_ns: Time, UTC.
        """
        zone = ZoneInfo(self.timezone)
        today = dt.datetime.fromtimestamp(now_ns // SECOND_NS, zone).date()
        spans = (self._span(day, zone) for day in (today - DAY, today) if self._on(day))
        return max((until for since, until in spans if since <= now_ns < until), default=None)

    def _on(self, day: dt.date) -> bool:
        return DAYS[day.weekday()] in self.days

    def _span(self, day: dt.date, zone: ZoneInfo) -> tuple[int, int]:
        """The quiet hours that begin on a day, ``[since, until)``, nanoseconds UTC."""
        until = day + DAY if self.end <= self.start else day
        return _at(day, self.start, zone), _at(until, self.end, zone)


def _at(day: dt.date, time: str, zone: ZoneInfo) -> int:
    moment = dt.datetime.combine(day, dt.time.fromisoformat(time), zone)
    return round(moment.timestamp()) * SECOND_NS
