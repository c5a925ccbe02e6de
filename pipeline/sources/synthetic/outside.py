"""Drawing the window: sky, clouds, skyline, rain, birds, headlights, and the curtains."""

from __future__ import annotations

import math

import cv2
import numpy as np

from pipeline.sources.synthetic.backdrop import Backdrop
from pipeline.sources.synthetic.brush import Frame, beside, display, stroke
from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.perspective import Camera
from pipeline.sources.synthetic.place import Place, as_row
from pipeline.sources.synthetic.raycast import Singles
from pipeline.sources.synthetic.state import BirdInFlight, Visible

_DAY = np.array([1.1, 0.72, 0.42], np.float32)
_PALE = np.array([1.0, 0.95, 0.88], np.float32)
_GREY = np.array([0.62, 0.6, 0.58], np.float32)
_GREEN = np.array([0.8, 1.0, 0.8], np.float32)
_NIGHT = np.array([0.02, 0.012, 0.009], np.float32)
_DUSK = np.array([0.25, 0.42, 0.85], np.float32)


class Window:
    """Draws what is seen through the window.

    Args:
        place: Where the window is.
        camera: Projects it.
        room: Says which pixels are panes.
    """

    def __init__(self, place: Place, camera: Camera, room: Backdrop) -> None:
        rows, columns = np.nonzero(room.glass > 0.004)
        self._seen = len(rows) > 0
        if not self._seen:
            return
        self._top, self._left = int(rows.min()), int(columns.min())
        self._high = int(rows.max()) + 1 - self._top
        self._wide = int(columns.max()) + 1 - self._left
        part = np.s_[self._top : self._top + self._high, self._left : self._left + self._wide]
        self._part = part
        self._pane = np.ascontiguousarray(room.glass[part])[..., None]
        self._height = np.linspace(1.0, 0.0, self._high, dtype=np.float32)[:, None, None]
        chance = Chance(place.number, "outside")
        self._clouds = _cloud_tile(chance.at(0), self._high, self._wide)
        self._land, self._lamps = _skyline(chance.at(1), self._wide, self._high)
        self._rain = chance.at(2).random((4096, 3))
        self._drift = float(chance.at(3).uniform(1.5, 4.0))
        self._kept: tuple[tuple[float, ...], Frame] | None = None

    def draw(self, frame: Frame, now: Visible) -> None:
        """Draw the window's panes."""
        if not self._seen:
            return
        shown = self._view(now).copy()
        for bird in now.birds:
            self._bird(shown, bird, now.day)
        if now.rain > 0.02:
            self._streaks(shown, now)
        part = frame[self._part]
        part[:] = part + (shown - part.astype(np.float32)) * self._pane

    def _view(self, now: Visible) -> Frame:
        """Sky and land, from rounded inputs, so that it is kept while they stay the same."""
        bright, way = now.headlights if now.headlights[0] > 0.01 else (0.0, 0.0)
        key = (
            round(now.day * 200) / 200,
            round(now.clouds * 200) / 200,
            int(self._drift * now.t_s) % 512,
            now.light.gain,
            round(bright * 100) / 100,
            round(way * 100) / 100,
        )
        if self._kept is None or self._kept[0] != key:
            linear = self._sky(*key[:3]) + self._beam(*key[4:]) * self._land
            linear *= np.float32(now.light.gain * 0.8)
            shown = np.sqrt(np.minimum(linear, 1.0, out=linear), out=linear) * 255
            self._kept = (key, shown.astype(np.uint8))
        return self._kept[1]

    def _sky(self, day: float, clouds: float, drift: int) -> Singles:
        up = self._height
        low_sun = max(0.0, 1.0 - abs(day - 0.3) / 0.3)
        clear = _PALE * (1 - up) + _DAY * up
        clear = clear * (1 - 0.55 * low_sun) + _DUSK * 0.55 * low_sun * (1.2 - up)
        tile = self._clouds[: self._high, drift : drift + self._wide]
        cover = np.clip((tile - 1.0 + clouds * 1.25) * 2.2, 0, 1)
        cloud = _PALE * (1 - 0.6 * clouds) + _GREY * (0.3 * clouds)
        sky = clear + (cloud - clear) * cover[..., None]
        sky = sky * np.float32(day * 0.95) + _NIGHT
        ground = np.float32(0.13 * day + 0.003)
        view: Singles = sky + (ground * _GREEN - sky) * self._land
        view += self._lamps * np.float32(0.12 * (1.0 - day))
        return view

    def _beam(self, bright: float, way: float) -> Singles:
        across = np.linspace(0, 1, self._wide, dtype=np.float32)[None, :, None]
        glow = 0.1 * bright * np.exp(-(((across - way) / 0.18) ** 2))
        return np.asarray(glow * np.array([0.8, 0.95, 1.0], np.float32), np.float32)

    def _bird(self, view: Frame, bird: BirdInFlight, day: float) -> None:
        at = np.array([bird.across * self._wide, (1.0 - bird.up) * self._high])
        span, flap = 0.035 * self._wide, math.sin(bird.wings_rad)
        shade = display(np.full(3, 0.03 + 0.05 * day))
        for side in (-1.0, 1.0):
            tip = beside(at, side * span, -0.6 * span * flap)
            stroke(view, at, tip, shade, max(0.01 * self._wide, 1.0))

    def _streaks(self, view: Frame, now: Visible) -> None:
        start = int(now.t_s * 1000) * 37
        shade = display(np.full(3, 0.12 + 0.5 * now.day))
        for drop in range(int(26 * now.rain)):
            u, v, long = self._rain[(start + drop) % len(self._rain)]
            at = np.array([u * self._wide, v * self._high])
            stroke(view, at, beside(at, (0.6 - now.wind) * 2.0, 3.0 + 6.0 * long), shade, 1.0)


