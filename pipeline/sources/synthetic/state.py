"""What the picture is drawn from: the visible state of the world at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.sources.synthetic.light import Light
from pipeline.sources.synthetic.people import Pose
from pipeline.sources.synthetic.things import Thing


@dataclass(frozen=True, slots=True)
class BirdInFlight:
    """A bird in the window: position across and up (0 to 1) and phase of its wings."""

    across: float
    up: float
    wings_rad: float


@dataclass(frozen=True, slots=True)
class Visible:
    """Everything that can be seen at one moment.

    Attributes:
        t_s: Scene second.
        light: Sources of light.
        day: Daylight outside, 0 to 1.
        clouds: Covered share of the sky, 0 to 1.
        rain: Rain, 0 to 1.
        wind: Wind, 0 to 1; moves the curtains.
        headlights: Brightness and sweep of a passing car's headlights.
        birds: Birds in the window.
        door_rad: How far the door is open.
        turns: Angle of the wheel, turns.
        pace: Speed of the machine, 0 to 1.
        load: Load of the machine, 0 to 1.
        people: People, farthest first.
        things: Objects that do not belong here.
    """

    t_s: float
    light: Light
    day: float
    clouds: float
    rain: float
    wind: float
    headlights: tuple[float, float]
    birds: tuple[BirdInFlight, ...]
    door_rad: float
    turns: float
    pace: float
    load: float
    people: tuple[Pose, ...]
    things: tuple[Thing, ...]
