"""The camera: a frame from what can be seen at one moment.

Order: room in its light, view through the window, curtains, machine, people in the corridor,
door, people and objects by depth, sensor noise. Noise comes from tiles drawn once and is
placed by the frame's number, so that a frame depends on nothing but its own index.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.sources.synthetic.backdrop import backdrop, weights
from pipeline.sources.synthetic.brush import Blob, Frame
from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.figures import Figures
from pipeline.sources.synthetic.fixtures import Door, MachineParts
from pipeline.sources.synthetic.irradiance import LightField
from pipeline.sources.synthetic.light import Light
from pipeline.sources.synthetic.oddities import Oddities
from pipeline.sources.synthetic.outside import Curtains, Window
from pipeline.sources.synthetic.people import Pose
from pipeline.sources.synthetic.perspective import Camera
from pipeline.sources.synthetic.place import Place
from pipeline.sources.synthetic.state import Visible
from pipeline.sources.synthetic.things import Thing

_NOISE = 2.2
_MARGIN = 61


class Picture:
    """Draws frames of one site.

    Args:
        place: The site.
        seed: Seed of the camera's noise.
        size: Width and height of a frame, pixels.
    """

    def __init__(self, place: Place, seed: int, size: tuple[int, int]) -> None:
        self._width, self._height = size
        self._place = place
        self.camera = Camera(place.view, *size)
        self._room = backdrop(place.number, *size)
        self._field = LightField(place)
        self._blob = Blob()
        self._window = Window(place, self.camera, self._room)
        self._curtains = Curtains(place, self.camera)
        self._door = Door(place, self.camera)
        self._machine = MachineParts(place, self.camera, self._blob)
        self._figures = Figures(self.camera, self._blob, _away(place))
        self._oddities = Oddities(self.camera, self._blob)
        self._grain = Chance(seed, "picture/grain")
        shape = (self._height + _MARGIN, self._width + _MARGIN, 3)
        noise = self._grain.at(-1).standard_normal(shape, dtype=np.float32)
        noise += cv2.GaussianBlur(noise, (0, 0), 1.1) * 1.3
        self._noise = np.clip(128 + 26 * noise, 0, 255).astype(np.uint8)
        doors = np.nonzero(self._room.doorway > 0.004)
        self._doorway = tuple(
            slice(int(i.min()), int(i.max()) + 1) if len(i) else slice(0, 0) for i in doors
        )
        self._base: tuple[Light, Frame] | None = None

    def frame(self, now: Visible, number: int) -> Frame:
        """Frame `number`, ``(H, W, 3)``, blue, green, red."""
        frame = self._lit_room(now.light).copy()
        strengths = weights(now.light)
        place = self._place
        self._window.draw(frame, now)
        wall = self._field.at(place.window.centre_m, place.depth_m - 0.4, strengths)
        self._curtains.draw(frame, now, wall)
        self._draw_machine(frame, now, strengths)
        self._draw_door(frame, now, strengths)
        self._draw_floor(frame, now, strengths)
        return self._grainy(frame, now.light.gain, number)

    def _lit_room(self, light: Light) -> Frame:
        if self._base is None or weights(self._base[0]) != weights(light):
            linear = self._room.lit(light)
            cv2.sqrt(linear, dst=linear)
            self._base = (light, cv2.convertScaleAbs(linear, alpha=255.0).astype(np.uint8))
        return self._base[1]

    def _draw_machine(self, frame: Frame, now: Visible, strengths: tuple[float, ...]) -> None:
        look = self._place.machine
        light = self._field.at(look.wheel_x_m, look.front_m - 0.3, strengths)
        self._machine.draw(frame, now.turns, now.load, light, now.light.gain, now.t_s)

    def _draw_door(self, frame: Frame, now: Visible, strengths: tuple[float, ...]) -> None:
        place = self._place
        for pose in now.people:
            if pose.z_m >= place.depth_m and now.door_rad > 0.0:
                self._in_corridor(frame, pose, strengths)
        light = self._field.at(place.door.centre_m, place.depth_m - 0.4, strengths)
        self._door.draw(frame, now.door_rad, light)

    def _in_corridor(self, frame: Frame, pose: Pose, strengths: tuple[float, ...]) -> None:
        beyond = frame.copy()
        self._figures.draw(beyond, pose, np.full(3, 5.0 * strengths[-1]))
        part = frame[self._doorway]
        share = self._room.doorway[self._doorway][..., None]
        part[:] = part + (beyond[self._doorway] - part.astype(np.float32)) * share

    def _draw_floor(self, frame: Frame, now: Visible, strengths: tuple[float, ...]) -> None:
        inside = [p for p in now.people if p.z_m < self._place.depth_m]
        for pose in inside:
            self._figures.shadow(frame, pose, 0.75)
        standing: list[Pose | Thing] = [*inside, *now.things]
        for item in sorted(standing, key=lambda i: -i.z_m):
            light = self._field.at(item.x_m, item.z_m, strengths)
            if isinstance(item, Pose):
                self._figures.draw(frame, item, light)
            else:
                self._oddities.draw(frame, item, light)

    def _grainy(self, frame: Frame, gain: float, number: int) -> Frame:
        y, x = self._grain.uniform(np.array([2 * number, 2 * number + 1])) * _MARGIN
        tile = self._noise[int(y) : int(y) + self._height, int(x) : int(x) + self._width]
        amount = _NOISE / 26 * (0.55 + 0.45 * gain)
        noisy = cv2.addWeighted(frame, 1.0, tile, amount, -128.0 * amount)
        return np.asarray(noisy, np.uint8)


def _away(place: Place) -> tuple[float, float]:
    """Direction of shadows on the floor: from the window towards the camera, mostly."""
    way: Floats = np.array([place.lamp[0] - place.window.centre_m, -2.0])
    way = way / np.hypot(*way)
    return float(way[0]), float(way[1])
