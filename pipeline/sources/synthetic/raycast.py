"""What each pixel of the empty room shows: position, normal and material, by casting rays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.sources.synthetic.perspective import Camera
from pipeline.sources.synthetic.place import Box, Place

Singles: TypeAlias = npt.NDArray[np.float32]
Flags: TypeAlias = npt.NDArray[np.bool_]

FLOOR, CEILING, BACK, SIDE, GLASS, CORRIDOR = range(6)
FIRST_BOX = 10


@dataclass(frozen=True, slots=True)
class Hits:
    """Where the rays end.

    Attributes:
        position: World position ``(H, W, 3)``.
        normal: Direction the surface faces ``(H, W, 3)``.
        material: What it is, `FLOOR` to `CORRIDOR` or `FIRST_BOX` plus the box's index, ``(H, W)``.
    """

    position: Singles
    normal: Singles
    material: npt.NDArray[np.uint8]


def cast(place: Place, camera: Camera, factor: int) -> Hits:
    """Cast `factor` squared rays per pixel into the room."""
    rays = camera.rays(factor).astype(np.float32)
    eye = camera.eye.astype(np.float32)
    low = np.array([-place.half_width_m, 0.0, -1.0], np.float32)
    high = np.array([place.half_width_m, place.height_m, place.depth_m], np.float32)
    distance, axis = _leave(eye, rays, low, high)
    material = np.choose(axis, [SIDE, FLOOR, BACK]).astype(np.uint8)
    material[(axis == 1) & (rays[..., 1] > 0)] = CEILING
    normal = _facing(axis, rays)
    for index, box in enumerate(place.boxes):
        _cast_box(box, index, camera, factor, rays, distance, normal, material)
    position = eye + distance[..., None] * rays
    _pierce_wall(place, eye, rays, position, normal, material)
    return Hits(position, normal, material)


def blocked(position: Singles, target: Singles, boxes: tuple[Box, ...]) -> Flags:
    """Whether a box stands between points ``(N, 3)`` and their targets ``(N, 3)`` or ``(3,)``."""
    starts = [np.ascontiguousarray(position[:, a]) for a in range(3)]
    with np.errstate(divide="ignore"):
        inverses = [1.0 / (target[..., a] - starts[a]) for a in range(3)]
    found = np.zeros(len(position), np.bool_)
    for box in boxes:
        near, far = np.full(len(position), 0.004, np.float32), np.full(len(position), 0.99)
        for axis in range(3):
            one = (np.float32(box.low[axis]) - starts[axis]) * inverses[axis]
            two = (np.float32(box.high[axis]) - starts[axis]) * inverses[axis]
            near = np.maximum(near, np.minimum(one, two))
            far = np.minimum(far, np.maximum(one, two))
        found |= (near < far) & (near > 0.0045)
    return found


def _leave(
    eye: Singles, rays: Singles, low: Singles, high: Singles
) -> tuple[Singles, npt.NDArray[np.intp]]:
    with np.errstate(divide="ignore"):
        each = np.where(rays > 0, high - eye, low - eye) / rays
    axis = each.argmin(axis=-1)
    return each.min(axis=-1), axis


def _facing(axis: npt.NDArray[np.intp], rays: Singles) -> Singles:
    normal = np.zeros_like(rays)
    along = np.take_along_axis(rays, axis[..., None], -1)
    np.put_along_axis(normal, axis[..., None], -np.sign(along), -1)
    return normal


def _cast_box(
    box: Box,
    index: int,
    camera: Camera,
    factor: int,
    rays: Singles,
    distance: Singles,
    normal: Singles,
    material: npt.NDArray[np.uint8],
) -> None:
    low, high = np.array(box.low), np.array(box.high)
    corners = np.array([[(low, high)[(c >> a) & 1][a] for a in range(3)] for c in range(8)])
    seen = camera.project(corners) * factor
    x0, y0 = np.maximum(np.floor(seen.min(axis=0)).astype(int) - factor, 0)
    x1, y1 = np.maximum(np.ceil(seen.max(axis=0)).astype(int) + 2 * factor, 0)
    part = np.s_[y0:y1, x0:x1]
    if rays[part].size == 0:
        return
    eye = camera.eye.astype(np.float32)
    with np.errstate(divide="ignore"):
        one, two = (low - eye) / rays[part], (high - eye) / rays[part]
    enter = np.minimum(one, two)
    near, far = enter.max(axis=-1), np.maximum(one, two).min(axis=-1)
    hit = (near < far) & (near > 0) & (near < distance[part])
    distance[part][hit] = near[hit]
    material[part][hit] = FIRST_BOX + index
    normal[part][hit] = _facing(enter.argmax(axis=-1), rays[part])[hit]


def _pierce_wall(
    place: Place,
    eye: Singles,
    rays: Singles,
    position: Singles,
    normal: Singles,
    material: npt.NDArray[np.uint8],
) -> None:
    """Window and doorway are holes in the back wall; behind the doorway lies a corridor."""
    x, y = position[..., 0], position[..., 1]
    back = material == BACK
    win, door = place.window, place.door
    pane = (x > win.left_m) & (x < win.right_m) & (y > win.bottom_m) & (y < win.top_m)
    bar = np.abs(x - win.centre_m) < 0.025
    bar |= np.abs(y - (0.4 * win.bottom_m + 0.6 * win.top_m)) < 0.02
    material[back & pane & ~bar] = GLASS
    hole = back & (x > door.left_m) & (x < door.right_m) & (y < door.top_m)
    low = np.array([door.left_m - 0.5, 0.0, 0.0], np.float32)
    high = np.array([door.right_m + 0.5, 2.5, place.depth_m + 3.0], np.float32)
    beyond, axis = _leave(eye, rays[hole], low, high)
    position[hole] = eye + beyond[:, None] * rays[hole]
    normal[hole] = _facing(axis, rays[hole])
    material[hole] = CORRIDOR
