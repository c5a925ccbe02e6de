"""Things in the picture, and whether anything like them was there before.

A cell of the picture cannot tell a new thing from a person who passes: both change its colour.
A whole thing can be told: it has a size and a shape at its place, and moves as others do there.
So what differs from the background is cut into things, each is described in a few numbers, and
the nearest normal thing tells how new it is. That is asked twice: is there a thing of this size
and pace at this place (*objects*), and does one of its size so far down the picture move this
way (*moves*)? Where people pass is soon known, which way they walk there takes longer: kept
apart, the second does not blur the first. Colours say little: those of clothes are new with
everybody who passes, and those of a place are judged cell by cell.

Novelty is the mean over a window's views but the one that shows most, so that what flashes in
one picture does not count, and what stays counts most. On real surveillance footage with things
put in (``python -m tests.benchmarks.real surveillance``) and on two synthetic sites both were
clearly better than the second largest of the views and than one density of all numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.models.background import Background, fit_background
from pipeline.models.item_density import ItemDensity, fit_items
from pipeline.models.picture import CELL_PX
from pipeline.models.recent import Recent
from pipeline.models.standing import Stood
from pipeline.models.views import unpack_velocity, unpack_view

Array = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
T = TypeVar("T")

_CLOSE = np.ones((5, 3), np.uint8)  # joins what a belt or a neck parts
_LEAST_PX = 8
_MOST_THINGS = 24  # a picture; a storm of noise must not hold the scorer up
_LEAST_THINGS = 30  # fewer do not tell what is normal
_PICTURES = 200  # enough to learn the background from
_SLOW = 0.05  # cells a second; slower is standing
_BRISK = 0.5  # cells a second; beyond it the factor counts, not the difference

_OBJECT = (0, 1, 2, 3, 4, 7)
_MOVE = (1, 2, 3, 4, 5, 6, 7)
PARTS = 2
"""Ways in which a thing may be new."""

AS_OBJECT, BY_MOVE = slice(0, 1), slice(1, 2)
"""Which of them is which."""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that is not background.

    Attributes:
        left: First column, pixels.
        top: First row.
        width: Columns.
        height: Rows.
        numbers: What it is like: middle and foot in cells, logarithms of height, width and
            area, motion to the right and down, logarithm of its speed, ``(8,)``.
    """

    left: int
    top: int
    width: int
    height: int
    numbers: Floats


Seen = tuple[list[Thing], Floats]
"""Things of a picture, and how far each is from all normal ones, see `ObjectDensity`."""


@dataclass(frozen=True, slots=True)
class ObjectDensity:
    """What is normally to be seen before the background.

    Attributes:
        background: The place without it.
        things: Normal things.
        moves: How they move.
        recent: What the latest pictures show.
    """

    background: Background
    things: ItemDensity
    moves: ItemDensity
    recent: Recent[Seen] = field(default_factory=Recent, init=False, repr=False, compare=False)

    def scores(
        self, views: Sequence[Sequence[bytes]], stood: Sequence[Stood | None] = ()
    ) -> Tensor:
        """How new the newest thing of each window is in either way, ``(B, 2)``; 0 without any.

        Args:
            views: Packed pictures of each window.
            stood: What is background in those of each window because it stands still; none
                given: nothing is.
        """
        windows = [
            [(view, still) for view in window]
            for window, still in zip(views, stood or [None] * len(views), strict=True)
        ]
        pictures = _distinct(windows)
        seen = self.recent.each(pictures, self._seen)
        known = {one: away.max(axis=0) for one, (_, away) in zip(pictures, seen, strict=True)}
        found = [_shown([known[one] for one in window]) for window in windows]
        return torch.tensor(np.array(found), device=self.things.mean.device)

    def newest_of(
        self, views: Sequence[bytes], ways: slice = slice(PARTS), stood: Stood | None = None
    ) -> Thing | None:
        """The newest thing of a window; None when its pictures show nothing.

        Args:
            views: Its packed pictures.
            ways: In which ways it is to be new; both count together by default.
            stood: What is background in them because it stands still.
        """
        found: list[tuple[float, Thing]] = []
        for things, away in self.recent.each([(view, stood) for view in views], self._seen):
            found += zip(away[: len(things), ways].sum(axis=1), things, strict=True)
        return max(found, key=lambda one: one[0])[1] if found else None

    def _seen(self, view: bytes, stood: Stood | None) -> Seen:
        things = things_in(view, self.background, stood)
        return things, self._away(things)

    def _away(self, things: Sequence[Thing]) -> Floats:
        """How far things are from all normal ones, ``(things or 1, 2)``; 0 without any."""
        if not things:
            return np.zeros((1, PARTS))
        numbers = torch.from_numpy(np.stack([thing.numbers for thing in things]))
        numbers = numbers.to(self.things.mean.device)
        objects = self.things.scores(numbers[:, _OBJECT], 1)
        return torch.stack([objects, self.moves.scores(numbers[:, _MOVE], 1)], dim=1).cpu().numpy()


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
    found = [thing.numbers for view in known for thing in things_in(view, background)]
    if len(found) < _LEAST_THINGS:
        return None
    numbers = torch.from_numpy(np.stack(found))
    things, moves = (
        fit_items(numbers[:, part], memory, False, torch.Generator().manual_seed(seed))
        for part in (_OBJECT, _MOVE)
    )
    return ObjectDensity(background, things, moves)


def things_in(view: bytes, background: Background, stood: Stood | None = None) -> list[Thing]:
    """What is in a packed picture and not in the background, the largest first.

    None in a light that was never seen.

    Args:
        view: The picture.
        background: The place as it was learnt.
        stood: What is background too, because it stands still.
    """
    seen = background.against(view)
    if seen.covered:
        return []
    differs = seen.differs if stood is None else seen.differs & ~stood.hides(seen.level)
    mask = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_CLOSE, _CLOSE)
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    largest = np.argsort(-boxes[1:count, cv2.CC_STAT_AREA], kind="stable")[:_MOST_THINGS] + 1
    large = [part for part in largest if boxes[part, cv2.CC_STAT_AREA] >= _LEAST_PX]
    if not large:
        return []
    velocity = unpack_velocity(view, differs.shape)
    return [_thing(boxes[part], parts == part, velocity) for part in large]


def _thing(box: npt.NDArray[np.int32], pixels: npt.NDArray[np.bool_], velocity: Array) -> Thing:
    left, top, width, height, area = (int(n) for n in box)
    cut = slice(top, top + height), slice(left, left + width)
    motion = velocity[cut][pixels[cut]].mean(axis=0, dtype=np.float64)
    speed = float(np.hypot(*motion))
    motion *= np.log1p(speed / _BRISK) / max(speed, 1e-9)
    place = (left + width / 2) / CELL_PX, (top + height) / CELL_PX
    size = np.log([height, width, area])
    numbers = np.array([*place, *size, *motion, np.log(speed + _SLOW)])
    return Thing(left, top, width, height, numbers)


def _shown(levels: Sequence[Floats]) -> Floats:
    """What a window's views but the most surprising one show, ``(2,)``."""
    if not levels:
        return np.zeros(PARTS)
    falling = -np.sort(-np.stack(levels), axis=0)
    return np.asarray(falling[1:].mean(axis=0) if len(falling) > 1 else falling[0])


def _distinct(windows: Iterable[Iterable[T]]) -> list[T]:
    """Each view once: windows overlap and share them."""
    return list(dict.fromkeys(view for window in windows for view in window))
