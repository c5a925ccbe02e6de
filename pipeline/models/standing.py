"""What has stood in the picture for minutes is background, on top of what was learnt.

A patch of sun or a parked trolley that was not there while a place was learnt is something new
for as long as it stays. It is to be told once, when it comes: told for hours, it would use up
the alarms that a site allows, and hide what happens beside it in one long alarm. So beside the
learnt background, which stays valid, a map holds colours for each small cell of the picture and
for how long each was there where the background was not (in the manner of the layers of Kim,
Chalidabhongse, Harwood and Davis, 2005, *Real-time foreground-background segmentation using
codebook model*). A colour that was there for `STANDS_S` hides its cell whenever the cell shows
it, and takes with it those beside it that were there for nearly as long: a thing that people
passed in front of goes as a whole, and leaves no scraps that look new.

The rules that keep an anomaly from being learnt:

- it stands out for more than two minutes before it is hidden, and only spells of `STILL_S` count,
  so who passes again and again is never hidden;
- a colour never moves: what grows or creeps on is soon another colour, which begins at nothing;
- a cell is hidden only while it shows the colour that stood, so what begins to move, or comes
  in front of it, is seen;
- at most `MOST` of the picture is ever hidden;
- what is gone is forgotten in about an hour.

Several colours a cell, because a patch of sun comes and goes with the clouds and is not as
bright each time; for the same reason what counts is the time in all, not in one piece.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.models.picture import CELL_PX

ByteArray = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Seconds = npt.NDArray[np.float32]

STANDS_S = 180.0
"""Seconds for which a colour stands out before it is background. At half of it, a patch of sun
that changed with the clouds was told several times over."""

STILL_S = 5.0
"""Seconds from which on an unchanged colour counts, as a whole: who passes does not stand."""

NEARLY_S = 0.75 * STANDS_S
"""Seconds after which it is, beside one that stood for as long as it takes."""

MOST = 0.2
"""Share of the cells that may be hidden."""

FORGET_S = 3600.0
"""Seconds in which what was seen counts for a third."""

SIDE_PX = CELL_PX // 2
"""Side of a cell, pixels: the smallest thing that is looked for changes its mean clearly."""

COLOURS = 3
"""Colours that a cell remembers."""

_KEPT_S = 2 * STANDS_S  # however long it stood: what is gone is forgotten in less than an hour

FADES_S = FORGET_S * math.log(_KEPT_S / NEARLY_S)
"""Seconds after which a colour that is shown no more hides nothing, however long it stood."""

_SAME = 14  # grey levels; as far as the learnt background lets a pixel differ
_NOT_SHOWN = np.float32(-1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Stood:
    """Colours that are background for now. The same object for as long as nothing changes.

    Attributes:
        colours: uint8 ``(K, R, C, 3)``.
        there: Which of them are, bool ``(K, R, C)``.
    """

    colours: ByteArray
    there: Mask

    def hides(self, level: ByteArray) -> Mask:
        """Pixels of cells that show what stood there, bool ``(H, W)``.

        Args:
            level: A picture in the light of the background, ``(H, W, 3)``.
        """
        known = (_alike(self.colours, _cells(level)) & self.there).any(axis=0)
        return known.repeat(SIDE_PX, axis=0).repeat(SIDE_PX, axis=1)


class StandingMap:
    """For how long each cell of a picture showed which colours that are not background.

    Attributes:
        colours: Remembered colours, uint8 ``(K, R, C, 3)``.
        stood_s: For how long each was there in all, seconds, float32 ``(K, R, C)``.
        still_s: For how long it has been there now; negative: it is not.
        stood: What of them is background; None: nothing.

    Args:
        height: Of the pictures, pixels.
        width: Likewise.
    """

    def __init__(self, height: int, width: int) -> None:
        cells = COLOURS, height // SIDE_PX, width // SIDE_PX
        self.colours: ByteArray = np.zeros((*cells, 3), np.uint8)
        self.stood_s: Seconds = np.zeros(cells, np.float32)
        self.still_s: Seconds = np.full(cells, _NOT_SHOWN)
        self.stood: Stood | None = None

    def see(self, level: ByteArray, differs: Mask, seconds: float) -> None:
        """Take in a picture.

        Args:
            level: The picture in the light of the background, ``(H, W, 3)``.
            differs: Pixels that are not background, ``(H, W)``.
            seconds: Since the picture before.
        """
        cells, busy = _cells(level), _any(differs)
        alike = _alike(self.colours, cells) & (self.stood_s > 0)
        self.stood_s *= np.float32(math.exp(-seconds / FORGET_S))
        self.stood_s += self._lasting(alike & busy, np.float32(seconds))
        np.minimum(self.stood_s, np.float32(_KEPT_S), out=self.stood_s)
        self._begin(cells, busy & ~alike.any(axis=0), seconds)
        self.hide(_bounded(_whole(self.stood_s, self.there), self.there))

    @property
    def there(self) -> Mask:
        """Colours that are background for now, ``(K, R, C)``."""
        return np.zeros(self.stood_s.shape, np.bool_) if self.stood is None else self.stood.there

    def hide(self, there: Mask) -> None:
        """Let these colours be background from now on, ``(K, R, C)``, and no others."""
        if not there.any():
            self.stood = None
        elif not np.array_equal(self.there, there):
            self.stood = Stood(self.colours.copy(), there)

    def _lasting(self, shown: Mask, seconds: np.float32) -> Seconds:
        """How much longer each colour has stood, by whether it is shown, ``(K, R, C)``."""
        before, none = self.still_s, np.float32(0.0)
        lasts = np.where(before < 0, none, before + seconds)
        self.still_s = np.where(shown, lasts, _NOT_SHOWN)
        spell = np.where(before < STILL_S, lasts, seconds)
        return np.where(self.still_s < STILL_S, none, spell)

    def _begin(self, cells: ByteArray, new: Mask, seconds: float) -> None:
        """Remember new colours, each instead of the one that was there least."""
        row, column = np.nonzero(new)
        least = self.stood_s[:, row, column].argmin(axis=0)
        free = self.stood_s[least, row, column] < NEARLY_S
        at = least[free], row[free], column[free]
        self.colours[at] = cells[row[free], column[free]]
        self.stood_s[at], self.still_s[at] = seconds, 0.0


def _whole(stood_s: Seconds, there: Mask) -> Mask:
    """Colours that stood long enough, with those beside them that nearly did, ``(K, R, C)``.

    Those that are background already stay so while they nearly do.
    """
    nearly = stood_s >= NEARLY_S
    cells = np.asarray(nearly.any(axis=0), np.uint8)
    count, parts = cv2.connectedComponents(cells, connectivity=8)
    stands = np.zeros(count, np.bool_)
    stands[parts[(nearly & (there | (stood_s >= STANDS_S))).any(axis=0)]] = True
    return np.asarray(nearly & stands[parts])


def _bounded(wanted: Mask, there: Mask) -> Mask:
    """Those that are wanted in cells that were hidden before, and in others while there is room."""
    hidden = there.any(axis=0) & wanted.any(axis=0)
    coming = np.flatnonzero(wanted.any(axis=0) & ~hidden)
    room = max(0, int(MOST * hidden.size) - int(hidden.sum()))
    hidden.reshape(-1)[coming[:room]] = True
    return np.asarray(wanted & hidden)


def _cells(level: ByteArray) -> ByteArray:
    """Mean colour of each cell, ``(R, C, 3)``."""
    size = level.shape[1] // SIDE_PX, level.shape[0] // SIDE_PX
    return cast("ByteArray", cv2.resize(level, size, interpolation=cv2.INTER_AREA))


def _any(differs: Mask) -> Mask:
    """Cells in which any pixel differs, ``(R, C)``."""
    rows, columns = (side // SIDE_PX for side in differs.shape)
    return np.asarray(differs.reshape(rows, SIDE_PX, columns, SIDE_PX).any(axis=(1, 3)))


def _alike(colours: ByteArray, cells: ByteArray) -> Mask:
    """Whether cells ``(R, C, 3)`` show remembered colours, ``(K, R, C)``."""
    away = np.maximum(colours, cells) - np.minimum(colours, cells)
    return np.asarray(away.max(axis=-1) <= _SAME)
