"""Rate and phase of a regular stream, fitted to jittery stamps.

Two-state recursive least squares with exponential forgetting (as in Haykin, "Adaptive Filter
Theory", ch. 10, written as a Kalman filter with fading memory): the phase is the time of the
last sample, the stretch how much longer a period is than nominal. Old residuals weigh
``exp(-age / memory)``. A residual beyond three times the usual one is clipped, so that a stall
does not drag the fit. A period stays within a quarter of the nominal one: stamps that come in
bunches would drag it anywhere, and a stream of another rate is given another nominal one.
"""

from __future__ import annotations

import math

_STAMP_NOISE_NS = 1e6  # assumed before residuals are known; to the fit, only the ratio matters
_RATE_DOUBT = 1e-3  # how far a nominal rate is trusted
_CLIP = 3.0
_FLOOR_NS = 2_000.0
_WARM = 8
_FEW = 3.0
_STRETCH = 1.25
_FORGOTTEN = 30.0  # memories after which nothing of the past is left, and exp() is no matter


class RateFit:
    """Line through (count, stamp) pairs of a stream.

    Args:
        period_ns: Nominal time from one count to the next.
        memory_ns: Age at which a residual weighs ``1/e``.

    Attributes:
        period_ns: As given.
        phase_ns: Fitted time of the last sample, whole part.
        stretch: Fitted period over nominal period.
        spread_ns: Usual residual: standard deviation if they were normal.
        strikes: Residuals in a row that were clipped to the same side.
    """

    def __init__(self, period_ns: float, memory_ns: float) -> None:
        self.period_ns = period_ns
        self.stretch = 1.0
        self.phase_ns = 0
        self.spread_ns = 0.0
        self.strikes = 0
        self._memory_ns = memory_ns
        self._fraction = 0.0
        self._seen = 0
        self._phase_var = self._cross = 0.0
        self._rate_var = _RATE_DOUBT**2

    def begin(self, stamp_ns: int) -> None:
        """Begin anew at a stamp; what was learnt of the rate is kept as a first guess."""
        self.phase_ns = stamp_ns
        self._fraction = 0.0
        self._phase_var = _STAMP_NOISE_NS**2
        self._cross = 0.0
        self._rate_var = min(self._rate_var * 4 + 1e-9, _RATE_DOUBT**2)
        self._seen = 1
        self.strikes = 0

    @property
    def doubt_ns(self) -> float:
        """How far the fitted time may be off because stamps jitter.

        Twice the usual residual, and more while few residuals are known: none tells nothing, so
        that the first stamps are as doubtful as those of a usual device.
        """
        few = 1.0 / max(1, self._seen)
        return 2.0 * (self.spread_ns * (1.0 + _FEW * few) + _STAMP_NOISE_NS * few)

    def counts_to(self, stamp_ns: int) -> int:
        """How many counts after the last sample a stamp lies, rounded."""
        return round((stamp_ns - self.phase_ns - self._fraction) / (self.period_ns * self.stretch))

    def move(self, counts: int) -> None:
        """Go `counts` on, or back, without learning."""
        self._move(counts * self.period_ns * self.stretch)

    def follow(self, counts: int, stamp_ns: int) -> float:
        """Go `counts` on, learn from the stamp, and give the residual before learning, ns."""
        step = counts * self.period_ns
        self._move(step * self.stretch)
        fade = math.exp(min(step / self._memory_ns, _FORGOTTEN))
        phase_var = (self._phase_var + step * (2 * self._cross + step * self._rate_var)) * fade
        cross = (self._cross + step * self._rate_var) * fade
        rate_var = self._rate_var * fade
        residual = stamp_ns - self.phase_ns - self._fraction
        usable = self._clip(residual)
        gain = phase_var / (phase_var + _STAMP_NOISE_NS**2)
        rate_gain = cross / (phase_var + _STAMP_NOISE_NS**2)
        self._move(gain * usable)
        self.stretch = min(max(self.stretch + rate_gain * usable, 1 / _STRETCH), _STRETCH)
        self._phase_var = (1 - gain) * phase_var
        self._cross = (1 - gain) * cross
        self._rate_var = min(rate_var - rate_gain * cross, _RATE_DOUBT**2)
        self._learn_spread(residual, step)
        return residual

    def _clip(self, residual: float) -> float:
        if self._seen < _WARM:
            return residual
        limit = _CLIP * self.spread_ns + _FLOOR_NS
        if abs(residual) <= limit:
            self.strikes = 0
            return residual
        same_side = self.strikes == 0 or (self.strikes > 0) == (residual > 0)
        self.strikes = (self.strikes if same_side else 0) + (1 if residual > 0 else -1)
        return math.copysign(limit, residual)

    def _learn_spread(self, residual: float, step_ns: float) -> None:
        self._seen += 1
        usual = 1.2533 * abs(residual)  # mean absolute deviation to standard deviation
        if self._seen > _WARM:
            usual = min(usual, 5.0 * self.spread_ns + _FLOOR_NS)
        weight = max(1.0 / (self._seen - 1), min(0.2, 3.0 * step_ns / self._memory_ns))
        self.spread_ns += weight * (usual - self.spread_ns)

    def _move(self, by_ns: float) -> None:
        whole = math.floor(self._fraction + by_ns)
        self._fraction += by_ns - whole
        self.phase_ns += whole
