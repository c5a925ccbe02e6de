"""How each source of light falls on the empty room.

Point and area lights by Lambert's law with inverse-square distance, shadows of the furniture
by rays towards several points of the light, plus a constant fill for what bounces.
"""

from __future__ import annotations

import numpy as np

from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.place import Place
from pipeline.sources.synthetic.raycast import (
    CORRIDOR,
    FIRST_BOX,
    FLOOR,
    Hits,
    Singles,
    blocked,
)

LAYERS = ("sky", "sun", "lamp", "side", "night")
_TINTS = {
    "sky": (1.12, 1.0, 0.92),
    "sun": (1.5, 1.9, 2.1),
    "lamp": (0.74, 0.93, 1.05),
    "side": (0.42, 0.78, 1.1),
    "night": (1.25, 1.0, 0.85),
}


def irradiance(place: Place, hits: Hits) -> dict[str, Singles]:
    """Light arriving at each pixel, ``(H, W, 3)`` per source at strength 1."""
    shape = hits.material.shape
    at, facing = hits.position.reshape(-1, 3), hits.normal.reshape(-1, 3)
    closeness = _corners(place, hits).reshape(-1)
    light = {
        "sky": (0.36 + _window(place, at, facing)) * closeness,
        "sun": _sun(place, at, facing),
        "lamp": (0.2 + _bulb(place, at, facing, place.lamp, 7.0, 0.18)) * closeness,
        "side": (0.05 + _bulb(place, at, facing, place.side_lamp, 1.1, 0.1)) * closeness,
        "night": closeness * 1.0,
    }
    indoors = (hits.material != CORRIDOR).reshape(-1)
    for value in light.values():
        np.multiply(value, indoors, out=value)
    outdoors = ~indoors
    light["night"][outdoors] = 4.0 - 0.9 * np.abs(at[outdoors, 2] - place.depth_m - 0.8)
    return {
        name: value.reshape(*shape, 1).astype(np.float32) * np.array(_TINTS[name], np.float32)
        for name, value in light.items()
    }


class LightField:
    """Light on what stands in the room, by place, from a grid over the floor.

    Args:
        place: The site.
    """

    def __init__(self, place: Place) -> None:
        self._low = (-place.half_width_m, 2.0)
        self._step = (2 * place.half_width_m / 12, (place.depth_m + 1.0 - 2.0) / 10)
        x = self._low[0] + self._step[0] * np.arange(13)
        z = np.minimum(self._low[1] + self._step[1] * np.arange(11), place.depth_m - 0.1)
        grid_x, grid_z = np.meshgrid(x, z)
        at = np.stack([grid_x, np.full_like(grid_x, 1.0), grid_z], axis=-1).reshape(-1, 3)
        tints = np.array([_TINTS[name] for name in LAYERS])
        levels = _standing(place, at.astype(np.float32))
        self._field = (levels[:, :, None] * tints).reshape(11, 13, len(LAYERS), 3)

    def at(self, x_m: float, z_m: float, strengths: tuple[float, ...]) -> Floats:
        """Light ``(3,)``, blue, green, red, for the strength of each source."""
        u = min(max((x_m - self._low[0]) / self._step[0], 0.0), 11.999)
        v = min(max((z_m - self._low[1]) / self._step[1], 0.0), 9.999)
        i, j = int(v), int(u)
        a, b = v - i, u - j
        field = self._field
        near = field[i, j] * (1 - b) + field[i, j + 1] * b
        far = field[i + 1, j] * (1 - b) + field[i + 1, j + 1] * b
        result: Floats = np.asarray(strengths) @ (near * (1 - a) + far * a)
        return result


def _standing(place: Place, at: Singles) -> Floats:
    """Mean light per source ``(N, 5)`` on an upright body at points ``(N, 3)``."""
    level = np.tile(np.array([0.42, 0.12, 0.32, 0.06, 1.0]), (len(at), 1))
    for facing in ((0, 0, 1), (0, 1, 0), (0, 0, -1), (1, 0, 0), (-1, 0, 0)):
        normal = np.tile(np.array(facing, np.float32), (len(at), 1))
        level[:, 0] += 0.22 * _window(place, at, normal, shadows=False)
        level[:, 1] += 0.22 * _sun(place, at, normal, shadows=False)
        level[:, 2] += 0.3 * _bulb(place, at, normal, place.lamp, 7.0, 0.0)
        level[:, 3] += 0.3 * _bulb(place, at, normal, place.side_lamp, 1.1, 0.0)
    return level


