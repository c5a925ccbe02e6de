"""Budgets of false alarms as people write them: ``COUNT/PERIOD``, for example ``2/week``."""

from __future__ import annotations

import math

PERIODS_S = {"minute": 60.0, "hour": 3600.0, "day": 86400.0, "week": 604800.0}


def readable_budget(budget: str) -> str:
    """The same, if it can be read as a budget.

    Raises:
        ValueError: It cannot, and why.
    """
    budget_parts(budget)
    return budget


def budget_parts(budget: str) -> tuple[float, str]:
    """Count and period (``minute``, ``hour``, ``day`` or ``week``) of a budget.

    Raises:
        ValueError: It cannot be read, and why.
    """
    written, _, period = budget.partition("/")
    period = period.strip().removesuffix("s")
    try:
        count = float(written)
    except ValueError:
        count = math.nan
    if period not in PERIODS_S or not math.isfinite(count):
        raise ValueError(
            f"budget {budget!r} is not COUNT/PERIOD; write for example 2/week or 6/hour"
        )
    if count <= 0:
        raise ValueError(f"budget {budget!r} must be greater than zero")
    return count, period
