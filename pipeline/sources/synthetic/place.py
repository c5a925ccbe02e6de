"""The place: what a site number fixes once and for all.

Two sites differ in view, room, furniture, colours, and in the sound of their machine. What
*happens* at a site is drawn from another seed, so that a model can be trained on one stretch
of a place and tested on another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.perspective import View

Colour = tuple[float, float, float]
"""Blue, green, red; linear reflectance 0 to 1."""


@dataclass(frozen=True, slots=True)
class Box:
    """A piece of furniture: an upright box from `low` to `high` (x, y, z)."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    colour: Colour
    pattern: str = "plain"


@dataclass(frozen=True, slots=True)
class Opening:
    """A rectangle in the back wall."""

    left_m: float
    right_m: float
    bottom_m: float
    top_m: float

    @property
    def centre_m(self) -> float:
        """Middle, to the right."""
        return (self.left_m + self.right_m) / 2


@dataclass(frozen=True, slots=True)
class MachineLook:
    """The machine's place, look and mechanics.

    Attributes:
        x_m: Middle of the machine.
        front_m: Depth of its front face.
        wheel_x_m: Middle of the wheel.
        wheel_y_m: Height of the wheel's axle.
        radius_m: Radius of the wheel.
        spokes: Spokes of the wheel.
        colour: Of the housing.
        slow_hz: Slowest speed of the wheel, turns a second.
        fast_hz: Fastest.
        gear: Motor turns per turn of the wheel; the motor is what hums.
    """

    x_m: float
    front_m: float
    wheel_x_m: float
    wheel_y_m: float
    radius_m: float
    spokes: int
    colour: Colour
    slow_hz: float
    fast_hz: float
    gear: int


@dataclass(frozen=True, slots=True)
class Place:
    """A site, see the module's docstring. Lengths in metres."""

    number: int
    view: View
    half_width_m: float
    depth_m: float
    height_m: float
    door: Opening
    hinge_left: bool
    window: Opening
    machine: MachineLook
    boxes: tuple[Box, ...]
    lamp: tuple[float, float, float]
    side_lamp: tuple[float, float, float]
    sun: tuple[float, float, float]
    wall: Colour
    floor: Colour
    floor_kind: str
    wall_kind: str
    door_colour: Colour
    curtain: Colour
    reverb_s: float
    steps_gain: float

    def distance_m(self, x_m: float, z_m: float, y_m: float = 0.0) -> float:
        """Distance of a point from the microphone, which hangs beside the camera."""
        return math.dist((x_m, y_m, z_m), (self.view.x_m, self.view.height_m, 0.0))

    def near_z_m(self) -> float:
        """Nearest depth at which people walk."""
        return 4.3

    def far_z_m(self) -> float:
        """Farthest depth at which people walk, but for the way to the door."""
        return self.machine.front_m - 0.55


def make_place(number: int) -> Place:
    """The site with this number."""
    chance = Chance(number, "place")
    rng = chance.at(0)
    half_width, depth = float(rng.uniform(4.3, 4.9)), float(rng.uniform(7.8, 8.8))
    view = View(
        x_m=float(rng.uniform(-0.6, 0.6)),
        height_m=float(rng.uniform(2.25, 2.7)),
        pitch_rad=math.radians(rng.uniform(11.0, 15.0)),
        yaw_rad=math.radians(rng.uniform(-4.0, 4.0)),
        width_rad=math.radians(rng.uniform(62.0, 70.0)),
    )
    centres = rng.permutation([-2.75, 0.0, 2.75]) + rng.uniform(-0.2, 0.2, 3)
    machine = _machine(chance.at(1), float(centres[2]), depth)
    window_half = float(rng.uniform(0.95, 1.2))
    window = Opening(centres[1] - window_half, centres[1] + window_half, 1.05, 2.35)
    door = Opening(centres[0] - 0.5, centres[0] + 0.5, 0.0, 2.1)
    colours = chance.at(2)
    return Place(
        number=number,
        view=view,
        half_width_m=half_width,
        depth_m=depth,
        height_m=3.1,
        door=door,
        hinge_left=bool(rng.random() < 0.5),
        window=window,
        machine=machine,
        boxes=_furniture(chance.at(3), half_width, depth, machine, window),
        lamp=(float(rng.uniform(-0.8, 0.8)), 2.9, float(rng.uniform(4.6, 5.6))),
        side_lamp=(math.copysign(half_width - 0.45, -door.centre_m), 1.75, depth - 0.6),
        sun=_unit(rng.uniform(-0.55, 0.55), -0.62, -1.0),
        wall=_tint(colours, (0.30, 0.62), 0.10),
        floor=_tint(colours, (0.14, 0.32), 0.12),
        floor_kind=str(rng.choice(["planks", "tiles", "concrete"])),
        wall_kind=str(rng.choice(["paint", "bricks", "panels"])),
        door_colour=_tint(colours, (0.08, 0.40), 0.6),
        curtain=_tint(colours, (0.25, 0.60), 0.5),
        reverb_s=float(rng.uniform(0.16, 0.34)),
        steps_gain=float(rng.uniform(0.8, 1.25)),
    )


