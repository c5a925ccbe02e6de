"""When a live recording of a scene's normal is enough. No clock: how long it runs is passed in.

Rules. A look is taken at growing lengths of normal; beyond the last that was set, each is as much
longer as the one before was. At each look all of the normal is learnt, and compared with what was
learnt at half the length (`learning_curve`). The scene is *settled* when the doubling taught
nothing that stands out of its noise (the interval of the gain reaches down to `least_gain`, and
no further up than `most_gain`), and the earlier detector raised no more alarms over what came
since than the budget explains. It is *countable* when at least one false alarm of the budget fits
the normal, so that the threshold is counted and not extrapolated. Settled and countable is
enough, and it ends when `looks_in_a_row` say so: a quiet five minutes after five others teach
nothing, and the visitors come after them (seen on a synthetic site: enough at 10 minutes, and
again learning at 14 and 20). Whatever else is the case, it ends when it was recorded for
`at_most_s`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from pipeline.core.settings import Settings
from pipeline.training.intervals import at_most
from pipeline.training.learning_curve import Gain

_RARE = 0.05  # chance below which as many alarms are more than the budget explains
_MINUTE_S = 60.0


class EnoughSettings(Settings):
    """How long a scene is recorded before it goes live."""

    lengths_min: tuple[float, ...] = (5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 56.0)
    """Minutes of normal after which what was recorded is learnt and judged, growing. Each should
    stand beside one of half its length, else it is compared with the longest below that."""

    at_most_min: float = Field(default=60.0, gt=0)
    """End after this many minutes, however it stands."""

    most_gain: float = Field(default=0.2, gt=0)
    """What a doubling may still teach, as the upper end of its 90 % interval: by how much new
    normal scored higher, in powers of ten of its p-value."""

    least_gain: float = Field(default=0.05, ge=0)
    """What is not worth a doubling, as the lower end of the same interval: no place is quite the
    same twice, and in a long recording even that stands out."""

    looks_in_a_row: int = Field(default=2, ge=1)
    """How many looks, one after the other, must find that it is enough."""

    @model_validator(mode="after")
    def _growing(self) -> Self:
        lengths = self.lengths_min
        if not lengths or lengths[0] <= 0 or any(b <= a for a, b in pairwise(lengths)):
            raise ValueError("lengths must grow, from more than 0 on")
        return self

    @property
    def at_most_s(self) -> float:
        """`at_most_min` in seconds."""
        return self.at_most_min * _MINUTE_S

    def next_s(self, after_s: float) -> float:
        """The first length beyond some normal, seconds."""
        for length in self.lengths_min:
            if length * _MINUTE_S > after_s:
                return length * _MINUTE_S
        last = self.lengths_min[-1] * _MINUTE_S
        step = self._growth()
        while last <= after_s:
            last *= step
        return last

    def _growth(self) -> float:
        if len(self.lengths_min) < 2:
            return 2.0
        return self.lengths_min[-1] / self.lengths_min[-2]


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at one length of normal.

    Attributes:
        normal_s: Normal that was learnt, seconds.
        threshold: Of the scene's alarm.
        low: Lower end of the threshold's 90 % interval.
        high: Upper end.
        supported: Whether at least one false alarm of the budget fits the normal.
        needed_s: Normal that would do for that, seconds.
        gain: What the last doubling taught; None: there is no look to compare with, or too
            little came since.
        took_s: How long learning and judging took, seconds.
    """

    normal_s: float
    threshold: float
    low: float
    high: float
    supported: bool
    needed_s: float
    gain: Gain | None
    took_s: float


class Standing(StrEnum):
    """How it stands after a look."""

    UNKNOWN = "unknown"
    """Nothing to compare with yet."""

    LEARNING = "learning"
    """New normal still teaches something."""

    UNSURE = "unsure"
    """It teaches nothing that stands out, but the noise is too large to tell."""

    ALARMING = "alarming"
    """The earlier detector raised more alarms over new normal than the budget explains."""

    SHORT = "short"
    """Settled, but too short to count so few false alarms."""

    ENOUGH = "enough"
    """Settled, and long enough to count."""


class Why(StrEnum):
    """Why a recording ends."""

    ENOUGH = "enough"
    AT_MOST = "at most"
    STOPPED = "stopped"
    SOURCES_ENDED = "sources ended"


def standing_of(look: Look, settings: EnoughSettings) -> Standing:
    """How it stands by the last look."""
    gain = look.gain
    if gain is None:
        return Standing.UNKNOWN
    if gain.low > settings.least_gain:
        return Standing.LEARNING
    if _at_least(gain.raised, gain.allowed) < _RARE:
        return Standing.ALARMING
    if gain.high > settings.most_gain:
        return Standing.UNSURE
    return Standing.ENOUGH if look.supported else Standing.SHORT


def ends(looks: Sequence[Look], recorded_s: float, settings: EnoughSettings) -> Why | None:
    """Whether, and why, the recording is to end now.

    Args:
        looks: Those taken so far.
        recorded_s: For how long it has been recorded, seconds, by the clock of whoever records.
        settings: What is asked of it.
    """
    last = looks[-settings.looks_in_a_row :]
    agreed = [standing_of(look, settings) is Standing.ENOUGH for look in last]
    if len(agreed) == settings.looks_in_a_row and all(agreed):
        return Why.ENOUGH
    return Why.AT_MOST if recorded_s >= settings.at_most_s else None


def _at_least(count: int, mean: float) -> float:
    """Chance that a Poisson count of this mean is `count` or more."""
    return 1.0 - at_most(count - 1, mean) if count else 1.0
