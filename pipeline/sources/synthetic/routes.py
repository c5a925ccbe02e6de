"""Routes across the floor, and walking them.

A route is a list of stops with straight lines between them; corners are rounded, walking
speed is constant, and at a stop one may pause. `walk` turns a route into knots of time,
position and distance walked, from which every later question is an interpolation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.sources.synthetic.chance import Floats
from pipeline.sources.synthetic.place import Place


@dataclass(frozen=True, slots=True)
class Stop:
    """A point of a route and how long one stays there."""

    x_m: float
    z_m: float
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Walk:
    """A route that was walked.

    Attributes:
        times_s: Knots in time ``(K,)``, growing.
        track_m: Position (x, z) at the knots ``(K, 2)``.
        walked_m: Distance walked at the knots ``(K,)``.
        pauses_s: Spans without walking.
    """

    times_s: Floats
    track_m: Floats
    walked_m: Floats
    pauses_s: tuple[tuple[float, float], ...]

    def position(self, t_s: Floats) -> tuple[Floats, Floats]:
        """Position (x, z) at any times within the walk."""
        x = np.interp(t_s, self.times_s, self.track_m[:, 0])
        return x, np.interp(t_s, self.times_s, self.track_m[:, 1])

    def crossings_s(self, depth_m: float) -> tuple[float, ...]:
        """Times at which a depth is crossed."""
        side = self.track_m[:, 1] - depth_m
        found = np.nonzero(np.signbit(side[:-1]) != np.signbit(side[1:]))[0]
        share = side[found] / (side[found] - side[found + 1])
        times = self.times_s[found] + share * np.diff(self.times_s)[found]
        return tuple(float(t) for t in times)

    def strikes_s(self, step_m: float) -> Floats:
        """Times at which a foot strikes the floor: at every odd half of a step's length."""
        count = int(self.walked_m[-1] / step_m + 0.5)
        strikes: Floats = np.interp((np.arange(count) + 0.5) * step_m, self.walked_m, self.times_s)
        return strikes


def walk(stops: list[Stop], start_s: float, speed_m_s: float) -> Walk:
    """Walk `stops` from `start_s` at `speed_m_s`."""
    times, tracks, walked, pauses = [np.array([start_s])], [_point(stops[0])], [np.zeros(1)], []
    leg = [stops[0]]
    for stop in stops[1:]:
        leg.append(stop)
        if stop.pause_s <= 0 and stop is not stops[-1]:
            continue
        line = _rounded(np.array([(s.x_m, s.z_m) for s in leg]))
        metres = np.cumsum(np.hypot(*np.diff(line, axis=0).T))
        times.append(times[-1][-1] + metres / speed_m_s)
        tracks.append(line[1:])
        walked.append(walked[-1][-1] + metres)
        if stop.pause_s > 0:
            begin = float(times[-1][-1])
            pauses.append((begin, begin + stop.pause_s))
            times.append(np.array([begin + stop.pause_s]))
            tracks.append(_point(stop))
            walked.append(walked[-1][-1:])
        leg = [stop]
    return Walk(
        np.concatenate(times), np.concatenate(tracks), np.concatenate(walked), tuple(pauses)
    )


def spot(place: Place, rng: np.random.Generator) -> Stop:
    """Some point of the floor where people walk and the camera sees them."""
    z = rng.uniform(place.near_z_m() + 0.4, place.far_z_m())
    reach = 0.72 * z * np.tan(place.view.width_rad / 2)
    x = place.view.x_m + z * np.tan(place.view.yaw_rad) + rng.uniform(-reach, reach)
    return Stop(float(np.clip(x, 0.8 - place.half_width_m, place.half_width_m - 0.8)), float(z))


def edge(place: Place, rng: np.random.Generator, *, right: bool) -> Stop:
    """A point just outside the picture, to the left or right in the foreground."""
    z = float(rng.uniform(place.near_z_m(), place.near_z_m() + 0.7))
    side = 1.0 if right else -1.0
    angle = place.view.yaw_rad + side * place.view.width_rad / 2
    return Stop(place.view.x_m + z * float(np.tan(angle)) * 1.04 + side * 0.4, z)


def through_door(place: Place, *, inward: bool) -> list[Stop]:
    """The way from the corridor into the room, or out."""
    x, wall = place.door.centre_m, place.depth_m
    way = [Stop(x, wall + 1.1), Stop(x, wall - 0.7), Stop(x, place.far_z_m() - 0.1)]
    return way if inward else way[::-1]


def at_machine(place: Place, pause_s: float) -> Stop:
    """The place where one stands to work at the machine."""
    return Stop(place.machine.x_m, place.machine.front_m - 0.55, pause_s)


def _point(stop: Stop) -> Floats:
    return np.array([[stop.x_m, stop.z_m]])


def _rounded(line: Floats) -> Floats:
    """Corners cut twice (Chaikin 1974), ends kept."""
    for _ in range(2):
        if len(line) < 3:
            break
        a, b = line[:-1], line[1:]
        cut = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], axis=1).reshape(-1, 2)
        line = np.concatenate([line[:1], cut[1:-1], line[-1:]])
    return line


def roam(place: Place, rng: np.random.Generator, metres: float) -> tuple[list[Stop], float]:
    """A way into the picture, about and out again, as near to a length as a few tries allow.

    Returns:
        The stops, and the length of the way in metres.
    """
    tries = [_wander(place, rng, 1 + attempt % 6) for attempt in range(48)]
    return min(tries, key=lambda one: abs(math.log(one[1] / metres)))


def _wander(place: Place, rng: np.random.Generator, spots: int) -> tuple[list[Stop], float]:
    right = bool(rng.random() < 0.5)
    back = right if rng.random() < 0.5 else not right
    some = [spot(place, rng) for _ in range(spots)]
    stops = [edge(place, rng, right=right), *some, edge(place, rng, right=back)]
    return stops, float(walk(stops, 0.0, 1.0).walked_m[-1])
