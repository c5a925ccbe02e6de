"""People: how they look and walk, and the pose they hold at a moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.sources.synthetic.place import Colour

_SKIN: tuple[Colour, ...] = ((0.34, 0.46, 0.70), (0.22, 0.33, 0.55), (0.10, 0.16, 0.30))
_HAIR: tuple[Colour, ...] = ((0.02, 0.03, 0.04), (0.05, 0.10, 0.19), (0.16, 0.30, 0.42))
_TROUSERS: tuple[Colour, ...] = ((0.14, 0.07, 0.05), (0.05, 0.05, 0.06), (0.12, 0.17, 0.22))
_SHIRTS: tuple[Colour, ...] = (
    (0.45, 0.20, 0.08),
    (0.08, 0.12, 0.48),
    (0.12, 0.34, 0.14),
    (0.08, 0.42, 0.62),
    (0.55, 0.55, 0.55),
    (0.30, 0.12, 0.28),
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody.

    Attributes:
        height_m: Height.
        build: Width of body and limbs, 1 is average.
        step_m: Length of a step.
        speed_m_s: Walking speed.
        shoe: Which of the place's step sounds, 0 to 3.
        weight: Loudness of the steps, 1 is average.
        skin: Colour of the skin.
        hair: Colour of the hair.
        shirt: Colour of the shirt.
        trousers: Colour of the trousers.
        cart: Whether they push a cart.
    """

    height_m: float
    build: float
    step_m: float
    speed_m_s: float
    shoe: int
    weight: float
    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    cart: bool


@dataclass(frozen=True, slots=True)
class Pose:
    """How somebody stands at one moment.

    Attributes:
        person: Who.
        x_m: Position to the right.
        z_m: Depth.
        heading_rad: Direction faced; 0 is into the room, growing to the right.
        phase_rad: Phase of the gait; a foot strikes at odd multiples of pi / 2.
        walking: 0 standing, 1 walking.
        working: 0 arms down, 1 hands at work.
        hands_rad: Phase of the working hands.
    """

    person: Person
    x_m: float
    z_m: float
    heading_rad: float
    phase_rad: float
    walking: float
    working: float
    hands_rad: float


def draw_person(rng: np.random.Generator, *, cart: bool = False) -> Person:
    """Somebody drawn by chance."""
    height = float(rng.normal(1.74, 0.08))
    speed = float(rng.uniform(0.95, 1.5))
    return Person(
        height_m=height,
        build=float(rng.uniform(0.88, 1.2)),
        step_m=height * (0.27 + 0.12 * speed),
        speed_m_s=speed,
        shoe=int(rng.integers(0, 4)),
        weight=float(rng.uniform(0.75, 1.3)),
        skin=_SKIN[int(rng.integers(len(_SKIN)))],
        hair=_HAIR[int(rng.integers(len(_HAIR)))],
        shirt=_SHIRTS[int(rng.integers(len(_SHIRTS)))],
        trousers=_TROUSERS[int(rng.integers(len(_TROUSERS)))],
        cart=cart,
    )
