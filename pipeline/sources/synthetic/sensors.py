"""The sensors: what the machine, the door, the air and the light make instruments read.

Readings are made in blocks of a second on a fixed grid. Each is the truth of the world, plus
slow drift, plus noise placed by the reading's number, rounded to the instrument's step.
"""

from __future__ import annotations

import numpy as np

from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.knots import Knots
from pipeline.sources.synthetic.visits import Visit, door_angle
from pipeline.sources.synthetic.world import World

CHANNELS = (
    "machine_current_a",
    "machine_temp_c",
    "vibration_mm_s",
    "door_contact",
    "pir",
    "co2_ppm",
    "light_lux",
    "room_temp_c",
)
UNITS = ("A", "°C", "mm/s", "", "", "ppm", "lx", "°C")
ANALOG = ("machine_current_a", "machine_temp_c", "vibration_mm_s", "co2_ppm", "light_lux")
NOISE = np.array([0.05, 0.08, 0.07, 0.0, 0.0, 4.0, 3.0, 0.03])
DRIFT = np.array([0.06, 0.3, 0.08, 0.0, 0.0, 14.0, 5.0, 0.25])
_STEP = np.array([0.01, 0.05, 0.01, 1.0, 1.0, 1.0, 0.5, 0.01])
_BREATH_S = 240.0
_BREATH_PPM_S = 4.0
_LINGER_S = 4 * _BREATH_S


class Sensors:
    """Readings of one site.

    Args:
        world: What happens.
        hz: Readings a second.
    """

    def __init__(self, world: World, hz: float) -> None:
        self.hz = hz
        self.block = max(round(hz), 1)
        self._world = world
        self._noise = Chance(world.seed, "sensors/noise")
        self._drifts = [Chance(world.seed, f"sensors/drift/{name}") for name in CHANNELS]
        self._drift = Knots(self._drift_at, 30.0)
        self._warmth = Knots(lambda t_s: np.array([world.machine.warmth_k(t_s)]), 1.0)

    def times_s(self, number: int) -> Floats:
        """Times of the readings of block `number`."""
        return np.arange(number * self.block, (number + 1) * self.block) / self.hz

    def truth(self, number: int, others: list[Visit]) -> Floats:
        """True values ``(N, C)`` of block `number`, with people that anomalies bring."""
        t = self.times_s(number)
        world, machine = self._world, self._world.machine
        t0, t1 = float(t[0]), float(t[-1]) + 1.0 / self.hz
        near = [v for v in [*world.visits.slots.between(t0, t1), *others] if v.seen]
        warmth = self._between(self._warmth, t0)[:, 0]
        passes = [at for v in near for at in v.doors_s]
        day = world.weather.daylight(t)
        room = 20.5 + 1.8 * day
        return np.stack(
            [
                machine.current_a(t),
                room + warmth,
                machine.vibration_mm_s(t),
                np.array([door_angle(passes, s) > 0.02 for s in t], dtype=np.float64),
                _inside(near, t),
                430.0 + self._breath(t, t0, t1),
                world.lighting.lux(t),
                room + 0.03 * warmth,
            ],
            axis=1,
        )

    def noise(self, number: int) -> Floats:
        """Noise and drift ``(N, C)`` of block `number`."""
        t = self.times_s(number)
        fast = self._noise.at(number).standard_normal((len(t), len(CHANNELS))) * NOISE
        result: Floats = fast + self._between(self._drift, float(t[0])) * DRIFT
        return result

    def _drift_at(self, t_s: float) -> Floats:
        now = np.array([t_s])
        slow = [d.smooth(now, 420.0 + 37.0 * i) for i, d in enumerate(self._drifts)]
        return 2.0 * np.concatenate(slow) - 1.0

    def _between(self, slow: Knots, t_s: float) -> Floats:
        """A slow quantity over the block that begins at `t_s`, ``(N, C)``."""
        begin, end = np.array(slow.at(t_s)), np.array(slow.at(t_s + self.block / self.hz))
        way = np.arange(self.block)[:, None] / self.block
        line: Floats = begin + (end - begin) * way
        return line

    def _breath(self, t: Floats, t0: float, t1: float) -> Floats:
        """Carbon dioxide above the outside: breathed out while inside, aired out slowly."""
        total = np.zeros(len(t))
        for visit in self._world.visits.slots.between(t0 - _LINGER_S, t1):
            begin, end = visit.present
            since, after = np.maximum(t - begin, 0.0), np.maximum(t - end, 0.0)
            total += np.exp(-after / _BREATH_S) - np.exp(-since / _BREATH_S)
        return total * _BREATH_PPM_S * _BREATH_S


def rounded(values: Floats) -> Floats:
    """Values as the instruments show them."""
    result: Floats = np.round(values / _STEP) * _STEP
    return result


def _inside(visits: list[Visit], t: Floats) -> Floats:
    inside = np.zeros(len(t))
    for visit in visits:
        inside[(t >= visit.present[0]) & (t < visit.present[1])] = 1.0
    return inside
