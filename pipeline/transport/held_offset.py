"""The clock offset that samples are stamped by: as the estimate, but without jumps.

Every better exchange moves the estimate, over a busy line by milliseconds. A stream stamped by
it would stand still or leave a hole each time, although nothing happened to it. So the offset in
use goes to the estimate at `SLEW_PPM` at most, of which a frame's period changes by less than a
tenth of a millisecond, and its uncertainty says how far it still has to go. A difference over
`STEP_NS` is no better measurement but another time, a clock that was set; it is taken over at
once (both as the NTP's clock discipline does, RFC 5905, section 11.3, with its 128 ms).
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.transport.clock_sync import ClockEstimate

SLEW_PPM = 2_000.0
STEP_NS = 128_000_000


class HeldOffset:
    """Follows estimates; see the module.

    Attributes:
        steps: How often an estimate was taken over at once, the first aside.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._held: ClockEstimate | None = None

    def follow(self, estimate: ClockEstimate) -> ClockEstimate:
        """The offset to use at an estimate's time, with what it is off added to the bound."""
        held = self._held
        if held is None:
            self._held = estimate
            return estimate
        since_ns = estimate.measured_ns - held.measured_ns
        here_ns = held.offset_ns + round(since_ns * estimate.drift_ppm * 1e-6)
        off_ns = estimate.offset_ns - here_ns
        if abs(off_ns) > STEP_NS:
            self.steps += 1
            self._held = estimate
            return estimate
        most_ns = round(max(0, since_ns) * SLEW_PPM * 1e-6)
        moved_ns = min(max(off_ns, -most_ns), most_ns)
        offset_ns = here_ns + moved_ns
        self._held = replace(
            estimate,
            offset_ns=offset_ns,
            uncertainty_ns=estimate.uncertainty_ns + abs(estimate.offset_ns - offset_ns),
        )
        return self._held