def _bulb(
    place: Place,
    at: Singles,
    facing: Singles,
    bulb: tuple[float, float, float],
    power: float,
    size_m: float,
) -> Singles:
    centre = np.array(bulb, np.float32)
    way = centre - at
    square = np.einsum("ij,ij->i", way, way)
    cosine = np.maximum(np.einsum("ij,ij->i", way, facing), 0.0) / np.sqrt(square)
    lit: Singles = np.float32(power) * cosine / np.maximum(square, 0.15)
    if size_m <= 0:
        return lit
    spots = Chance(place.number, "irradiance").at().normal(0.0, size_m, (5, 3))
    open_share = np.zeros(len(at), np.float32)
    for spot in spots.astype(np.float32):
        open_share += ~blocked(at, centre + spot, place.boxes)
    shaded: Singles = lit * open_share / np.float32(len(spots))
    return shaded


def _window(place: Place, at: Singles, facing: Singles, *, shadows: bool = True) -> Singles:
    win = place.window
    total = np.zeros(len(at), np.float32)
    area = (win.right_m - win.left_m) * (win.top_m - win.bottom_m) / 6
    for u in (1 / 6, 3 / 6, 5 / 6):
        for v in (0.25, 0.75):
            x = win.left_m + u * (win.right_m - win.left_m)
            y = win.bottom_m + v * (win.top_m - win.bottom_m)
            way = np.array([x, y, place.depth_m], np.float32) - at
            square = np.maximum(np.einsum("ij,ij->i", way, way), 0.3)
            cosines = np.maximum(np.einsum("ij,ij->i", way, facing), 0) * np.maximum(way[:, 2], 0)
            part = np.float32(3.4 * area) * cosines / square**2
            if shadows:
                part = part * ~blocked(at, at + way, place.boxes)
            total += part
    return total


def _sun(place: Place, at: Singles, facing: Singles, *, shadows: bool = True) -> Singles:
    ray = np.array(place.sun, np.float32)
    reach = (place.depth_m - at[:, 2]) / -ray[2]
    x, y = at[:, 0] - reach * ray[0], at[:, 1] - reach * ray[1]
    win, soft = place.window, 0.012 + 0.01 * reach

    def inside(value: Singles, low: float, high: float) -> Singles:
        edge = np.minimum(value - low, high - value) / soft
        share: Singles = np.clip(0.5 + edge, 0.0, 1.0)
        return share

    lit = inside(x, win.left_m, win.right_m) * inside(y, win.bottom_m, win.top_m)
    lit *= 1.0 - inside(x, win.centre_m - 0.03, win.centre_m + 0.03)
    bar = 0.4 * win.bottom_m + 0.6 * win.top_m
    lit *= 1.0 - inside(y, bar - 0.025, bar + 0.025)
    lit *= np.maximum(-(facing @ ray), 0.0) * (reach > 0.02)
    if shadows and (some := lit > 0.01).any():
        lit[some] *= ~blocked(at[some], at[some] - reach[some, None] * ray, place.boxes)
    return lit.astype(np.float32)


def _corners(place: Place, hits: Hits) -> Singles:
    """Darkening where surfaces meet: floor at walls and furniture, walls at the floor."""
    x, y, z = (hits.position[..., i] for i in range(3))
    dark = np.ones(hits.material.shape, np.float32)
    floor = hits.material == FLOOR
    fx, fz = x[floor], z[floor]
    for gap in (fx + place.half_width_m, place.half_width_m - fx, place.depth_m - fz):
        dark[floor] *= 1 - 0.35 * np.exp(-gap / 0.22)
    for box in place.boxes:
        if box.low[1] > 0.2:
            continue
        dx = np.maximum(np.maximum(box.low[0] - fx, fx - box.high[0]), 0)
        dz = np.maximum(np.maximum(box.low[2] - fz, fz - box.high[2]), 0)
        dark[floor] *= 1 - 0.5 * np.exp(-np.hypot(dx, dz) / 0.16)
    upright = ~floor & (hits.material < FIRST_BOX)
    dark[upright] *= 1 - 0.3 * np.exp(-y[upright] / 0.25)
    dark[upright] *= 1 - 0.2 * np.exp(-(place.height_m - y[upright]) / 0.3)
    return dark
