"""When a still picture was taken, by its name.

Cameras that send stills, and programs that keep them, write the time into the name of the file or
of the folders it lies in: ``cam_20240501120000123.jpg``, ``2024-05-01/12-00-00-02.jpg``,
``1714557600.jpg``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, tzinfo
from itertools import groupby

from pipeline.core.timestamps import iso_ns

_DATE = r"(?P<year>(?:19|20)\d\d)[-_.]?(?P<month>0[1-9]|1[0-2])[-_.]?(?P<day>0[1-9]|[12]\d|3[01])"
_BETWEEN = r"(?:[T_ .-]{0,3}|/(?:.*?\D)?)"  # a date may be a folder's, and the clock the file's
_CLOCK = r"(?P<hour>[01]\d|2[0-3])[-_.:h/]?(?P<minute>[0-5]\d)[-_.:m/]?(?P<second>[0-5]\d)"
_FRACTION = r"(?:[.,]?(?P<fraction>\d{3}|\d{6}))?"
_STAMP = re.compile(rf"(?<!\d){_DATE}{_BETWEEN}{_CLOCK}{_FRACTION}(?P<utc>Z)?(?!\d)")
_SINCE_1970 = re.compile(r"(?<!\d)(?P<seconds>1\d{9})[._]?(?P<fraction>\d{3}|\d{6})?(?!\d)")
_SECOND_NS = 1_000_000_000


def still_times(names: Sequence[str], zone: tzinfo) -> list[int] | None:
    """Nanoseconds since 1970 of each picture; None unless every name tells a time.

    Pictures of the same second, by names that tell no more, are spread over it in their order.

    Args:
        names: Paths in their folder, without the ending, in the order of the pictures.
        zone: Whose the times are.
    """
    told = [_time_in(name, zone) for name in names]
    times_ns = [time_ns for time_ns in told if time_ns is not None]
    if not names or len(times_ns) < len(names):
        return None
    spread: list[int] = []
    for time_ns, same in groupby(times_ns):
        count = len(list(same))
        spread += [time_ns + number * _SECOND_NS // count for number in range(count)]
    return spread


def tells_zone(name: str) -> bool:
    """Whether a name says whose its time is."""
    found = _stamp(name)
    return found is None or bool(found["utc"])


def _stamp(name: str) -> re.Match[str] | None:
    """The date and clock of a picture; those of its folder alone are of all that lies in it."""
    own = [found for found in _STAMP.finditer(name) if found.end() > name.rfind("/") + 1]
    return own[-1] if own else None


def _time_in(name: str, zone: tzinfo) -> int | None:
    if found := _stamp(name):
        date = f"{found['year']}-{found['month']}-{found['day']}"
        clock = f"{found['hour']}:{found['minute']}:{found['second']}"
        try:
            whole_ns = iso_ns(f"{date}T{clock}", UTC if found["utc"] else zone)
        except ValueError:  # as the 31st of June
            return None
        return whole_ns + _fraction(found)
    if found := _SINCE_1970.search(name.rpartition("/")[2]):
        return int(found["seconds"]) * _SECOND_NS + _fraction(found)
    return None


def _fraction(found: re.Match[str]) -> int:
    return int((found["fraction"] or "0").ljust(9, "0"))
