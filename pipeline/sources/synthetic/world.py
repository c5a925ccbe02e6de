"""The world: who is there, what runs, what the weather does, and what is wrong, at any time.

The one place where happenings come together. Picture, sound and sensors ask it and nothing
else, so they agree by construction; an anomaly is a happening that one of them is not told of.
"""

from __future__ import annotations

import numpy as np

from pipeline.sources.synthetic.chance import Floats
from pipeline.sources.synthetic.knots import Knots
from pipeline.sources.synthetic.light import Lighting
from pipeline.sources.synthetic.machine import Machine
from pipeline.sources.synthetic.nuisance import Bird, Nuisance
from pipeline.sources.synthetic.place import Place
from pipeline.sources.synthetic.state import BirdInFlight, Visible
from pipeline.sources.synthetic.things import Stay
from pipeline.sources.synthetic.visits import Visit, Visits, door_angle
from pipeline.sources.synthetic.weather import Weather


class World:
    """The normal course of things at one site.

    Args:
        place: The site.
        seed: Seed of what happens.
        day_start_h: Hour of the day at scene second 0.
        day_length_s: Seconds a whole day takes.
    """

    def __init__(self, place: Place, seed: int, day_start_h: float, day_length_s: float) -> None:
        self.place = place
        self.seed = seed
        self.weather = Weather(seed, day_start_h, day_length_s)
        self.nuisance = Nuisance(seed, self.weather)
        self.lighting = Lighting(seed, self.weather, self.nuisance)
        self.machine = Machine(place.machine, seed)
        self.visits = Visits(place, seed)
        self._slow = Knots(self._slow_at, 0.5)

    def visible(self, t_s: float, others: list[Visit], stays: list[Stay]) -> Visible:
        """What can be seen at a moment, with what `others` and objects add to the normal."""
        now = np.array([t_s])
        sky, sun, lamp, day, clouds, rain, wind = self._slow.at(t_s)
        near = self.visits.slots.between(t_s, t_s + 1e-6)
        seen = [v for v in [*near, *others] if v.seen]
        poses = [v.pose(t_s) for v in seen if v.walk.times_s[0] <= t_s < v.walk.times_s[-1]]
        passes = [at for v in seen for at in v.doors_s]
        machine = self.machine
        return Visible(
            t_s=t_s,
            light=self.lighting.at(t_s, sky, sun, lamp),
            day=day,
            clouds=clouds,
            rain=rain,
            wind=wind,
            headlights=self.nuisance.headlights(t_s),
            birds=self._birds(t_s),
            door_rad=door_angle(passes, t_s),
            turns=float(machine.turns(now)[0]),
            pace=float(machine.pace(now)[0]),
            load=float(machine.load(now)[0]),
            people=tuple(sorted(poses, key=lambda p: -p.z_m)),
            things=tuple(s.at(t_s) for s in stays if s.start_s <= t_s < s.end_s),
        )

    def _slow_at(self, t_s: float) -> Floats:
        now, weather = np.array([t_s]), self.weather
        outside = (weather.daylight(now), weather.clouds(now), weather.rain(now))
        return np.concatenate([*self.lighting.parts(now), *outside, weather.wind(now)])

    def _birds(self, t_s: float) -> tuple[BirdInFlight, ...]:
        flying = (b for b in self.nuisance.birds.between(t_s, t_s + 1e-6) if b.flies)
        return tuple(_flight(bird, t_s) for bird in flying)


def _flight(bird: Bird, t_s: float) -> BirdInFlight:
    way = (t_s - bird.start_s) / 2.2
    across = way if bird.rightward else 1.0 - way
    rise = 0.08 * float(np.sin(7.0 * way + 9.0 * bird.height))
    return BirdInFlight(across, bird.height + rise, 21.0 * t_s)
