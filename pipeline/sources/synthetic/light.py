"""How bright it is, by source of light, and what the light sensor makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.nuisance import Nuisance
from pipeline.sources.synthetic.weather import Weather

_STEPS = 160.0


@dataclass(frozen=True, slots=True)
class Light:
    """Strength of each source of light, after the camera's exposure.

    Attributes:
        sky: Diffuse light through the window.
        sun: Direct sun through the window.
        lamp: Ceiling lamp.
        side: Floor lamp.
        night: What remains when all else is off.
        gain: The camera's amplification; its noise grows with it.
    """

    sky: float
    sun: float
    lamp: float
    side: float
    night: float
    gain: float


class Lighting:
    """Light at any time.

    Args:
        seed: Seed of what happens.
        weather: Sun and clouds.
        nuisance: The floor lamp.
    """

    def __init__(self, seed: int, weather: Weather, nuisance: Nuisance) -> None:
        self._weather = weather
        self._nuisance = nuisance
        self._mains = Chance(seed, "light/mains")

    def at(self, t_s: float, sky: float, sun: float, lamp: float) -> Light:
        """What the camera sees; in small steps, so that a still scene can be kept.

        Args:
            t_s: Scene second.
            sky: First of `parts`, likewise `sun` and `lamp`.
            sun: Second.
            lamp: Third.
        """
        side = self._nuisance.side_lamp(t_s)
        exposed = 0.26 + 0.46 * sky + 0.28 * sun + 0.34 * lamp + 0.05 * side
        # Exposure makes up for most of the dark, as cameras do, but not for all of it.
        gain = round(_STEPS * math.pow(exposed, -0.7)) / _STEPS

        def step(value: float) -> float:
            return round(value * gain * _STEPS) / _STEPS

        return Light(step(sky), step(sun), step(lamp), step(side), step(0.05), gain)

    def lux(self, t_s: Floats) -> Floats:
        """Reading of an ideal light sensor near the window, lux."""
        sky, sun, lamp = self.parts(t_s)
        side = self._nuisance.side_lamp_at(t_s)
        return 4.0 + 420.0 * sky + 380.0 * sun + 160.0 * lamp + 55.0 * side

    def parts(self, t_s: Floats) -> tuple[Floats, Floats, Floats]:
        """Light of the sky, the sun and the ceiling lamp, before exposure."""
        day, clouds = self._weather.daylight(t_s), self._weather.clouds(t_s)
        sky = day * (1.0 - 0.45 * clouds)
        sun = day * np.clip(1.0 - 1.5 * clouds, 0.0, 1.0)
        hour = self._weather.hour(t_s)
        full, dim = (hour >= 16.6) & (hour < 22.5) | (hour >= 5.5) & (hour < 8.2), day < 0.3
        lamp = np.where(full, 1.0, np.where(dim, 0.45, 0.0))
        return sky, sun, lamp * (0.985 + 0.03 * self._mains.smooth(t_s, 23.0))
