"""Visits: somebody comes, does something, and goes.

A visit is what picture, sound and sensors share: where the person is, when a foot strikes,
when the door moves. Normal visits are drawn slot by slot; anomalies make their own with
`seen` or `heard` switched off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.sources.synthetic.chance import Chance, Floats, ramp
from pipeline.sources.synthetic.people import Person, Pose, draw_person
from pipeline.sources.synthetic.place import Place
from pipeline.sources.synthetic.routes import (
    Stop,
    Walk,
    at_machine,
    edge,
    spot,
    through_door,
    walk,
)
from pipeline.sources.synthetic.slots import Slots

OPEN_BEFORE_S = 1.0
OPENING_S = 0.75
CLOSE_AFTER_S = 0.55
CLOSING_S = 1.1
DOOR_ANGLE_RAD = 1.45
VISIT_SLOT_S = 22.0
LONGEST_VISIT_S = 45.0


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """One person's way through the site.

    Attributes:
        start_s: First second.
        end_s: End, exclusive.
        person: Who.
        walk: Their way.
        strikes_s: Times at which a foot strikes.
        doors_s: Times at which they pass the doorway.
        present: Spans during which they are inside, before the camera.
        seen: Whether the camera and the motion sensor see them.
        heard: Whether the microphone hears them.
    """

    start_s: float
    end_s: float
    person: Person
    walk: Walk
    strikes_s: Floats
    doors_s: tuple[float, ...]
    present: tuple[float, float]
    seen: bool = True
    heard: bool = True

    def pose(self, t_s: float) -> Pose:
        """How they stand at a moment within the visit."""
        around = np.array([t_s - 0.12, t_s, t_s + 0.12])
        x, z = self.walk.position(around)
        walked = float(np.interp(t_s, self.walk.times_s, self.walk.walked_m))
        speed = np.hypot(x[2] - x[0], z[2] - z[0]) / (0.24 * self.person.speed_m_s)
        working = self._working(t_s)
        return Pose(
            person=self.person,
            x_m=float(x[1]),
            z_m=float(z[1]),
            heading_rad=self._heading(t_s) if working <= 0 else 0.0,
            phase_rad=float(np.pi * walked / self.person.step_m),
            walking=float(min(speed, 1.0)),
            working=working,
            hands_rad=float(5.0 * t_s),
        )

    def corners(self, t_s: float) -> Floats:
        """Corners of the upright box around them, ``(8, 3)``."""
        x, z = self.walk.position(np.array([t_s]))
        half, tall = 0.42, self.person.height_m
        signs = np.array([(a, b, c) for a in (-1, 1) for b in (0, 1) for c in (-1, 1)])
        result: Floats = signs * (half, tall, 0.2) + (float(x[0]), 0.0, float(z[0]))
        return result

    def _heading(self, t_s: float) -> float:
        ahead = np.array([t_s - 0.25, t_s + 0.25])
        for begin, end in self.walk.pauses_s:
            if begin - 0.25 < t_s < end + 0.25:
                ahead = np.array([begin - 0.5, begin]) if t_s < end else ahead + 0.25
        x, z = self.walk.position(ahead)
        return float(np.arctan2(x[1] - x[0], z[1] - z[0]))

    def _working(self, t_s: float) -> float:
        level = 0.0
        for begin, end in self.walk.pauses_s:
            level = max(level, float(ramp(np.array(min(t_s - begin, end - t_s) / 0.4))))
        return level


def make_visit(
    place: Place, person: Person, stops: list[Stop], start_s: float, speed_m_s: float | None = None
) -> Visit:
    """The visit of a person along a route, from when the door opens to when it has closed."""
    begin = start_s
    if stops[0].z_m > place.depth_m:
        begin = start_s + OPEN_BEFORE_S
    way = walk(stops, begin, speed_m_s or person.speed_m_s)
    doors = way.crossings_s(place.depth_m)
    ends = [float(way.times_s[-1]), *(t + CLOSE_AFTER_S + CLOSING_S for t in doors)]
    enters = doors[0] if stops[0].z_m > place.depth_m else begin
    leaves = doors[-1] if stops[-1].z_m > place.depth_m else float(way.times_s[-1])
    return Visit(
        start_s=start_s,
        end_s=max(ends) + 0.05,
        person=person,
        walk=way,
        strikes_s=way.strikes_s(person.step_m),
        doors_s=doors,
        present=(enters, leaves),
    )


def door_angle(passes_s: list[float], t_s: float) -> float:
    """How far the door stands open for those who pass it, radians."""
    angle = 0.0
    for at in passes_s:
        opening = ramp(np.array((t_s - at + OPEN_BEFORE_S) / OPENING_S))
        closing = ramp(np.array((t_s - at - CLOSE_AFTER_S) / CLOSING_S))
        angle = max(angle, float(opening * (1.0 - closing)))
    return angle * DOOR_ANGLE_RAD


class Visits:
    """All normal visits of a site.

    Args:
        place: The site.
        seed: Seed of what happens.
        likely: Chance that somebody comes within a slot.
    """

    def __init__(self, place: Place, seed: int, likely: float = 0.7) -> None:
        self._place = place
        self._likely = likely
        self._chance = Chance(seed, "visits")
        self.slots = Slots(VISIT_SLOT_S, VISIT_SLOT_S + LONGEST_VISIT_S, self._draw)

    def _draw(self, number: int, start_s: float) -> list[Visit]:
        rng = self._chance.at(number)
        if rng.random() > self._likely:
            return []
        begin = start_s + float(rng.uniform(0.0, VISIT_SLOT_S))
        kind = rng.choice(["work", "in", "out", "across", "cart"], p=[0.36, 0.2, 0.2, 0.12, 0.12])
        person = draw_person(rng, cart=kind == "cart")
        return [make_visit(self._place, person, self._route(str(kind), rng), begin)]

    def _route(self, kind: str, rng: np.random.Generator) -> list[Stop]:
        place = self._place
        right = bool(rng.random() < 0.5)
        enter, leave = through_door(place, inward=True), through_door(place, inward=False)
        if kind == "work":
            return [*enter, at_machine(place, float(rng.uniform(2.5, 8.0))), *leave]
        if kind == "in":
            return [*enter, spot(place, rng), edge(place, rng, right=right)]
        if kind == "out":
            return [edge(place, rng, right=right), spot(place, rng), *leave]
        return [edge(place, rng, right=right), spot(place, rng), edge(place, rng, right=not right)]
