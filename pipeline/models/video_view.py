"""Whether a camera still looks where it looked while its site's normal was learnt.

A view is known by its edges: which way the light changes at each point, and little by how much.
Averaged over the learnt windows, what moves cancels out and what always stands there remains. A
picture is laid on that at every shift and at a few angles (orientation correlation: Fitch and
others, 2002, *Orientation correlation*, BMVC, section 2; the angles are tried one by one). Their
agreement is 1 on average where the camera looks as it did. It has moved when the agreement
somewhere else is clearly better than it is here now, and near what it always was here.

So what hides the view (a lorry, fog, the night) is no move: it agrees nowhere. Nor is a jitter,
which stays within `_STILL`, nor a light that only makes the edges weaker. On five synthetic sites
and six recordings of real places the best agreement elsewhere was at least 0.71 after a shift
of 3 to 40 % of the width and 0.62 after a roll of 3 to 14 degrees, and at most 0.55 behind a
lorry that filled 60 to 100 % of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.models.quality import Quality

FloatArray = npt.NDArray[np.float32]
Edges = npt.NDArray[np.complexfloating]
Grey = npt.NDArray[np.float32]

MOVED = "moved"
"""How the reason of a camera that looks elsewhere begins."""

_LONG_SIDE = 96  # pixels; one is about a hundredth of the picture
_SOFT = 4.0  # grey levels a pixel; weaker edges count little, so that noise does not
_ANGLES = (0, -4, 4, -8, 8, -12, 12, -16, 16)  # degrees; edges bear half a step
_STILL = 2  # pixels; nearer is a camera on a pole in the wind
_AS_EVER = 0.8  # agreement; nothing could be clearly better elsewhere
_LEAST_HERE = 0.45  # agreement; chance reaches nearly as much behind a lorry
_BETTER, _SURELY = 1.25, 1.55  # times as good elsewhere: from here on doubtful, and sure
_LEAST_LASTING = 0.05  # share of the edges that stays; fewer are leaves and water
_COUNTED = 0.5  # of the learnt edges must be within the picture to count in full


@dataclass(slots=True)
class ViewSum:
    """Edges of the pictures of all normal windows, added up.

    Attributes:
        edges: Their sum, complex ``(h, w)``; None: there was none yet.
        power: Sum of their squares.
        count: Number of windows.
    """

    edges: Edges | None = None
    power: float = 0.0
    count: int = 0

    def add(self, grey: Grey | None) -> None:
        """Take in the picture of a window, grey ``(H, W)``; None: it showed none."""
        if grey is None:
            return
        found = edges_of(_small(grey)).astype(np.complex128)
        self.edges = found if self.edges is None else self.edges + found
        self.power += _power(found)
        self.count += 1

    def learn(self) -> View | None:
        """The view; None when too little of it stands still."""
        if self.edges is None:
            return None
        mean = self.edges / self.count
        if _power(mean) < max(_LEAST_LASTING * self.power / self.count, 1.0):
            return None
        return View(np.stack([mean.real, mean.imag]).astype(np.float32))


@dataclass(frozen=True, slots=True)
class View:
    """What always stands before a camera.

    Attributes:
        edges: Mean direction of the light's change, to the right and down, ``(2, h, w)``.
    """

    edges: FloatArray
    _map: _Map = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_map", _Map(self.edges[0] + 1j * self.edges[1]))

    def quality(self, grey: Grey | None) -> Quality:
        """How well a camera sees by where it looks.

        Args:
            grey: Picture of a window ``(H, W)``; None: it showed none.
        """
        picture = None if grey is None else _small(grey)
        if picture is None or picture.shape != self.edges.shape[1:]:
            return Quality(1.0)
        here = self._map.here(edges_of(picture))
        if here >= _AS_EVER:
            return Quality(1.0)
        here, best = self._map.look_around(picture)
        doubt = (best.agreement / max(here, _LEAST_HERE) - _BETTER) / (_SURELY - _BETTER)
        weight = 1.0 - min(max(doubt, 0.0), 1.0)
        return Quality(weight, best.said(picture.shape) if weight < 0.5 else "")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a picture lies on a view: `right` and `down` in pixels, `angle` in degrees."""

    agreement: float
    right: int = 0
    down: int = 0
    angle: int = 0

    def said(self, shape: tuple[int, ...]) -> str:
        """How far the camera was turned, as a reason: what it shows moves the other way."""
        height, width = shape
        parts = [
            f"{abs(pixels) / side:.0%} {way[pixels > 0]}".replace("%", " %")
            for pixels, side, way in (
                (self.right, width, ("of the width to the right", "of the width to the left")),
                (self.down, height, ("of the height down", "of the height up")),
            )
            if abs(pixels) > _STILL
        ]
        if self.angle:
            parts.append(f"{abs(self.angle)} degrees {'counter' * (self.angle < 0)}clockwise")
        return f"{MOVED} by about {' and '.join(parts)}"


