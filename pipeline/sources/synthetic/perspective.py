"""A pinhole camera looking into the room.

World axes in metres: x to the right, y up from the floor, z into the room away from the
camera. Pixels: x to the right, y down, (0, 0) the centre of the top left pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.sources.synthetic.chance import Floats


@dataclass(frozen=True, slots=True)
class View:
    """Where the camera hangs and looks.

    Attributes:
        x_m: Position to the right.
        height_m: Height above the floor; the camera stands at depth 0.
        pitch_rad: Downward tilt.
        yaw_rad: Turn to the right.
        width_rad: Horizontal field of view.
    """

    x_m: float
    height_m: float
    pitch_rad: float
    yaw_rad: float
    width_rad: float


class Camera:
    """Projects points of the room onto a picture of a given size."""

    def __init__(self, view: View, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.focal_px = width / 2 / math.tan(view.width_rad / 2)
        self.eye = np.array([view.x_m, view.height_m, 0.0])
        cp, sp = math.cos(view.pitch_rad), math.sin(view.pitch_rad)
        cy, sy = math.cos(view.yaw_rad), math.sin(view.yaw_rad)
        # Rows: right, down, forward of the camera in world axes.
        self.axes = np.array([[cy, 0.0, -sy], [-sp * sy, -cp, -sp * cy], [cp * sy, -sp, cp * cy]])
        self._centre = np.array([(width - 1) / 2, (height - 1) / 2])

    def project(self, points: Floats) -> Floats:
        """Pixels ``(N, 2)`` of world points ``(N, 3)``; behind the eye is clamped."""
        seen = (points - self.eye) @ self.axes.T
        depth = np.maximum(seen[:, 2:], 0.1)
        result: Floats = seen[:, :2] / depth * self.focal_px + self._centre
        return result

    def scale(self, x_m: float, y_m: float, z_m: float) -> float:
        """Pixels per metre at a point."""
        depth = float(self.axes[2] @ (np.array([x_m, y_m, z_m]) - self.eye))
        return self.focal_px / max(depth, 0.1)

    def rays(self, factor: int = 1) -> Floats:
        """Unit directions ``(H * factor, W * factor, 3)`` through the pixels' centres."""
        step = 1.0 / factor
        across = (np.arange(self.width * factor) + 0.5) * step - 0.5 - self._centre[0]
        down = (np.arange(self.height * factor) + 0.5) * step - 0.5 - self._centre[1]
        grid = np.empty((len(down), len(across), 3))
        grid[..., 0] = across[None, :] / self.focal_px
        grid[..., 1] = down[:, None] / self.focal_px
        grid[..., 2] = 1.0
        grid /= np.linalg.norm(grid, axis=2, keepdims=True)
        result: Floats = grid @ self.axes
        return result
