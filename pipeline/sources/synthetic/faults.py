"""What goes wrong with sensors: faults of an instrument, and changes without a cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.sources.synthetic.chance import Chance, Floats, ramp
from pipeline.sources.synthetic.machine import Machine, current_a, vibration_mm_s
from pipeline.sources.synthetic.sensors import CHANNELS, NOISE

FaultKind = Literal["stuck", "spike", "noise", "offset", "drift"]
FAULTS: tuple[FaultKind, ...] = ("stuck", "spike", "noise", "offset", "drift")
PretenceKind = Literal["load", "door", "light"]
PRETENCES: tuple[PretenceKind, ...] = ("load", "door", "light")

_SPIKES_S = 0.7


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken instrument.

    Attributes:
        kind: How it is broken.
        channel: Index of the channel.
        size: Strength in multiples of the channel's noise, signed.
        start_s: When it begins.
        end_s: When it is over.
        index: Address of its random numbers.
    """

    kind: FaultKind
    channel: int
    size: float
    start_s: float
    end_s: float
    index: int

    def apply(self, values: Floats, t_s: Floats, held: float, hz: float, chance: Chance) -> None:
        """Spoil readings ``(N, C)`` in place.

        Args:
            values: The readings.
            t_s: Their times ``(N,)``.
            held: Reading of the channel when the fault began.
            hz: Readings a second.
            chance: Random numbers for noise.
        """
        on = (t_s >= self.start_s) & (t_s < self.end_s)
        if not on.any():
            return
        column, step = values[:, self.channel], self.size * NOISE[self.channel]
        since = t_s[on] - self.start_s
        if self.kind == "stuck":
            column[on] = held
        elif self.kind == "spike":
            hit = np.floor(since / _SPIKES_S) != np.floor((since - 1.0 / hz) / _SPIKES_S)
            column[on] += 2.0 * step * hit
        elif self.kind == "noise":
            number = np.round(t_s[on] * hz).astype(np.int64) + 7919 * self.index
            column[on] += (2.0 * chance.uniform(number) - 1.0) * 1.2 * step
        elif self.kind == "offset":
            column[on] += step
        else:
            column[on] += 1.8 * step * since / (self.end_s - self.start_s)


@dataclass(frozen=True, slots=True)
class Pretence:
    """A change on the sensors that nothing in the world has caused.

    Attributes:
        kind: ``load``: current and vibration as if the load had changed; ``door``: the contact
            says open; ``light``: lux as if a lamp had been switched.
        start_s: When it begins.
        end_s: When it is over.
    """

    kind: PretenceKind
    start_s: float
    end_s: float

    def apply(self, truth: Floats, t_s: Floats, machine: Machine) -> None:
        """Change true values ``(N, C)`` in place."""
        on = (t_s >= self.start_s) & (t_s < self.end_s)
        if not on.any():
            return
        t = t_s[on]
        share = ramp((t - self.start_s) / 0.5) * ramp((self.end_s - t) / 0.5)
        if self.kind == "door":
            truth[on, CHANNELS.index("door_contact")] = 1.0
        elif self.kind == "light":
            lux = CHANNELS.index("light_lux")
            truth[on, lux] += share * np.where(truth[on, lux] > 260.0, -140.0, 150.0)
        else:
            pace, load = machine.pace(t), machine.load(t)
            other = load + share * (np.where(load < 0.5, 0.95, 0.05) - load)
            truth[on, 0] += current_a(pace, other) - current_a(pace, load)
            truth[on, 2] += vibration_mm_s(pace, other) - vibration_mm_s(pace, load)