class _Map:
    """Lays pictures on learnt edges.

    Args:
        edges: The learnt ones, complex ``(h, w)``.
    """

    def __init__(self, edges: Edges) -> None:
        height, width = edges.shape
        self._edges, self._power = edges, _power(edges)
        # Room for half a picture on either side, so that what leaves does not come back.
        self._size = tuple(cv2.getOptimalDFTSize(side + side // 2) for side in edges.shape)
        self._spectrum = np.conj(np.fft.fft2(edges, self._size))
        down, right = (np.fft.fftfreq(n, 1.0 / n).astype(int) for n in self._size)
        self._down, self._right = down, right
        near = (abs(down)[:, None] <= height // 2) & (abs(right)[None] <= width // 2)
        squares = np.conj(np.fft.fft2(abs(edges) ** 2, self._size))
        within = np.fft.ifft2(squares * np.fft.fft2(np.ones(edges.shape), self._size)).real
        counted = np.maximum(within, _COUNTED * self._power)
        self._scale = np.where(near, 1.0 / counted, 0.0)
        self._still = (abs(down)[:, None] <= _STILL) & (abs(right)[None] <= _STILL)

    def here(self, edges: Edges) -> float:
        """Agreement of a picture's edges ``(h, w)`` where it is."""
        return float((np.conj(self._edges) * edges).real.sum() / self._power)

    def look_around(self, picture: Grey) -> tuple[float, _Place]:
        """The best agreement of a picture ``(h, w)`` where it is, and elsewhere."""
        straight = self._agreements(picture)
        here = float(straight[self._still].max())
        places = [self._best(np.where(self._still, 0.0, straight), 0)]
        places += [self._best(self._agreements(_turned(picture, a)), a) for a in _ANGLES[1:]]
        return here, max(places, key=lambda place: place.agreement)

    def _agreements(self, picture: Grey) -> npt.NDArray[np.floating]:
        """Agreement at every shift."""
        spectrum = np.fft.fft2(edges_of(picture), self._size)
        return np.asarray(np.fft.ifft2(self._spectrum * spectrum).real * self._scale)

    def _best(self, agreements: npt.NDArray[np.floating], angle: int) -> _Place:
        """The best of them; the picture was turned by `angle` to get them."""
        row, column = np.unravel_index(int(agreements.argmax()), agreements.shape)
        best = float(agreements[row, column])
        return _Place(best, int(self._right[column]), int(self._down[row]), -angle)


def edges_of(picture: Grey) -> Edges:
    """Which way the light changes at each point and, within 1, how much, complex ``(h, w)``."""
    smooth = cv2.GaussianBlur(picture, (0, 0), 1.0)
    right, down = (
        cv2.Sobel(smooth, cv2.CV_32F, x, y, ksize=3, scale=1 / 8) for x, y in ((1, 0), (0, 1))
    )
    change = right + 1j * down
    return cast("Edges", change / (abs(change) + np.float32(_SOFT)))


def _small(grey: Grey) -> Grey:
    height, width = grey.shape
    scale = min(1.0, _LONG_SIDE / max(height, width))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    return cast("Grey", cv2.resize(grey, size, interpolation=cv2.INTER_AREA))


def _turned(picture: Grey, angle: float) -> Grey:
    height, width = picture.shape
    middle = (width - 1) / 2, (height - 1) / 2
    turn = cv2.getRotationMatrix2D(middle, angle, 1.0)
    edge = cv2.BORDER_REPLICATE
    return cast("Grey", cv2.warpAffine(picture, turn, (width, height), borderMode=edge))


def _power(edges: Edges) -> float:
    return float((abs(edges) ** 2).sum())
