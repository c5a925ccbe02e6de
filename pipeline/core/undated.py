"""Days for recordings of which nothing says when they were made.

Everything goes by time, so they need one each. It lies in years from which few recordings are, so
that whoever speaks of the time of day knows that there may be none.
"""

from __future__ import annotations

_FIRST_NS = 946_684_800_000_000_000  # 2000-01-01T00:00:00Z
_DAY_NS = 86_400_000_000_000
_DAYS = 3653  # to the end of 2009


def undated_ns(number: int) -> int:
    """The first moment of one of the days, nanoseconds.

    Args:
        number: Which; after the last comes the first again.
    """
    return _FIRST_NS + number % _DAYS * _DAY_NS


def may_be_undated(time_ns: int) -> bool:
    """Whether a time may be one of a day that was made up."""
    return _FIRST_NS <= time_ns < _FIRST_NS + _DAYS * _DAY_NS
