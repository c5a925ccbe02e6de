"""The rotating machine: speed, load, and what follows from them.

Speed is drawn anew every `SPEED_SLOT_S` and load every `LOAD_SLOT_S`, each reached by a smooth
ramp. The wheel's angle is the integral of its speed; a small correction within each speed
slot makes that integral a whole number of turns, so the angle at any moment is known without
adding up everything before, and every harmonic of the hum is continuous.
"""

from __future__ import annotations

import numpy as np

from pipeline.sources.synthetic.chance import Chance, Floats, Ints, ramp
from pipeline.sources.synthetic.place import MachineLook

SPEED_SLOT_S = 26.0
SPEED_RAMP_S = 4.0
LOAD_SLOT_S = 17.0
LOAD_RAMP_S = 1.4
WARMING_S = 120.0


class Machine:
    """Speed, angle and load at any time.

    Args:
        look: The machine of the place.
        seed: Seed of what happens.
    """

    def __init__(self, look: MachineLook, seed: int) -> None:
        self._look = look
        self._speeds = Chance(seed, "machine/speed")
        self._loads = Chance(seed, "machine/load")

    def speed_hz(self, t_s: Floats) -> Floats:
        """Turns of the wheel per second."""
        before, after, into = self._speed_slot(t_s)
        steady = before + (after - before) * ramp(into / SPEED_RAMP_S)
        bump = 1.0 - np.cos(2 * np.pi * into / SPEED_SLOT_S)
        result: Floats = steady + _correction(before, after) * bump / SPEED_SLOT_S
        return result

    def turns(self, t_s: Floats) -> Floats:
        """Turns of the wheel since its speed slot began; continuous modulo 1."""
        before, after, into = self._speed_slot(t_s)
        x = np.minimum(into / SPEED_RAMP_S, 1.0)
        ramped = SPEED_RAMP_S * (x**3 - x**4 / 2) + np.maximum(into - SPEED_RAMP_S, 0.0)
        share = into / SPEED_SLOT_S
        bump = share - np.sin(2 * np.pi * share) / (2 * np.pi)
        return before * into + (after - before) * ramped + _correction(before, after) * bump

    def load(self, t_s: Floats) -> Floats:
        """How hard it works, 0 to 1."""
        slot = np.floor(t_s / LOAD_SLOT_S)
        number = slot.astype(np.int64)
        before, after = self._load_level(number - 1), self._load_level(number)
        result: Floats = before + (after - before) * ramp((t_s - slot * LOAD_SLOT_S) / LOAD_RAMP_S)
        return result

    def pace(self, t_s: Floats) -> Floats:
        """Speed between slowest (0) and fastest (1)."""
        slow, fast = self._look.slow_hz, self._look.fast_hz
        return np.clip((self.speed_hz(t_s) - slow) / (fast - slow), 0.0, 1.0)

    def current_a(self, t_s: Floats) -> Floats:
        """Current drawn, amperes."""
        return current_a(self.pace(t_s), self.load(t_s))

    def vibration_mm_s(self, t_s: Floats) -> Floats:
        """Vibration of the housing, millimetres a second."""
        return vibration_mm_s(self.pace(t_s), self.load(t_s))

    def warmth_k(self, t_s: float) -> float:
        """Kelvin above the room: power of the last ten minutes through a first-order lag."""
        ages = np.arange(0.0, 6 * WARMING_S, 2.0)
        past = t_s - ages
        power = 0.3 + 0.5 * self.pace(past) + 0.9 * self.load(past) * (0.4 + self.pace(past))
        weights = np.exp(-ages / WARMING_S)
        return float(18.0 * (power @ weights) / weights.sum())

    def _speed_slot(self, t_s: Floats) -> tuple[Floats, Floats, Floats]:
        slot = np.floor(t_s / SPEED_SLOT_S)
        number = slot.astype(np.int64)
        before, after = self._speed_level(number - 1), self._speed_level(number)
        return before, after, t_s - slot * SPEED_SLOT_S

    def _speed_level(self, number: Ints) -> Floats:
        look = self._look
        return look.slow_hz + (look.fast_hz - look.slow_hz) * self._speeds.uniform(number)

    def _load_level(self, number: Ints) -> Floats:
        draw = self._loads.uniform(number)
        return np.where(draw < 0.35, 0.08, 0.25 + 0.75 * (draw - 0.35) / 0.65)


def current_a(pace: Floats, load: Floats) -> Floats:
    """Current at a pace and a load, amperes."""
    result: Floats = 1.6 + 1.5 * pace**2 + 3.2 * load * (0.5 + 0.5 * pace)
    return result


def vibration_mm_s(pace: Floats, load: Floats) -> Floats:
    """Vibration at a pace and a load, millimetres a second."""
    result: Floats = 0.5 + 1.6 * np.maximum(pace, 0.0) ** 1.5 + 0.9 * load
    return result


def _correction(before: Floats, after: Floats) -> Floats:
    total = before * SPEED_SLOT_S + (after - before) * (SPEED_SLOT_S - SPEED_RAMP_S / 2)
    result: Floats = np.round(total) - total
    return result
