"""Things in the picture, and whether anything like them was there before.

A cell of the picture cannot tell a new thing from a person who passes: both change its colour.
A whole thing can be told: it has a size at its depth, a shape and colours, and people who pass
are alike in these. So what differs from the background is cut into things, each is described
in a few numbers, and the nearest normal thing tells how new it is. A thing counts in a window
once two of the window's views show it, so that what flashes in one picture does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
from torch import Tensor

from pipeline.models.background import Background, ByteArray, fit_background
from pipeline.models.density import ItemDensity, fit_items
from pipeline.models.recent import Recent

Floats = npt.NDArray[np.float64]

VIEWS = 4
"""Pictures of a window in which things are looked for."""

_QUALITY = 95
_DIFFERENT = 14  # grey levels over what is usual
_CLOSE = np.ones((5, 3), np.uint8)  # joins what a belt or a neck parts
_LEAST_PX = 8
_UNIT_PX = 10.0
_DARK = 16.0  # grey levels
_MOST_THINGS = 24  # a picture; a storm of noise must not hold the scorer up
_LEAST_THINGS = 30  # fewer do not tell what is normal
_PICTURES = 200  # enough to learn the background from
_SHOWN_IN = 2  # views


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that is not background.

    Attributes:
        left: First column, pixels.
        top: First row.
        width: Columns.
        height: Rows.
        numbers: What it is like, ``(9,)``.
    """

    left: int
    top: int
    width: int
    height: int
    numbers: Floats


Newest = tuple[float, Thing | None]


@dataclass(frozen=True, slots=True)
class ObjectDensity:
    """What is normally to be seen before the background.

    Attributes:
        background: The place without it.
        things: Normal things.
        recent: Newest thing of each of the latest pictures, and how new it is.
    """

    background: Background
    things: ItemDensity
    recent: Recent[Newest] = field(default_factory=Recent, init=False, repr=False, compare=False)

    def scores(self, views: Sequence[Sequence[bytes]]) -> Tensor:
        """How new the newest thing of each window is, ``(B,)``; 0 where there is none.

        Args:
            views: Packed pictures of each window.
        """
        pictures = _distinct(views)
        newest = self.recent.each(zip(pictures, strict=True), self.newest)
        known = {view: one[0] for view, one in zip(pictures, newest, strict=True)}
        found = [_shown([known[view] for view in window]) for window in views]
        return torch.tensor(found, dtype=torch.float64, device=self.things.mean.device)

    def newest(self, view: bytes) -> Newest:
        """The thing of a picture that is furthest from all normal ones, and how far it is."""
        things = things_in(unpack_view(view), self.background)
        if not things:
            return 0.0, None
        numbers = np.stack([thing.numbers for thing in things])
        away = self.things.scores(torch.from_numpy(numbers).to(self.things.mean.device), 1)
        worst = int(away.argmax())
        return float(away[worst]), things[worst]

    def newest_of(self, views: Sequence[bytes]) -> Thing | None:
        """The newest thing of a window; None when its pictures show nothing."""
        found = self.recent.each(zip(views, strict=True), self.newest)
        return max(found, key=lambda one: one[0], default=(0.0, None))[1]


def fit_objects(views: Sequence[Sequence[bytes]], memory: int, seed: int) -> ObjectDensity | None:
    """Learn the background and what passes before it; None when too little ever passed.

    Args:
        views: Packed pictures of each window, in the order of time.
        memory: Things to remember.
        seed: Of the choice of remembered things.
    """
    known = _distinct(views)
    if not known:
        return None
    rows = np.linspace(0, len(known) - 1, min(_PICTURES, len(known))).astype(int)
    background = fit_background([unpack_view(known[row]) for row in rows])
    numbers = [t.numbers for view in known for t in things_in(unpack_view(view), background)]
    if len(numbers) < _LEAST_THINGS:
        return None
    generator = torch.Generator().manual_seed(seed)
    things = fit_items(torch.from_numpy(np.stack(numbers)), memory, False, generator)
    return ObjectDensity(background, things)


def pack_views(frames: Sequence[ByteArray], recent: Recent[bytes]) -> tuple[bytes, ...]:
    """A few of a window's pictures ``(H, W, 3)``, evenly apart, small enough to be kept.

    Args:
        frames: The pictures.
        recent: The views of the windows before.
    """
    chosen = [frames[(2 * i + 1) * len(frames) // (2 * VIEWS)] for i in range(VIEWS)]
    return tuple(recent.each(zip(chosen, strict=True), _packed))


def _packed(frame: ByteArray) -> bytes:
    picture = np.ascontiguousarray(frame)
    return bytes(
        simplejpeg.encode_jpeg(picture, quality=_QUALITY, colorspace="BGR", colorsubsampling="444")
    )


def unpack_view(view: bytes) -> ByteArray:
    """The picture that `pack_views` packed, ``(H, W, 3)``."""
    return np.asarray(simplejpeg.decode_jpeg(view, colorspace="BGR"), np.uint8)


def things_in(picture: ByteArray, background: Background) -> list[Thing]:
    """What is in a picture and not in the background, the largest first."""
    level = background.level(picture)
    differs = (background.difference(level) > _DIFFERENT).astype(np.uint8)
    mask = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, _CLOSE)
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found: list[Thing] = []
    largest = np.argsort(-boxes[1:count, cv2.CC_STAT_AREA], kind="stable")[:_MOST_THINGS] + 1
    for part in largest:
        left, top, width, height, area = (int(n) for n in boxes[part])
        if area >= _LEAST_PX:
            cut = slice(top, top + height), slice(left, left + width)
            inside = parts[cut] == part
            colours = _relative(level[cut][inside], background.middle[cut][inside])
            shape = [left + width / 2, top + height]
            numbers = [n / _UNIT_PX for n in shape]
            numbers += [float(np.log(n)) for n in (height, width, area)]
            found.append(Thing(left, top, width, height, np.array([*numbers, *colours])))
    return found


def _relative(seen: ByteArray, behind: ByteArray) -> list[float]:
    """Unevenness against what is behind, two chromaticities, lightness; of ``(n, 3)`` pixels."""
    logs = np.log(seen + _DARK)
    lightness = logs[:, 1]
    uneven = float(np.log((lightness - np.log(behind[:, 1] + _DARK)).std() + 0.02))
    blue, red = logs[:, 0] - lightness, logs[:, 2] - lightness
    return [uneven, float(blue.mean()), float(red.mean()), float(lightness.mean())]


def _shown(levels: Sequence[float]) -> float:
    """What enough views reach."""
    if not levels:
        return 0.0
    return sorted(levels, reverse=True)[min(_SHOWN_IN, len(levels)) - 1]


def _distinct(views: Iterable[Iterable[bytes]]) -> list[bytes]:
    """Each view once: windows overlap and share them."""
    return list(dict.fromkeys(view for window in views for view in window))
