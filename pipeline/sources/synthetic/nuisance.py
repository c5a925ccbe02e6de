"""What comes and goes without meaning anything: lamps switched, cars outside, birds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.slots import Slots
from pipeline.sources.synthetic.weather import Weather


@dataclass(frozen=True, slots=True)
class LampOn:
    """The floor lamp is on."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Car:
    """A car passes outside.

    Attributes:
        start_s: When it begins to be heard.
        end_s: When it is gone.
        loud: Loudness at its nearest, 0 to 1.
        rightward: Direction in which its headlights sweep.
    """

    start_s: float
    end_s: float
    loud: float
    rightward: bool


@dataclass(frozen=True, slots=True)
class Bird:
    """A bird flies past the window, sings, or both.

    Attributes:
        start_s: When it enters the window.
        end_s: When it leaves the window and has stopped singing.
        height: Where it crosses the window, 0 (bottom) to 1.
        rightward: Direction of flight.
        flies: Whether it is seen.
        chirps_s: When it chirps.
        voice: Which of the place's voices it has.
    """

    start_s: float
    end_s: float
    height: float
    rightward: bool
    flies: bool
    chirps_s: tuple[float, ...]
    voice: int


class Nuisance:
    """Everything of this kind at one site.

    Args:
        seed: Seed of what happens.
        weather: Birds keep quiet at night and in rain; cars are rarer at night.
    """

    def __init__(self, seed: int, weather: Weather) -> None:
        self._weather = weather
        self._lamp_draws = Chance(seed, "nuisance/lamp")
        self._car_draws = Chance(seed, "nuisance/cars")
        self._bird_draws = Chance(seed, "nuisance/birds")
        self.lamps = Slots(45.0, 80.0, self._draw_lamps)
        self.cars = Slots(16.0, 40.0, self._draw_cars)
        self.birds = Slots(9.0, 14.0, self._draw_birds)

    def side_lamp(self, t_s: float) -> float:
        """1 while the floor lamp is on, else 0; switching takes no time."""
        return 1.0 if self.lamps.between(t_s, t_s + 1e-6) else 0.0

    def side_lamp_at(self, t_s: Floats) -> Floats:
        """`side_lamp` for sorted times."""
        on = np.zeros(len(t_s))
        for lamp in self.lamps.between(float(t_s[0]), float(t_s[-1]) + 1e-6):
            on[(t_s >= lamp.start_s) & (t_s < lamp.end_s)] = 1.0
        return on

    def headlights(self, t_s: float) -> tuple[float, float]:
        """Brightness of headlights in the window and how far they have swept, both 0 to 1."""
        best = (0.0, 0.0)
        for car in self.cars.between(t_s, t_s + 1e-6):
            way = (t_s - car.start_s) / (car.end_s - car.start_s)
            bright = car.loud * float(np.exp(-(((way - 0.5) / 0.13) ** 2)))
            best = max(best, (bright, way if car.rightward else 1.0 - way))
        return best

    def _draw_lamps(self, number: int, start_s: float) -> list[LampOn]:
        rng = self._lamp_draws.at(number)
        if rng.random() > 0.4:
            return []
        begin = start_s + rng.uniform(0.0, 44.0)
        return [LampOn(begin, begin + rng.uniform(5.0, 34.0))]

    def _draw_cars(self, number: int, start_s: float) -> list[Car]:
        rng = self._car_draws.at(number)
        light = float(self._weather.daylight(np.array([start_s]))[0])
        if rng.random() > 0.25 + 0.4 * light:
            return []
        begin = start_s + rng.uniform(0.0, 16.0)
        long = rng.uniform(7.0, 18.0)
        return [Car(begin, begin + long, float(rng.uniform(0.15, 1.0)), bool(rng.random() < 0.5))]

    def _draw_birds(self, number: int, start_s: float) -> list[Bird]:
        rng = self._bird_draws.at(number)
        now = np.array([start_s])
        likely = 0.5 * float(self._weather.daylight(now)[0] * (1 - self._weather.rain(now)[0]))
        if rng.random() > likely:
            return []
        begin = start_s + rng.uniform(0.0, 9.0)
        chirps = begin + np.cumsum(rng.uniform(0.14, 0.5, int(rng.integers(0, 7))))
        bird = Bird(
            start_s=begin,
            end_s=begin + 4.5,
            height=float(rng.uniform(0.45, 0.95)),
            rightward=bool(rng.random() < 0.5),
            flies=bool(rng.random() < 0.5),
            chirps_s=tuple(float(c) for c in chirps),
            voice=int(rng.integers(0, 4)),
        )
        return [bird]
