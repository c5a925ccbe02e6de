"""Reading recordings of cameras, cutting things out of them, and putting things in.

What stands out from a clip's median picture is cut into things, and a thing that can be followed
alone through several pictures is a *cutout*: the same person or car picture by picture, with a
soft mask, and the path that it took. A cutout can be pasted into another clip at any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

_DIFFERENT = 28  # grey levels
_CLOSE = np.ones((7, 5), np.uint8)
_BACKGROUND_FROM = 120  # pictures
_OVERLAP = 0.35  # of the boxes of one thing in consecutive pictures, intersection over union
_ALIKE = 1.35  # factor of area between consecutive pictures


@dataclass(frozen=True)
class Clip:
    """A recording.

    Attributes:
        name: What it is called.
        frames: uint8 ``(n, H, W, 3)``, BGR.
        rate_hz: Pictures a second.
    """

    name: str
    frames: Pictures
    rate_hz: float

    @cached_property
    def empty(self) -> Pictures:
        """What it shows when nothing is there: the median picture, ``(H, W, 3)``."""
        step = max(1, len(self.frames) // _BACKGROUND_FROM)
        return np.asarray(np.median(self.frames[::step], axis=0), np.uint8)

    def part(self, first: int, last: int) -> Clip:
        """Pictures ``[first, last)`` of it."""
        return replace(self, frames=self.frames[first:last])

    def crop(self, left: float, right: float, name: str) -> Clip:
        """An upright strip of it, bounds as shares of its width."""
        width = self.frames.shape[2]
        return Clip(name, self.frames[:, :, int(left * width) : int(right * width)], self.rate_hz)

    def mirrored(self, name: str) -> Clip:
        """Left and right exchanged."""
        return Clip(name, np.ascontiguousarray(self.frames[:, :, ::-1]), self.rate_hz)

    def backwards(self, name: str) -> Clip:
        """The last picture first."""
        return Clip(name, self.frames[::-1], self.rate_hz)


def read_clip(path: Path, every: int = 1, width: int = 384) -> Clip:
    """Every so many pictures of a file, made as wide as asked for, never wider.

    Raises:
        ValueError: The file holds no picture that can be read.
    """
    film = cv2.VideoCapture(str(path))
    rate_hz, found = float(film.get(cv2.CAP_PROP_FPS)), []
    more, number = film.grab(), 0
    while more:
        if number % every == 0:
            found.append(_narrowed(np.asarray(film.retrieve()[1], np.uint8), width))
        more, number = film.grab(), number + 1
    film.release()
    if not found:
        raise ValueError(f"{path}: no picture can be read")
    return Clip(path.stem, np.stack(found), rate_hz / every)


def _narrowed(picture: Pictures, width: int) -> Pictures:
    high, wide = picture.shape[:2]
    if wide <= width:
        return picture
    size = (width, round(high * width / wide))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True)
class Cutout:
    """One thing, cut out of consecutive pictures.

    Attributes:
        pictures: What it looks like, uint8 ``(h, w, 3)`` each.
        masks: How much of each pixel is it, 0 to 1, ``(h, w)`` each.
        path: Middle and foot of its box in each picture, pixels, ``(n, 2)``.
        rate_hz: Pictures a second.
    """

    pictures: tuple[Pictures, ...]
    masks: tuple[Floats, ...]
    path: Floats
    rate_hz: float

    @property
    def height(self) -> float:
        """Median height, pixels."""
        return float(np.median([len(mask) for mask in self.masks]))

    @property
    def step(self) -> Floats:
        """How far it goes from one picture to the next, along a line, pixels ``(2,)``."""
        return np.asarray((self.path[-1] - self.path[0]) / max(1, len(self.path) - 1))


def cutouts(clip: Clip, least_px: int, pictures: int, most: int = 40) -> list[Cutout]:
    """Things of a clip that can be followed alone, whole and inside it, the largest first.

    Args:
        clip: The clip.
        least_px: Least area of a thing, pixels.
        pictures: How many consecutive pictures it is to be followed through.
        most: Most things.
    """
    seen = [_things(frame, clip.empty, least_px) for frame in clip.frames]
    found: list[Cutout] = []
    for first in range(0, len(seen) - pictures, pictures):
        for thing in seen[first]:
            track = _follow(thing, seen[first + 1 : first + pictures])
            if len(track) == pictures:
                found.append(_cut(clip, first, track))
    return sorted(found, key=lambda one: -one.height)[:most]


@dataclass(frozen=True)
class _Seen:
    """A thing in one picture: its box and which pixels of the box are it."""

    left: int
    top: int
    mask: npt.NDArray[np.bool_]

    def overlap(self, other: _Seen) -> float:
        """Of the boxes, intersection over union."""
        (high, wide), (other_high, other_wide) = self.mask.shape, other.mask.shape
        across = min(self.left + wide, other.left + other_wide) - max(self.left, other.left)
        down = min(self.top + high, other.top + other_high) - max(self.top, other.top)
        both = max(across, 0) * max(down, 0)
        return both / (high * wide + other_high * other_wide - both)


def _things(frame: Pictures, empty: Pictures, least_px: int) -> list[_Seen]:
    """Things that do not touch the edge of the picture."""
    away = cv2.GaussianBlur(cv2.absdiff(frame, empty), (3, 3), 0).max(axis=2)
    mask = cv2.morphologyEx((away > _DIFFERENT).astype(np.uint8), cv2.MORPH_CLOSE, _CLOSE)
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = []
    for part in range(1, count):
        left, top, wide, high, area = (int(n) for n in boxes[part])
        inside = 1 < left < mask.shape[1] - wide - 1 and 1 < top < mask.shape[0] - high - 1
        if area >= least_px and inside:
            found.append(_Seen(left, top, parts[top : top + high, left : left + wide] == part))
    return found


def _follow(thing: _Seen, later: Sequence[Sequence[_Seen]]) -> list[_Seen]:
    """The same thing in the next pictures, as far as there is no doubt about it."""
    track = [thing]
    for things in later:
        before = track[-1]
        near = [one for one in things if one.overlap(before) > 0]
        if len(near) != 1 or near[0].overlap(before) < _OVERLAP:
            break
        ratio = near[0].mask.sum() / before.mask.sum()
        if not 1 / _ALIKE < ratio < _ALIKE:
            break
        track.append(near[0])
    return track


def _cut(clip: Clip, first: int, track: Sequence[_Seen]) -> Cutout:
    pictures, masks, path = [], [], []
    for number, thing in enumerate(track):
        high, wide = thing.mask.shape
        rows, columns = slice(thing.top, thing.top + high), slice(thing.left, thing.left + wide)
        pictures.append(clip.frames[first + number, rows, columns].copy())
        masks.append(cv2.GaussianBlur(thing.mask.astype(np.float64), (3, 3), 0))
        path.append((thing.left + wide / 2, thing.top + high))
    return Cutout(tuple(pictures), tuple(masks), np.array(path), clip.rate_hz)


def paste(
    frame: Pictures, picture: Pictures, mask: Floats, middle: float, foot: float, height: float
) -> bool:
    """Put a thing into a frame, in place.

    Args:
        frame: uint8 ``(H, W, 3)``.
        picture: What it looks like, ``(h, w, 3)``.
        mask: How much of each pixel is it, ``(h, w)``.
        middle: Column of its middle, pixels.
        foot: Row of its foot.
        height: How tall it is to be.

    Returns:
        Whether at least half of it is inside the frame.
    """
    size = max(1, round(picture.shape[1] * height / len(picture))), max(1, round(height))
    thing = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float64)
    share = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)[..., None]
    left, top = round(middle - size[0] / 2), round(foot - size[1])
    rows = slice(max(0, top), min(len(frame), top + size[1]))
    columns = slice(max(0, left), min(frame.shape[1], left + size[0]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return False
    cut = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    behind = frame[rows, columns]
    frame[rows, columns] = np.rint(behind + (thing[cut] - behind) * share[cut])
    inside = (rows.stop - rows.start) * (columns.stop - columns.start)
    return inside >= 0.5 * size[0] * size[1]