def _machine(rng: np.random.Generator, x_m: float, depth: float) -> MachineLook:
    radius = float(rng.uniform(0.42, 0.54))
    slow = float(rng.uniform(0.38, 0.5))
    return MachineLook(
        x_m=x_m,
        front_m=depth - 1.45,
        wheel_x_m=x_m + float(rng.uniform(-0.3, 0.3)),
        wheel_y_m=0.82,
        radius_m=radius,
        spokes=int(rng.integers(4, 8)),
        colour=_tint(rng, (0.10, 0.34), 0.6),
        slow_hz=slow,
        fast_hz=slow * float(rng.uniform(2.3, 2.9)),
        gear=int(rng.integers(58, 112)),
    )


def _furniture(
    rng: np.random.Generator, half: float, depth: float, machine: MachineLook, window: Opening
) -> tuple[Box, ...]:
    x, front = machine.x_m, machine.front_m
    side = 1.0 if rng.random() < 0.5 else -1.0
    body = Box((x - 0.95, 0.0, front), (x + 0.95, 1.25, depth - 0.2), machine.colour, "panel")
    hood = Box(
        (x - 0.55, 1.25, front + 0.3), (x + 0.35, 1.62, depth - 0.35), machine.colour, "panel"
    )
    grey = (0.22, 0.22, 0.23)
    cabinet_x = side * (half - 0.45)
    shelf = _tint(rng, (0.10, 0.3), 0.4)
    sill = window.centre_m
    boxes = [body, hood]
    boxes.append(Box((x + 0.45, 1.25, front + 0.5), (x + 0.75, 2.3, front + 0.8), grey))
    boxes.append(_box(cabinet_x, 0.4, 0.0, 1.85, depth - 2.6, 0.55, shelf, "drawers"))
    crate_z = depth - 0.5
    boxes.append(_box(sill - 0.5, 0.32, 0.0, 0.5, crate_z, 0.3, (0.12, 0.24, 0.38), "slats"))
    boxes.append(_box(sill + 0.28, 0.26, 0.0, 0.38, crate_z, 0.26, (0.14, 0.28, 0.42), "slats"))
    return tuple(boxes)


def _box(
    x: float, hx: float, y: float, height: float, z: float, hz: float, colour: Colour, pattern: str
) -> Box:
    return Box((x - hx, y, z - hz), (x + hx, y + height, z + hz), colour, pattern)


def _tint(rng: np.random.Generator, level: tuple[float, float], spread: float) -> Colour:
    base = rng.uniform(*level)
    hue = rng.uniform(1.0 - spread, 1.0 + spread, 3)
    blue, green, red = np.clip(base * hue / hue.mean(), 0.03, 0.85)
    return float(blue), float(green), float(red)


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


def as_row(colour: Colour) -> Floats:
    """A colour as an array ``(3,)``."""
    return np.asarray(colour, dtype=np.float64)
