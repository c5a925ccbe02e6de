"""Happenings drawn slot by slot, so that any moment can be asked for without the ones before.

Time is cut into slots of equal length; what begins in slot *n* depends on *n* alone. No
happening lasts longer than `longest_s`, so the slots that can matter at a moment are known.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar


class Happening(Protocol):
    """Anything with a span of scene seconds, half-open."""

    @property
    def start_s(self) -> float:
        """First second."""
        ...

    @property
    def end_s(self) -> float:
        """End, exclusive."""
        ...


H = TypeVar("H", bound=Happening)


class Slots(Generic[H]):
    """Happenings of one kind.

    Args:
        length_s: Length of a slot.
        longest_s: No happening ends later than this after the start of its slot.
        draw: Gives the happenings that begin in a slot, from its number and its start.
        keep: Slots remembered.
    """

    def __init__(
        self,
        length_s: float,
        longest_s: float,
        draw: Callable[[int, float], Sequence[H]],
        keep: int = 160,
    ) -> None:
        self._length_s = length_s
        self._longest_s = longest_s
        self._draw = draw
        self._keep = keep
        self._known: OrderedDict[int, Sequence[H]] = OrderedDict()

    def between(self, from_s: float, to_s: float) -> list[H]:
        """All happenings that overlap ``[from_s, to_s)``, in the order of their slots."""
        first = math.floor((from_s - self._longest_s) / self._length_s)
        last = math.floor(to_s / self._length_s)
        return [
            happening
            for number in range(first, last + 1)
            for happening in self._slot(number)
            if happening.end_s > from_s and happening.start_s < to_s
        ]

    def _slot(self, number: int) -> Sequence[H]:
        found = self._known.get(number)
        if found is None:
            found = self._known[number] = self._draw(number, number * self._length_s)
            if len(self._known) > self._keep:
                self._known.popitem(last=False)
        return found
