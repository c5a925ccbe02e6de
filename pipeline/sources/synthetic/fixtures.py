"""Drawing what moves and belongs here: the door, and the machine's wheel, gauge and steam."""

from __future__ import annotations

import math

import numpy as np

from pipeline.sources.synthetic.brush import (
    Blob,
    Frame,
    disc,
    display,
    outline,
    polygon,
    stroke,
)
from pipeline.sources.synthetic.chance import Floats
from pipeline.sources.synthetic.perspective import Camera
from pipeline.sources.synthetic.place import Place, as_row

_CIRCLE = np.linspace(0.0, 2 * np.pi, 40, endpoint=False)


class Door:
    """Draws the door's leaf; it opens into the room.

    Args:
        place: Where it hangs.
        camera: Projects it.
    """

    def __init__(self, place: Place, camera: Camera) -> None:
        self._place = place
        self._camera = camera

    def draw(self, frame: Frame, angle_rad: float, light: Floats) -> None:
        """Draw the leaf, opened by an angle, in `light`, linear ``(3,)``."""
        tone = as_row(self._place.door_colour) * light * (0.75 + 0.35 * math.cos(angle_rad))
        polygon(frame, self._part(angle_rad, 0.0, 1.0, 0.0, 1.0), display(tone))
        for low, high in ((0.06, 0.44), (0.52, 0.94)):
            panel = self._part(angle_rad, 0.14, 0.86, low, high)
            polygon(frame, panel, display(tone * 0.72))
            inner = self._part(angle_rad, 0.18, 0.82, low + 0.025, high - 0.025)
            polygon(frame, inner, display(tone * 0.92))
        handle = self._part(angle_rad, 0.86, 0.96, 0.468, 0.5)
        polygon(frame, handle, display(light * 0.55))

    def _part(self, angle: float, u0: float, u1: float, v0: float, v1: float) -> Floats:
        place, door = self._place, self._place.door
        hinge = door.left_m if place.hinge_left else door.right_m
        way = 1.0 if place.hinge_left else -1.0
        wide = door.right_m - door.left_m
        points = []
        for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1)):
            x = hinge + way * wide * u * math.cos(angle)
            points.append((x, v * door.top_m, place.depth_m - wide * u * math.sin(angle)))
        return self._camera.project(np.array(points))


class MachineParts:
    """Draws the machine's moving parts.

    Args:
        place: Where it stands.
        camera: Projects it.
        blob: For steam and the beacon's glow.
    """

    def __init__(self, place: Place, camera: Camera, blob: Blob) -> None:
        self._look = place.machine
        self._camera = camera
        self._blob = blob
        look = place.machine
        self._centre = np.array([look.wheel_x_m, look.wheel_y_m, look.front_m - 0.12])
        self._rim = self._ring(look.radius_m)
        self._inner = self._ring(look.radius_m * 0.82)
        self._hub = self._ring(look.radius_m * 0.16)
        self._axle = camera.project(self._centre[None])[0]
        self._scale = camera.scale(*self._centre)
        self._side = -1.0 if look.wheel_x_m > look.x_m else 1.0

    def draw(
        self, frame: Frame, turns: float, load: float, light: Floats, gain: float, t_s: float
    ) -> None:
        """Draw wheel, rod, gauge, beacon and steam in `light`, linear ``(3,)``."""
        self._wheel(frame, turns, light)
        self._gauge(frame, load, light)
        self._beacon(frame, load, gain)
        self._steam(frame, load, light, t_s)

    def _wheel(self, frame: Frame, turns: float, light: Floats) -> None:
        steel, dark = display(light * 0.34), display(light * 0.035)
        look, angle = self._look, 2 * math.pi * turns
        spokes = angle + 2 * math.pi * np.arange(look.spokes) / look.spokes
        # The counterweight makes one turn tell from the next.
        arc = np.linspace(angle - 0.5, angle + 0.5, 8)
        ends = self._at(0.86 * look.radius_m, spokes)
        weight = np.concatenate(
            [self._at(0.8 * look.radius_m, arc), self._at(0.45 * look.radius_m, arc[::-1])]
        )
        polygon(frame, self._rim, steel)
        polygon(frame, self._inner, dark)
        outline(frame, self._rim, display(light * 0.6), 0.018 * self._scale)
        for end in ends:
            stroke(frame, self._axle, end, steel, 0.055 * self._scale)
        polygon(frame, weight, display(as_row((0.06, 0.24, 0.66)) * light))
        polygon(frame, self._hub, display(light * 0.5))
        self._rod(frame, angle, light)

    def _rod(self, frame: Frame, angle: float, light: Floats) -> None:
        crank = 0.5 * self._look.radius_m
        reach = math.sqrt(max(0.75**2 - (crank * math.sin(angle)) ** 2, 0.1))
        slide = crank * math.cos(angle) + self._side * reach
        head = self._camera.project((self._centre + np.array([slide, 0.0, -0.03]))[None])[0]
        pin = self._at(crank, np.array([angle]))[0]
        stroke(frame, pin, head, display(light * 0.62), 0.045 * self._scale)
        disc(frame, pin, 0.045 * self._scale, display(light * 0.2))
        disc(frame, head, 0.06 * self._scale, display(light * 0.2))

    def _gauge(self, frame: Frame, load: float, light: Floats) -> None:
        look = self._look
        at = np.array([look.x_m - 0.15, 1.44, look.front_m + 0.29])
        centre = self._camera.project(at[None])[0]
        radius = 0.12 * self._scale
        disc(frame, centre, radius, display(light * 0.1))
        disc(frame, centre, 0.84 * radius, display(light * 0.8))
        angle = math.pi * (1.2 - 1.4 * load)
        tip = centre + 0.72 * radius * np.array([math.cos(angle), -math.sin(angle)])
        stroke(frame, centre, tip, display(as_row((0.03, 0.03, 0.6)) * light), 0.03 * self._scale)

    def _beacon(self, frame: Frame, load: float, gain: float) -> None:
        look = self._look
        at = np.array([[look.x_m - 0.4, 1.7, look.front_m + 0.45]])
        centre = self._camera.project(at)[0]
        tone = as_row((0.05, 0.75, 0.12)) * (1 - load) + as_row((0.02, 0.5, 1.0)) * load
        shade = display(tone * min(0.45 + 0.5 * gain, 1.2))
        size = 0.055 * self._scale
        self._blob.lay(frame, centre, (5 * size, 5 * size), shade, 0.12 + 0.1 * min(gain, 2.5))
        disc(frame, centre, size, shade)

    def _steam(self, frame: Frame, load: float, light: Floats, t_s: float) -> None:
        if load < 0.12:
            return
        look = self._look
        for puff in range(5):
            age = (0.45 * t_s + puff / 5) % 1.0
            sway = 0.1 * math.sin(5.1 * puff + 2.2 * age) + 0.12 * age
            at = np.array([[look.x_m + 0.6 + sway, 2.3 + 0.75 * age, look.front_m + 0.65]])
            size = (0.07 + 0.2 * age) * self._scale
            thick = 0.5 * load * math.sin(math.pi * min(age + 0.12, 1.0))
            centre = self._camera.project(at)[0]
            self._blob.lay(frame, centre, (size, size), display(light * 0.85), thick)

    def _ring(self, radius: float) -> Floats:
        return self._at(radius, _CIRCLE)

    def _at(self, radius: float, angles: Floats) -> Floats:
        points = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1) * radius
        return self._camera.project(points + self._centre)