class Curtains:
    """Draws the curtains, which move in the wind.

    Args:
        place: Where the window is.
        camera: Projects it.
    """

    def __init__(self, place: Place, camera: Camera) -> None:
        win, depth = place.window, place.depth_m - 0.06
        self._colour = as_row(place.curtain)
        self._strips = []
        for edge, inner in ((win.left_m - 0.22, 1.0), (win.right_m + 0.22, -1.0)):
            ends = np.array([(edge, win.top_m + 0.1, depth), (edge, win.bottom_m - 0.3, depth)])
            top, low = camera.project(ends)
            wide = 0.5 * camera.scale(edge, 1.7, depth)
            self._strips.append((float(top[0]), float(top[1]), float(low[1]), wide, inner))
        u = np.arange(-8, 72, dtype=np.float32) / 64
        folds = 0.85 + 0.15 * np.sin(2 * np.pi * 4.2 * u)
        cover = np.clip(64 * np.minimum(u, 1 - u) / 2 + 0.5, 0, 1)
        self._cloth = np.tile(np.stack([folds * cover, cover], axis=-1), (64, 1, 1))

    def draw(self, frame: Frame, now: Visible, light: Floats) -> None:
        """Draw both curtains in `light`, linear ``(3,)``."""
        tone = 255 * np.sqrt(np.minimum(self._colour * light * 0.55, 1.0)).astype(np.float32)
        for number, strip in enumerate(self._strips):
            swing = 2.1 * now.t_s + 1.7 * number
            sway = 0.2 * math.sin(swing) + 0.09 * math.sin(2.3 * swing) + 0.1
            self._strip(frame, strip, now.wind * sway, tone)

    def _strip(
        self,
        frame: Frame,
        strip: tuple[float, float, float, float, float],
        sway: float,
        tone: Singles,
    ) -> None:
        edge, top, low, wide, inner = strip
        x0, x1 = sorted((edge - 0.3 * inner * wide, edge + 1.4 * inner * wide))
        y0, y1 = max(int(top), 0), min(int(low) + 1, frame.shape[0])
        x0, x1 = max(int(x0), 0), min(int(x1) + 1, frame.shape[1])
        if x1 <= x0 or y1 <= y0:
            return
        # Cloth column of a pixel: 8 + 64 u with u = (x - edge) * inner / wide - sway * v.
        a, c = 64 * inner / wide, -64 * sway / (low - top)
        b = 63 / (low - top)
        start = 8 + a * (x0 - edge) + c * (y0 - top)
        matrix = np.array([[a, c, start], [0.0, b, b * (y0 - top)]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cloth = cv2.warpAffine(self._cloth, matrix, (x1 - x0, y1 - y0), flags=flags)
        part = frame[y0:y1, x0:x1]
        part[:] = part * (1.0 - cloth[..., 1:]) + cloth[..., :1] * tone


def _cloud_tile(rng: np.random.Generator, high: int, wide: int) -> Singles:
    """Clouds ``(high, 512 + wide)``, 0 to 1, noise with a 1/f spectrum that repeats after 512."""
    freq = np.hypot(*np.meshgrid(np.fft.fftfreq(512), 2.2 * np.fft.fftfreq(512)))
    wave = np.fft.fft2(rng.standard_normal((512, 512)))
    tile = np.real(np.fft.ifft2(wave / np.maximum(freq, 1 / 200) ** 1.7))
    ranks = np.argsort(np.argsort(tile.ravel())).reshape(tile.shape)
    cells = np.ix_(np.arange(high) % 512, np.arange(512 + wide) % 512)
    return (ranks / ranks.size)[cells].astype(np.float32)


def _skyline(rng: np.random.Generator, wide: int, high: int) -> tuple[Singles, Singles]:
    """Land below the sky ``(h, w, 1)`` and lamps in it ``(h, w, 3)``."""
    x = np.linspace(0.0, 1.0, wide)
    level = 0.2 + 0.05 * np.sin(5 * x + rng.uniform(0, 6)) + 0.03 * np.sin(13 * x)
    for _ in range(6):
        at, half = rng.uniform(0, 1), rng.uniform(0.03, 0.08)
        level = np.where(np.abs(x - at) < half, np.maximum(level, rng.uniform(0.2, 0.45)), level)
    up = np.linspace(1.0, 0.0, high)[:, None]
    land = np.clip((level[None, :] - up) * high + 0.5, 0, 1)
    lamps = np.zeros((high, wide, 3))
    for _ in range(12):
        i, j = int(rng.integers(int(0.6 * high), high)), int(rng.integers(0, wide))
        lamps[i, j] = np.array([0.5, 0.85, 1.0]) * (land[i, j] > 0.5) * 3
    return land[..., None].astype(np.float32), lamps.astype(np.float32)
