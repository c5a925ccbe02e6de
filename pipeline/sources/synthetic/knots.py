"""Slow quantities, computed at knots and interpolated between them.

Pure all the same: the value at a moment depends on its two knots, and those on their times.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from pipeline.sources.synthetic.chance import Floats


class Knots:
    """Remembers the latest knots of a slow function of time.

    Args:
        function: Gives several quantities ``(C,)`` at a scene second.
        step_s: Distance of the knots.
        keep: Knots remembered.
    """

    def __init__(self, function: Callable[[float], Floats], step_s: float, keep: int = 64) -> None:
        self._function = function
        self._step_s = step_s
        self._keep = keep
        self._known: OrderedDict[int, Floats] = OrderedDict()

    def at(self, t_s: float) -> list[float]:
        """The quantities at a moment."""
        place = t_s / self._step_s
        number = math.floor(place)
        low, high = self._knot(number), self._knot(number + 1)
        values: list[float] = (low + (high - low) * (place - number)).tolist()
        return values

    def _knot(self, number: int) -> Floats:
        found = self._known.get(number)
        if found is None:
            found = self._known[number] = self._function(number * self._step_s)
            if len(self._known) > self._keep:
                self._known.popitem(last=False)
        return found
