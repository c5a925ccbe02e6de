"""The machine's sound, from its angle: every harmonic follows the wheel exactly."""

from __future__ import annotations

import numpy as np

from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.clips import Wave
from pipeline.sources.synthetic.machine import Machine
from pipeline.sources.synthetic.place import Place

_TABLE = 16384


class Hum:
    """Motor, gear and wheel.

    Args:
        place: Fixes the gear and the balance of the harmonics.
        machine: Speed, angle and load.
        hz: Sampling rate; harmonics above its half are left out.
    """

    def __init__(self, place: Place, machine: Machine, hz: int) -> None:
        self._machine = machine
        self._gear = place.machine.gear
        self._hz = hz
        rng = Chance(place.number, "hum").at()
        top = int(0.45 * hz / (place.machine.gear * place.machine.fast_hz * 1.1))
        self._soft = _table(rng, {1: 1.0, 2: 0.55, 3: 0.2, 4: 0.16, 6: 0.08}, top)
        rough = {n: rng.uniform(0.4, 1.0) / n**0.8 for n in range(1, 15)}
        rough |= {17: 0.10, 23: 0.06, 34: 0.05}
        self._hard = _table(rng, rough, top)
        phase = np.arange(_TABLE) / _TABLE
        knock = np.sin(2 * np.pi * 34 * phase) * np.exp(-phase / 0.035)
        knock += 0.5 * np.sin(2 * np.pi * 41 * phase) * np.exp(-((phase - 0.47) ** 2) / 6e-4)
        self._knock = (knock * np.minimum(phase / 0.004, 1.0)).astype(np.float32)
        gap = place.distance_m(place.machine.x_m, place.machine.front_m, 0.8)
        self._gain = float(rng.uniform(0.022, 0.036)) * 6.0 / gap

    def at(self, first: int, count: int) -> Wave:
        """Samples ``[first, first + count)``."""
        t = np.arange(first, first + count) / self._hz
        turns = self._machine.turns(t)
        ends = np.array([t[0], t[0] + count / self._hz])
        pace = _between(self._machine.pace(ends), count)
        load = _between(self._machine.load(ends), count)
        motor = _index(turns * self._gear)
        wave = self._soft[motor] * (1.0 - load) + 1.3 * self._hard[motor] * load
        wheel = self._knock[_index(turns)] * (0.5 + load)
        beat = 1.0 + 0.22 * load * np.cos(2 * np.pi * turns)
        loud = self._gain * (0.45 + 0.55 * pace + 0.5 * load)
        result: Wave = (loud * (wave * beat + 0.8 * wheel)).astype(np.float32)
        return result


def _table(rng: np.random.Generator, harmonics: dict[int, float], top: int) -> Wave:
    phase = 2 * np.pi * np.arange(_TABLE) / _TABLE
    wave = np.zeros(_TABLE)
    for number, level in harmonics.items():
        shift = rng.uniform(0, 2 * np.pi)
        if number <= max(top, 1):
            wave += level * np.sin(number * phase + shift)
    table: Wave = (wave / wave.std()).astype(np.float32)
    return table


def _index(turns: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return (turns * _TABLE).astype(np.int64) & (_TABLE - 1)


def _between(ends: Floats, count: int) -> Floats:
    line: Floats = ends[0] + (ends[1] - ends[0]) * (np.arange(count) / count)
    return line
