"""Day and night, clouds, rain and wind; all smooth functions of time."""

from __future__ import annotations

import numpy as np

from pipeline.sources.synthetic.chance import Chance, Floats, ramp


class Weather:
    """What it is like outside.

    Args:
        seed: Seed of what happens.
        day_start_h: Hour of the day at scene second 0.
        day_length_s: Seconds a whole day takes.
    """

    def __init__(self, seed: int, day_start_h: float, day_length_s: float) -> None:
        self._start_h = day_start_h
        self._length_s = day_length_s
        self._clouds = Chance(seed, "weather/clouds")
        self._puffs = Chance(seed, "weather/puffs")
        self._rain = Chance(seed, "weather/rain")
        self._wind = Chance(seed, "weather/wind")
        self._gusts = Chance(seed, "weather/gusts")

    def hour(self, t_s: Floats) -> Floats:
        """Hour of the day, 0 to 24."""
        return (self._start_h + 24.0 * t_s / self._length_s) % 24.0

    def daylight(self, t_s: Floats) -> Floats:
        """Light of the sky without clouds: 0 at night, 1 at noon."""
        height = np.sin(2 * np.pi * (self.hour(t_s) - 6.0) / 24.0)
        return ramp((height + 0.15) / 0.75)

    def clouds(self, t_s: Floats) -> Floats:
        """Share of the sky that is covered, 0 to 1."""
        slow, fast = self._clouds.smooth(t_s, 310.0), self._puffs.smooth(t_s, 41.0)
        return np.clip(1.25 * (0.72 * slow + 0.28 * fast) - 0.1, 0.0, 1.0)

    def rain(self, t_s: Floats) -> Floats:
        """Rain, 0 to 1; none most of the time."""
        result: Floats = ramp((self._rain.smooth(t_s, 190.0) - 0.66) / 0.26)
        return result

    def wind(self, t_s: Floats) -> Floats:
        """Wind, 0 to 1."""
        slow, gusts = self._wind.smooth(t_s, 150.0), self._gusts.smooth(t_s, 7.0)
        result: Floats = slow * (0.45 + 0.55 * gusts)
        return result
