"""The microphone: what the world sounds like, exact to the sample at any position.

Sound is made in blocks of half a second on a fixed grid and chunks are cut from blocks, so
how it is read makes no difference. Steps, door, birds and strange sounds are clips laid at
their moment plus the way to the microphone; hum and murmurs run along.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.clips import SLAM_S, STEP_S, Clips, Wave, make_clips
from pipeline.sources.synthetic.hum import Hum
from pipeline.sources.synthetic.murmur import Murmur
from pipeline.sources.synthetic.place import Place
from pipeline.sources.synthetic.visits import (
    CLOSE_AFTER_S,
    CLOSING_S,
    OPEN_BEFORE_S,
    Visit,
)
from pipeline.sources.synthetic.world import World

SOUND_M_S = 343.0
LONGEST_CLIP_S = 2.0
_BEHIND_WALL = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Sounding:
    """A clip at a moment.

    Attributes:
        at_s: When its first sample reaches the microphone.
        wave: The clip.
        gain: Its peak.
    """

    at_s: float
    wave: Wave
    gain: float


class Earshot:
    """What of a visit is heard, and when.

    Args:
        place: Distances and gains.
        clips: The place's sounds.
    """

    def __init__(self, place: Place, clips: Clips) -> None:
        self._place = place
        self._clips = clips

    def of(self, visit: Visit) -> tuple[Sounding, ...]:
        """Everything heard of a visit, in time order of each part."""
        return (*self._steps(visit), *self._door(visit))

    def _steps(self, visit: Visit) -> Iterator[Sounding]:
        place, person = self._place, visit.person
        x, z = visit.walk.position(visit.strikes_s)
        for number, at in enumerate(visit.strikes_s):
            gap = place.distance_m(float(x[number]), float(z[number]))
            gain = 0.2 * person.weight * place.steps_gain * 4.0 / gap
            if z[number] > place.depth_m:
                gain *= _BEHIND_WALL
            wave = self._clips.steps[person.shoe][(number * 5 + number // 3) % 3]
            yield Sounding(float(at) + gap / SOUND_M_S, wave, gain)

    def _door(self, visit: Visit) -> Iterator[Sounding]:
        place = self._place
        gap = place.distance_m(place.door.centre_m, place.depth_m, 1.0)
        late = gap / SOUND_M_S
        for at in visit.doors_s:
            yield Sounding(at - OPEN_BEFORE_S + late, self._clips.creak, 0.09 * 7.0 / gap)
            shut = at + CLOSE_AFTER_S + CLOSING_S - 0.04
            yield Sounding(shut + late, self._clips.slam, 0.36 * 7.0 / gap)


class Sound:
    """Sound of one site.

    Args:
        world: What happens.
        hz: Sampling rate.
    """

    def __init__(self, world: World, hz: int) -> None:
        self.hz = hz
        self.block = hz // 2
        self._world = world
        self._place = world.place
        self.clips = make_clips(world.place, hz)
        self.earshot = Earshot(world.place, self.clips)
        self._hum = Hum(world.place, world.machine, hz)
        seed = world.seed
        self._rain = Murmur(seed, "rain", hz, 900.0, 7000.0)
        self._wind = Murmur(seed, "wind", hz, 60.0, 420.0)
        self._traffic = Murmur(seed, "traffic", hz, 45.0, 650.0)
        self._wheels = Murmur(seed, "wheels", hz, 90.0, 1500.0)
        self._hiss = Chance(seed, "sound/hiss")
        self._of_visit: OrderedDict[Visit, tuple[Sounding, ...]] = OrderedDict()

    def mix(self, number: int, others: list[Visit], strange: list[Sounding]) -> Floats:
        """Block `number` ``(N,)`` before the converter, with what anomalies add."""
        first = number * self.block
        t0, t1 = first / self.hz, (first + self.block) / self.hz
        out: Floats = self._murmurs(first, t0, t1) + self._hum.at(first, self.block)
        near = self._world.visits.slots.between(t0 - LONGEST_CLIP_S, t1)
        visits = [v for v in [*near, *others] if v.heard]
        for visit in visits:
            if visit.person.cart:
                out += self._cart(visit, first)
            for sounding in self._heard(visit):
                self._lay(out, first, sounding)
        for sounding in [*self._birds(t0, t1), *strange]:
            self._lay(out, first, sounding)
        return out

    def _heard(self, visit: Visit) -> tuple[Sounding, ...]:
        found = self._of_visit.get(visit)
        if found is None:
            found = self._of_visit[visit] = self.earshot.of(visit)
            if len(self._of_visit) > 64:
                self._of_visit.popitem(last=False)
        return found

    def _murmurs(self, first: int, t0: float, t1: float) -> Floats:
        weather, count = self._world.weather, self.block
        ends = np.array([t0, t1])
        way = np.arange(count) / count
        rain, wind, day = (
            f[0] + (f[1] - f[0]) * way
            for f in (weather.rain(ends), weather.wind(ends), weather.daylight(ends))
        )
        cars = 0.0016 + 0.0022 * day + self._cars(t0 + (t1 - t0) * way, t0, t1)
        out: Floats = 0.0012 * self._hiss.at(first // count).standard_normal(count)
        out += cars * self._traffic.at(first, count)
        out += 0.022 * wind**1.5 * self._wind.at(first, count)
        if rain.max() > 0:
            out += 0.02 * rain * self._rain.at(first, count)
        return out

    def _cars(self, t_s: Floats, t0: float, t1: float) -> Floats:
        total = np.zeros(len(t_s))
        for car in self._world.nuisance.cars.between(t0, t1):
            way = np.clip((t_s - car.start_s) / (car.end_s - car.start_s), 0.0, 1.0)
            swell = np.exp(-(((way - 0.5) / 0.16) ** 2)) * np.sin(np.pi * way) ** 2
            total += 0.022 * car.loud * swell
        return total

    def _cart(self, visit: Visit, first: int) -> Floats:
        t = np.arange(first, first + self.block) / self.hz
        x, z = visit.walk.position(t)
        begin, end = visit.walk.times_s[0], visit.walk.times_s[-1]
        swell = np.clip(np.minimum(t - begin, end - t) / 0.3, 0.0, 1.0)
        gap = np.hypot(np.hypot(x - self._place.view.x_m, z), self._place.view.height_m)
        rattle: Floats = 0.045 * 4.0 / gap * swell * self._wheels.at(first, self.block)
        return rattle

    def _birds(self, t0: float, t1: float) -> Iterator[Sounding]:
        for bird in self._world.nuisance.birds.between(t0 - 1.0, t1):
            for number, at in enumerate(bird.chirps_s):
                gain = 0.02 + 0.03 * (0.5 + 0.5 * np.cos(2.1 * number)) * bird.height
                yield Sounding(at, self.clips.chirps[bird.voice], float(gain))

    def _lay(self, out: Floats, first: int, sounding: Sounding) -> None:
        at = round(sounding.at_s * self.hz) - first
        begin, end = max(at, 0), min(at + len(sounding.wave), len(out))
        if begin < end:
            out[begin:end] += sounding.gain * sounding.wave[begin - at : end - at]


def step_tail_s() -> float:
    """How long the last step of a walk is still heard."""
    return STEP_S


def slam_tail_s() -> float:
    """How long a door is still heard after it fell shut."""
    return SLAM_S
