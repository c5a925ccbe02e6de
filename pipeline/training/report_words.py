"""Figures as people read them; a dash where there is none."""

from __future__ import annotations

import math


def clock(seconds: float) -> str:
    """Seconds since a start, as ``1:02:03`` or ``2:03``."""
    sign, whole = ("-" if round(seconds) < 0 else ""), abs(round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    rest = f"{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
    return f"{sign}{hours}:{rest}" if hours else f"{sign}{rest}"


def short(value: float) -> str:
    """A figure between 0 and 1 with two digits, without its zero."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.2f}".removeprefix("0") if value < 0.995 else f"{value:.2f}"


def share(value: float) -> str:
    """A share in percent."""
    return f"{value:.0%}" if math.isfinite(value) else "-"


def number(value: float) -> str:
    """A count or rate with as many digits as it deserves."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}"


def seconds(value: float) -> str:
    """A span of time in seconds."""
    return f"{value:.1f} s" if math.isfinite(value) else "-"
