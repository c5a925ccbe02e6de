"""Reading times that people and devices write: ISO 8601, or seconds to nanoseconds as numbers."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from enum import StrEnum

TIME_NAMES = ("time", "timestamp", "datetime", "date", "date_time", "t", "ts", "seconds", "time_s")
"""What a column of times is usually called, the likeliest first."""


class TimeUnit(StrEnum):
    """How a time is written."""

    ISO = "iso"
    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"
    AUTO = "auto"


_NS = {
    TimeUnit.SECONDS: 1_000_000_000,
    TimeUnit.MILLISECONDS: 1_000_000,
    TimeUnit.MICROSECONDS: 1_000,
    TimeUnit.NANOSECONDS: 1,
}


def iso_ns(text: str, zone: tzinfo = UTC, near_ns: int | None = None) -> int:
    """Nanoseconds since the Unix epoch of an ISO 8601 time.

    Args:
        text: The time.
        zone: Its zone, if it names none itself.
        near_ns: Of the two moments at which a clock in `zone` that was set back showed the time,
            the one nearer to this; None: the first.

    Raises:
        ValueError: `text` is not such a time.
    """
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is not None:
        return _since_1970_ns(moment)
    first_ns, again_ns = (_since_1970_ns(moment.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    # Of a time that the clock skipped the second reading lies before the first: none was shown.
    if near_ns is None or again_ns <= first_ns:
        return first_ns
    return again_ns if abs(again_ns - near_ns) <= abs(first_ns - near_ns) else first_ns


def _since_1970_ns(moment: datetime) -> int:
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1_000


def parse_ns(
    value: str | float,
    unit: TimeUnit = TimeUnit.AUTO,
    zone: tzinfo = UTC,
    near_ns: int | None = None,
) -> int:
    """Nanoseconds of a written time; numbers are read exactly, without float rounding.

    Args:
        value: ISO 8601 text, or a number.
        unit: Unit of a number; AUTO takes numbers as seconds and everything else as ISO 8601.
        zone: That of a time in ISO 8601 which names none.
        near_ns: See `iso_ns`.

    Raises:
        ValueError: `value` is not a time in this unit.
    """
    text = str(value).strip()
    if unit is TimeUnit.ISO:
        return iso_ns(text, zone, near_ns)
    try:
        number = Decimal(text)
    except InvalidOperation:
        if unit is TimeUnit.AUTO:
            return iso_ns(text, zone, near_ns)
        raise ValueError(f"{text!r} is not a number of {unit.value}") from None
    if not number.is_finite():
        raise ValueError(f"{text!r} is not a time")
    return int(number * _NS.get(unit, 1_000_000_000))


def format_iso(time_ns: int) -> str:
    """ISO 8601 in UTC with milliseconds, for people."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
