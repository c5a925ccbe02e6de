"""About how many alarms a scene raised lately, counted from its scores as they come.

It counts as the alarm does (raised when scores hold the threshold for the minimum duration,
over when they stay below the hysteresis for long enough), leaving out only the cooldown.
Alarms and the time watched are both forgotten over the time in which the budget allows
`REMEMBERED` false alarms: fewer could not tell one and a half times the budget from chance.
"""

from __future__ import annotations

import math

import msgspec

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.calibration import poisson_interval

REMEMBERED = 20


class CountState(msgspec.Struct, array_like=True):
    """What an `AlarmCount` remembers.

    Attributes:
        alarms: Alarms raised, forgetting.
        seconds: Time watched, forgetting.
        run: Windows over the threshold up to the last one, without a gap.
        last_ns: End of the last window.
        over_ns: End of the last window that kept or might raise an alarm.
        standing: Whether an alarm stands.
    """

    alarms: float = 0.0
    seconds: float = 0.0
    run: int = 0
    last_ns: int = 0
    over_ns: int = 0
    standing: bool = False


class AlarmCount:
    """Counts the alarms of one scene.

    Args:
        alarm: Rules of its alarm.
        threshold: Of the alarm.
        hop_ns: Step from one window to the next.
        state: Where another one stopped.
    """

    def __init__(
        self,
        alarm: AlarmSettings,
        threshold: float,
        hop_ns: int,
        state: CountState | None = None,
    ) -> None:
        self._alarm = alarm
        self._threshold = threshold
        self._hop_ns = hop_ns
        self._keep = math.exp(-hop_ns / 1e9 * alarm.false_alarms_hz / REMEMBERED)
        self._needed = max(1, math.ceil(alarm.min_duration_s * 1e9 / hop_ns))
        self.state = state or CountState()

    @property
    def over_budget(self) -> bool:
        """Whether more was raised than allowed, by the lower end of the 90 % interval."""
        return poisson_interval(self.state.alarms)[0] > self._allowed

    @property
    def within_budget(self) -> bool:
        """Whether no more was raised than allowed."""
        return self.state.alarms <= self._allowed

    @property
    def _allowed(self) -> float:
        return self._alarm.false_alarms_hz * self.state.seconds

    def take(self, end_ns: int, height: float) -> None:
        """Take in the next window.

        Args:
            end_ns: Its end, growing.
            height: Its merged score, as the alarm gets it.
        """
        state = self.state
        state.alarms *= self._keep
        state.seconds = state.seconds * self._keep + self._hop_ns / 1e9
        follows = end_ns - state.last_ns == self._hop_ns
        state.run = (state.run * follows + 1) if height >= self._threshold else 0
        state.last_ns = end_ns
        if state.standing:
            self._stand(end_ns, height, follows)
        if state.run >= self._needed and not state.standing:
            state.standing, state.over_ns = True, end_ns
            state.alarms += 1

    def _stand(self, end_ns: int, height: float, follows: bool) -> None:
        """Keep the alarm that stands, or clear it."""
        state = self.state
        clear_ns = round(self._alarm.clear_after_s * 1e9)
        if not follows and end_ns - self._hop_ns - state.over_ns >= clear_ns:
            state.standing = False  # windows that never came are time in which nothing was seen
        elif height >= self._threshold * self._alarm.clear_ratio:
            state.over_ns = end_ns
        elif end_ns - state.over_ns >= clear_ns:
            state.standing = False
