"""What the surfaces of the room are made of: linear reflectance per pixel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.sources.synthetic.chance import Chance
from pipeline.sources.synthetic.place import Box, Place
from pipeline.sources.synthetic.raycast import (
    BACK,
    CEILING,
    CORRIDOR,
    FIRST_BOX,
    FLOOR,
    GLASS,
    SIDE,
    Flags,
    Hits,
    Singles,
)

Shade = Callable[["Grain", Singles, Singles], Singles]


class Grain:
    """Irregularity of materials, looked up from a tile of noise that repeats."""

    def __init__(self, number: int) -> None:
        rng = Chance(number, "surfaces").at()
        fine = rng.random((256, 256), dtype=np.float32)
        wave = np.fft.fft2(fine)
        freq = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
        smooth = np.real(np.fft.ifft2(wave * np.exp(-((freq * 14) ** 2)))).astype(np.float32)
        self._smooth = (smooth - smooth.mean()) / smooth.std()
        self._fine = (fine - 0.5) * 3.46

    def smooth(self, u: Singles, v: Singles, per_m: float) -> Singles:
        """Soft blotches, mean 0 and deviation 1, `per_m` tile pixels to the metre."""
        return self._look(self._smooth, u * per_m, v * per_m)

    def cell(self, i: Singles, j: Singles) -> Singles:
        """One value per cell ``(i, j)``, mean 0 and deviation 1."""
        return self._look(self._fine, np.floor(i) * 7, np.floor(j) * 13 + np.floor(i) * 3)

    def _look(self, tile: Singles, u: Singles, v: Singles) -> Singles:
        found: Singles = tile[v.astype(np.int32) & 255, u.astype(np.int32) & 255]
        return found


def reflectance(place: Place, hits: Hits) -> Singles:
    """Linear reflectance ``(H, W, 3)``, blue, green, red."""
    grain = Grain(place.number)
    x, y, z = (hits.position[..., i] for i in range(3))
    out = np.zeros_like(hits.position)

    def paint(where: Flags, colour: tuple[float, float, float], shade: Singles) -> None:
        out[where] = np.asarray(colour, np.float32) * shade[:, None]

    on = hits.material == FLOOR
    paint(on, place.floor, _FLOORS[place.floor_kind](grain, x[on], z[on]))
    on = hits.material == BACK
    paint(on, place.wall, _WALLS[place.wall_kind](grain, x[on], y[on]) * _trim(place, x[on], y[on]))
    on = hits.material == SIDE
    paint(on, place.wall, _WALLS[place.wall_kind](grain, z[on], y[on]) * _skirting(y[on]))
    on = hits.material == CEILING
    paint(on, (0.7, 0.72, 0.72), 1 + 0.02 * grain.smooth(x[on], z[on], 20))
    on = hits.material == CORRIDOR
    paint(on, (0.52, 0.56, 0.58), np.where(y[on] < 0.02, 0.45, 1.0).astype(np.float32))
    out[hits.material == GLASS] = 0.0
    for index, box in enumerate(place.boxes):
        on = hits.material == FIRST_BOX + index
        paint(on, box.colour, _box_shade(grain, box, x[on], y[on], z[on]))
    return out


def _planks(grain: Grain, x: Singles, z: Singles) -> Singles:
    row = np.floor(x / 0.19)
    along = z / 1.5 + 0.37 * row
    shade = 1 + 0.13 * grain.cell(row, along) + 0.05 * grain.smooth(x * 6, z, 60)
    seam = (np.abs(x / 0.19 - row - 0.5) > 0.475) | (np.abs(along % 1.0 - 0.5) > 0.494)
    return np.where(seam, 0.62 * shade, shade).astype(np.float32)


def _tiles(grain: Grain, x: Singles, z: Singles) -> Singles:
    i, j = x / 0.5, z / 0.5
    chequer = (np.floor(i) + np.floor(j)) % 2
    shade = 0.86 + 0.26 * chequer + 0.04 * grain.cell(i, j) + 0.03 * grain.smooth(x, z, 70)
    seam = (np.abs(i % 1.0 - 0.5) > 0.48) | (np.abs(j % 1.0 - 0.5) > 0.48)
    tiled: Singles = np.where(seam, 0.6 * shade, shade).astype(np.float32)
    return tiled


def _concrete(grain: Grain, x: Singles, z: Singles) -> Singles:
    shade = 1 + 0.09 * grain.smooth(x, z, 14) + 0.05 * grain.smooth(z, x, 90)
    seam = (np.abs(x % 2.2 - 1.1) > 1.09) | (np.abs(z % 2.2 - 1.1) > 1.09)
    return np.where(seam, 0.75 * shade, shade).astype(np.float32)


def _paint(grain: Grain, u: Singles, v: Singles) -> Singles:
    dado = np.where(v < 1.0, 0.62, np.where(v < 1.05, 0.42, 1.0))
    painted: Singles = (dado * (1 + 0.025 * grain.smooth(u, v, 25))).astype(np.float32)
    return painted


def _bricks(grain: Grain, u: Singles, v: Singles) -> Singles:
    row = np.floor(v / 0.085)
    along = u / 0.26 + 0.5 * (row % 2)
    shade = 0.92 + 0.12 * grain.cell(along, row) + 0.05 * grain.smooth(u, v, 80)
    seam = (np.abs(v / 0.085 - row - 0.5) > 0.43) | (np.abs(along % 1.0 - 0.5) > 0.475)
    return np.where(seam, 1.2, shade).astype(np.float32)


def _panels(grain: Grain, u: Singles, v: Singles) -> Singles:
    seam = (np.abs(u % 1.1 - 0.55) > 0.535) | (np.abs(v - 1.55) < 0.012)
    shade = 1 + 0.05 * grain.cell(u / 1.1, v / 1.55) + 0.02 * grain.smooth(u, v, 30)
    return np.where(seam, 0.66 * shade, shade).astype(np.float32)


_FLOORS: dict[str, Shade] = {"planks": _planks, "tiles": _tiles, "concrete": _concrete}
_WALLS: dict[str, Shade] = {"paint": _paint, "bricks": _bricks, "panels": _panels}


def _skirting(y: Singles) -> Singles:
    return np.where(y < 0.1, 0.5, 1.0).astype(np.float32)


def _trim(place: Place, x: Singles, y: Singles) -> Singles:
    """Frames of window and door, and the skirting board."""
    shade = _skirting(y)
    win, door = place.window, place.door
    frame = (np.abs(x - win.centre_m) < (win.right_m - win.left_m) / 2 + 0.07) & (
        (y > win.bottom_m - 0.07) & (y < win.top_m + 0.07)
    )
    shade[frame] = 1.35
    sill = (np.abs(x - win.centre_m) < (win.right_m - win.left_m) / 2 + 0.13) & (
        np.abs(y - win.bottom_m + 0.05) < 0.04
    )
    shade[sill] = 1.5
    jamb = (np.abs(x - door.centre_m) < 0.59) & (y < door.top_m + 0.09)
    shade[jamb] = 0.55
    return shade


def _box_shade(grain: Grain, box: Box, x: Singles, y: Singles, z: Singles) -> Singles:
    width, height = box.high[0] - box.low[0], box.high[1] - box.low[1]
    u, v = (x - box.low[0]) / width, (y - box.low[1]) / height
    shade = 1 + 0.04 * grain.smooth(x + z, y, 60)
    if box.pattern == "panel":
        edge = (np.abs(u - 0.5) > 0.485) | (np.abs(v - 0.5) > 0.48)
        shade = np.where(edge, 0.7, shade)
        vents = (u > 0.8) & (u < 0.94) & (v > 0.55) & (v < 0.85) & ((v * 30) % 1.0 < 0.5)
        shade = np.where(vents, 0.45, shade)
        return np.where(v < 0.08, 0.5, shade).astype(np.float32)
    if box.pattern == "drawers":
        rows = (v * 5) % 1.0
        handle = (np.abs(rows - 0.55) < 0.05) & (np.abs(u - 0.5) < 0.16)
        return np.where(np.abs(rows - 0.5) > 0.46, 0.6, np.where(handle, 1.9, shade)).astype(
            np.float32
        )
    if box.pattern == "slats":
        slat = (y / 0.11) % 1.0
        return np.where(slat < 0.12, 0.45, shade * (1 + 0.15 * grain.cell(x * 0, y / 0.11))).astype(
            np.float32
        )
    return shade.astype(np.float32)
