"""Drawing objects that do not belong here, see `things`."""

from __future__ import annotations

import math

import numpy as np

from pipeline.sources.synthetic.brush import (
    Blob,
    Frame,
    beside,
    disc,
    display,
    ellipse,
    polygon,
    stroke,
)
from pipeline.sources.synthetic.chance import Floats
from pipeline.sources.synthetic.perspective import Camera
from pipeline.sources.synthetic.place import as_row
from pipeline.sources.synthetic.things import Thing


class Oddities:
    """Draws them.

    Args:
        camera: Projects them.
        blob: For shadows and smoke.
    """

    def __init__(self, camera: Camera, blob: Blob) -> None:
        self._camera = camera
        self._blob = blob

    def draw(self, frame: Frame, thing: Thing, light: Floats) -> None:
        """Draw one in `light`, linear ``(3,)``; half there, it is half transparent."""
        if thing.kind == "smoke":
            self._smoke(frame, thing, light)
            return
        box = self._bounds(frame, thing)
        if box is None:
            return
        behind = frame[box].copy() if thing.strength < 1.0 else None
        self._shadow(frame, thing)
        {
            "crate": self._crate,
            "ball": self._ball,
            "drone": self._drone,
            "animal": self._animal,
        }[thing.kind](frame, thing, light)
        if behind is not None:
            mixed = behind + (frame[box] - behind.astype(np.float32)) * thing.strength
            frame[box] = mixed.astype(np.uint8)

    def _bounds(self, frame: Frame, thing: Thing) -> tuple[slice, slice] | None:
        corners = self._camera.project(thing.corners())
        low, high = corners.min(axis=0), corners.max(axis=0)
        x0, y0 = max(int(low[0]) - 40, 0), max(int(low[1]) - 40, 0)
        x1, y1 = min(int(high[0]) + 40, frame.shape[1]), min(int(high[1]) + 60, frame.shape[0])
        return None if x1 <= x0 or y1 <= y0 else (slice(y0, y1), slice(x0, x1))

    def _shadow(self, frame: Frame, thing: Thing) -> None:
        at = np.array([thing.x_m, 0.0, thing.z_m])
        scale = self._camera.scale(*at)
        wide = (0.5 if thing.y_m > 0 else 0.75) * thing.size_m * scale
        dark = 0.35 if thing.y_m > 0 else 0.7
        centre = self._camera.project(at[None])[0]
        self._blob.lay(frame, centre, (wide, 0.33 * wide), (4.0, 3.0, 3.0), dark)

    def _crate(self, frame: Frame, thing: Thing, light: Floats) -> None:
        half, top = thing.size_m / 2, thing.size_m
        x, z = thing.x_m, thing.z_m
        tone = as_row(thing.colour) * light
        near, far = z - 0.5 * half, z + 0.5 * half
        edge = x - half if x > self._camera.eye[0] else x + half
        side = [(edge, 0, near), (edge, 0, far), (edge, top, far), (edge, top, near)]
        lid = [(x - half, top, near), (x + half, top, near), (x + half, top, far)]
        lid.append((x - half, top, far))
        for face, shade in ((side, 0.5), (lid, 1.3)):
            polygon(frame, self._camera.project(np.array(face)), display(tone * shade))
        polygon(frame, self._quad(x - half, x + half, 0.0, top, near), display(tone * 0.8))
        stripe = self._quad(x - half, x + half, 0.38 * top, 0.62 * top, near)
        polygon(frame, stripe, display(light * 0.8))

    def _ball(self, frame: Frame, thing: Thing, light: Floats) -> None:
        radius = thing.size_m / 2
        scale = self._camera.scale(thing.x_m, radius, thing.z_m)
        centre = self._camera.project(np.array([[thing.x_m, radius, thing.z_m]]))[0]
        tone = as_row(thing.colour) * light
        disc(frame, centre, radius * scale, display(tone))
        way = 1.0 if thing.rightward else -1.0
        for spot in range(5):
            angle = way * thing.angle_rad + 2 * math.pi * spot / 5
            at = centre + 0.6 * radius * scale * np.array([math.cos(angle), math.sin(angle)])
            disc(frame, at, 0.2 * radius * scale, display(light * 0.8))
        shine = centre - np.array([0.35, 0.4]) * radius * scale
        disc(frame, shine, 0.16 * radius * scale, display(tone * 0.4 + light * 0.6))

    def _drone(self, frame: Frame, thing: Thing, light: Floats) -> None:
        size = thing.size_m
        at = np.array([[thing.x_m, thing.y_m + size / 2, thing.z_m]])
        centre, scale = self._camera.project(at)[0], self._camera.scale(*at[0]) * size
        dark = display(light * 0.06)
        for side in (-1.0, 1.0):
            arm = beside(centre, side * 0.85 * scale, -0.15 * scale)
            stroke(frame, centre, arm, dark, 0.12 * scale)
            spread = 0.45 * scale * (0.6 + 0.4 * abs(math.sin(31.0 * thing.angle_rad)))
            top = beside(arm, 0.0, -0.12 * scale)
            stroke(
                frame,
                beside(top, -spread, 0.0),
                beside(top, spread, 0.0),
                display(light * 0.3),
                2.0,
            )
        ellipse(frame, centre, (0.42 * scale, 0.24 * scale), display(as_row(thing.colour) * light))
        disc(frame, beside(centre, 0.0, 0.12 * scale), 0.1 * scale, (40.0, 40.0, 255.0))

    def _animal(self, frame: Frame, thing: Thing, light: Floats) -> None:
        size = thing.size_m
        at = np.array([[thing.x_m, 0.6 * size, thing.z_m]])
        centre, scale = self._camera.project(at)[0], self._camera.scale(*at[0]) * size
        way = 1.0 if thing.rightward else -1.0
        fur, dark = display(light * (0.10, 0.17, 0.26)), display(light * (0.05, 0.08, 0.13))
        for leg, (along, phase) in enumerate(((0.5, 0.0), (0.5, 3.1), (-0.5, 1.6), (-0.5, 4.7))):
            hip = beside(centre, way * along * scale, 0.1 * scale)
            swing = 0.22 * math.sin(thing.angle_rad + phase)
            foot = beside(hip, swing * scale, 0.5 * scale)
            stroke(frame, hip, foot, dark if leg % 2 else fur, 0.13 * scale)
        stroke(
            frame,
            beside(centre, -0.45 * scale, 0.0),
            beside(centre, 0.45 * scale, 0.0),
            fur,
            0.36 * scale,
        )
        neck, head = (
            beside(centre, way * 0.5 * scale, 0.0),
            beside(centre, way * 0.72 * scale, -0.32 * scale),
        )
        stroke(frame, neck, head, fur, 0.2 * scale)
        ellipse(frame, head, (0.2 * scale, 0.15 * scale), fur)
        stroke(
            frame,
            beside(head, 0.0, -0.1 * scale),
            beside(head, 0.0, -0.24 * scale),
            dark,
            0.08 * scale,
        )
        tail = beside(centre, -way * 0.55 * scale, -0.1 * scale)
        lift = 0.3 + 0.1 * math.sin(0.7 * thing.angle_rad)
        stroke(frame, tail, beside(tail, -way * 0.28 * scale, -lift * scale), fur, 0.07 * scale)

    def _smoke(self, frame: Frame, thing: Thing, light: Floats) -> None:
        size = thing.size_m
        for puff in range(9):
            age = (0.3 * thing.angle_rad + puff / 9) % 1.0
            drift = 0.22 * math.sin(2.4 * puff + 1.9 * age)
            at = np.array([[thing.x_m + drift * size, 1.5 * age * size, thing.z_m]])
            radius = (0.18 + 0.3 * age) * size * self._camera.scale(*at[0])
            thick = 0.75 * thing.strength * math.sin(math.pi * (0.12 + 0.88 * age))
            centre = self._camera.project(at)[0]
            self._blob.lay(frame, centre, (radius, radius), display(light * 0.3), thick)

    def _quad(self, x0: float, x1: float, y0: float, y1: float, z: float) -> Floats:
        corners = np.array([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)])
        return self._camera.project(corners)
