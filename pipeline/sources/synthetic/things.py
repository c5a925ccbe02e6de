"""Objects that do not belong at the site: where they are and how large, at any moment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.sources.synthetic.chance import Floats, ramp
from pipeline.sources.synthetic.place import Colour, Place
from pipeline.sources.synthetic.routes import edge, spot, walk

ThingKind = Literal["crate", "ball", "drone", "animal", "smoke"]
THINGS: tuple[ThingKind, ...] = ("crate", "ball", "drone", "animal", "smoke")

_COLOURS: tuple[Colour, ...] = (
    (0.05, 0.10, 0.75),
    (0.70, 0.25, 0.05),
    (0.10, 0.65, 0.75),
    (0.55, 0.10, 0.55),
    (0.10, 0.55, 0.20),
)


@dataclass(frozen=True, slots=True)
class Thing:
    """One such object at one moment.

    Attributes:
        kind: What it is.
        x_m: Position to the right.
        y_m: Height of its underside.
        z_m: Depth.
        size_m: Its height.
        colour: Its colour.
        angle_rad: How far it has rolled, or the phase of its legs, rotors or puffs.
        rightward: Direction it faces.
        strength: 0 not there yet, 1 there.
    """

    kind: ThingKind
    x_m: float
    y_m: float
    z_m: float
    size_m: float
    colour: Colour
    angle_rad: float
    rightward: bool
    strength: float

    def corners(self) -> Floats:
        """Corners of the upright box around it, ``(8, 3)``."""
        half = self.size_m * {"animal": 0.95, "drone": 1.1, "smoke": 0.62}.get(self.kind, 0.56)
        top = self.size_m * (1.7 if self.kind == "smoke" else 1.05)
        signs = np.array(
            [(a, b, c) for a in (-1, 1) for b in (0, 1) for c in (-1, 1)], dtype=np.float64
        )
        result: Floats = signs * (half, top, min(half, 0.3)) + (self.x_m, self.y_m, self.z_m)
        return result


@dataclass(frozen=True, slots=True)
class Stay:
    """The time an object is at the site.

    Attributes:
        start_s: When it appears.
        end_s: When it is gone.
        kind: What it is.
        size_m: Its height.
        colour: Its colour.
        times_s: Knots of its way ``(K,)``.
        track_m: Positions (x, z) at the knots ``(K, 2)``.
        walked_m: Distance moved at the knots ``(K,)``.
    """

    start_s: float
    end_s: float
    kind: ThingKind
    size_m: float
    colour: Colour
    times_s: Floats
    track_m: Floats
    walked_m: Floats

    def at(self, t_s: float) -> Thing:
        """The object at a moment of its stay."""
        x = float(np.interp(t_s, self.times_s, self.track_m[:, 0]))
        z = float(np.interp(t_s, self.times_s, self.track_m[:, 1]))
        moved = float(np.interp(t_s, self.times_s, self.walked_m))
        since = t_s - self.start_s
        fade = 0.25 if self.kind != "smoke" else 1.0
        strength = float(ramp(np.array(min(since + 0.05, self.end_s - t_s + 0.05) / fade)))
        height = 1.35 + 0.12 * math.sin(1.9 * since) if self.kind == "drone" else 0.0
        angle = {"ball": 2 * moved / self.size_m, "animal": 9.0 * moved}.get(self.kind, since)
        return Thing(
            kind=self.kind,
            x_m=x,
            y_m=height,
            z_m=z,
            size_m=self.size_m,
            colour=self.colour,
            angle_rad=angle,
            rightward=bool(self.track_m[-1, 0] >= self.track_m[0, 0]),
            strength=strength,
        )


_SIZES_M: dict[ThingKind, tuple[float, float]] = {
    "crate": (0.28, 0.62),
    "ball": (0.22, 0.45),
    "drone": (0.16, 0.3),
    "animal": (0.3, 0.6),
    "smoke": (0.5, 0.9),
}


def draw_stay(
    place: Place, rng: np.random.Generator, kind: ThingKind, start_s: float, end_s: float
) -> Stay:
    """An object of a kind that is at the site for a span, drawn by chance."""
    low, high = _SIZES_M[kind]
    size = float(rng.uniform(low, high))
    colour = _COLOURS[int(rng.integers(len(_COLOURS)))]
    if kind in {"crate", "smoke"}:
        at = spot(place, rng)
        track = np.array([(at.x_m, at.z_m)] * 2)
        return Stay(
            start_s, end_s, kind, size, colour, np.array([start_s, end_s]), track, np.zeros(2)
        )
    right = bool(rng.random() < 0.5)
    stops = [edge(place, rng, right=right), spot(place, rng), edge(place, rng, right=not right)]
    if kind == "drone":
        stops = [spot(place, rng), spot(place, rng), spot(place, rng)]
    way = walk(stops, 0.0, 1.0)
    times = start_s + way.times_s * (end_s - start_s) / way.times_s[-1]
    return Stay(start_s, end_s, kind, size, colour, times, way.track_m, way.walked_m)
