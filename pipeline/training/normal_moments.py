"""Choose the moments of normal that are kept for comparison, see `pipeline.models.normal_bank`.

They are spread over everything that normal was: first the most usual window, then again and
again the one furthest from all chosen (Gonzalez, 1985, *Clustering to minimize the maximum
intercluster distance*): no other choice of as many can halve how far a normal window is from the
nearest. Windows that overlap show the same moment and are candidates once.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from pipeline.core.sample import Modality
from pipeline.models.normal_bank import NormalBank, StreamMoments
from pipeline.models.normal_bank_file import PICTURES_MOST
from pipeline.models.settings import DetectorSettings
from pipeline.models.views import unpack_view
from pipeline.training.cross_fit import Embedded
from pipeline.training.normal_rows import NormalRows
from pipeline.training.stream_data import Indices, StreamData

Array = npt.NDArray[np.float64]

_WIDTH = 160  # pixels of a picture
_QUALITY = 75
_LEAST_SCALE = 0.1  # standard deviations of each component
_LEVELS_OF = (Modality.SENSOR, Modality.AUDIO)


def choose_moments(
    rows: NormalRows, data: Sequence[StreamData], embedded: Embedded, settings: DetectorSettings
) -> NormalBank | None:
    """The moments of a scene; None when none are wanted.

    Args:
        rows: The normal windows.
        data: Features of the streams that are part of the model.
        embedded: Their embeddings by the final fit.
        settings: How many moments, and whether with pictures.
    """
    if not settings.moments:
        return None
    seen = embedded.seen.numpy()
    candidates = _candidates(rows, seen)
    parts = [value.numpy()[candidates] for value in embedded.values]
    chosen = spread(_scaled(parts), settings.moments)
    at = candidates[chosen]
    pictures = _pictures(data, at) if settings.moment_pictures else [(b"",) * len(at)] * len(data)
    return NormalBank(
        start_ns=rows.indices()[at] * rows.hop_ns,
        seen=seen[at],
        scales=np.array([_usual_distance(part, chosen) for part in parts]),
        streams={
            one.info.name: StreamMoments(part[chosen].astype(np.float32), _levels(one, at), shown)
            for one, part, shown in zip(data, parts, pictures, strict=True)
        },
    )


def spread(points: Array, count: int) -> Indices:
    """Points that lie far from each other, ``(n, D)`` to ``(count,)`` or fewer, the first usual.

    Points that are the same as a chosen one are never chosen.
    """
    first = int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmin())
    chosen, apart = [first], np.linalg.norm(points - points[first], axis=1)
    while len(chosen) < count and apart.max() > 0:
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen, np.int64)


def _candidates(rows: NormalRows, seen: npt.NDArray[np.bool_]) -> Indices:
    """Windows that see as much as any does, none of which overlap."""
    full = np.flatnonzero(seen.sum(axis=1) == seen.sum(axis=1).max())
    overlap = max(1, rows.length_ns // rows.hop_ns)
    _, first = np.unique(rows.indices()[full] // overlap, return_index=True)
    return full[first].astype(np.int64)


def _scaled(parts: Sequence[Array]) -> Array:
    """All streams side by side, each with the same weight, ``(n, sum of E)``."""
    return np.hstack([part / np.sqrt(max(1, part.shape[1])) for part in parts])


def _usual_distance(points: Array, chosen: Indices) -> float:
    """Median distance of a window to the nearest moment that is not itself.

    Never less than a tenth of a standard deviation of each component: of a log that hardly ever
    says anything, nearly all moments are the same.
    """
    nearest = np.full(len(points), np.inf)
    for moment in chosen.tolist():
        apart = np.linalg.norm(points - points[moment], axis=1)
        apart[moment] = np.inf
        nearest = np.minimum(nearest, apart)
    known = nearest[np.isfinite(nearest)]
    least = _LEAST_SCALE * float(np.sqrt(max(1, points.shape[1])))
    return max(float(np.median(known)), least) if len(known) else 1.0


def _levels(data: StreamData, at: Indices) -> npt.NDArray[np.float32]:
    """Readings of a sensor or levels of a sound in some windows, ``(K, P)``."""
    if data.info.modality not in _LEVELS_OF:
        return np.zeros((len(at), 0), np.float32)
    found = np.full((len(at), len(data.extractor.labels)), np.nan, np.float32)
    for row, place in _places(data, at):
        one = data.features[place]
        found[row] = np.where(one.present, one.places[:, 0], np.nan)
    return found


def _places(data: StreamData, at: Indices) -> list[tuple[int, int]]:
    """Of the windows that saw the stream: which it is, and where in its features it lies."""
    places = np.searchsorted(data.windows, at).clip(max=len(data.windows) - 1)
    there = data.windows[places] == at
    return [(row, int(places[row])) for row in np.flatnonzero(there).tolist()]


def _pictures(data: Sequence[StreamData], at: Indices) -> list[tuple[bytes, ...]]:
    """Small pictures of each camera in some windows, in their order until there is no room."""
    found = [[b""] * len(at) for _ in data]
    views = sorted(
        (row, number, one.features[place].views)
        for number, one in enumerate(data)
        for row, place in _places(one, at)
    )
    room = PICTURES_MOST
    for row, number, shown in views:
        picture = _small(shown[len(shown) // 2]) if shown else b""
        if len(picture) > room:
            break
        found[number][row] = picture
        room -= len(picture)
    return [tuple(one) for one in found]


def _small(view: bytes) -> bytes:
    """A packed view as a JPEG of at most `_WIDTH` pixels across."""
    picture = unpack_view(view)
    height, width = picture.shape[:2]
    if width > _WIDTH:
        size = _WIDTH, max(1, round(height * _WIDTH / width))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    shown = np.ascontiguousarray(picture)
    return bytes(simplejpeg.encode_jpeg(shown, quality=_QUALITY, colorspace="BGR"))
