"""Where it is unusual: the place in a picture, the part of a sound.

The worst place and its neighbours that are clearly surprising too make a region. Regions keep
apart what is at two places at once, and the worst of them is told.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.explanation import Band, Box, PlaceMap
from pipeline.core.window import AudioSlice
from pipeline.detection.transition import anomaly_score
from pipeline.models.audio_features import AudioFeatures
from pipeline.models.features import StreamFeatures
from pipeline.models.picture import CELL_PX
from pipeline.models.stream_density import collect
from pipeline.models.stream_model import StreamModel
from pipeline.models.video_features import VideoFeatures

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SURE = 8.0
"""A level (``-log10 p``) beyond which one place is no more unusual than another."""

_REGION_SHARE = 0.5  # of the worst level
_LEVEL, _PEAK = 0, 2  # columns of a band


def place_map(stream: StreamModel, levels: Array) -> PlaceMap | None:
    """Surprise of every cell of a picture; None when the stream is none.

    Args:
        stream: The stream's model.
        levels: ``-log10 p`` of each place, ``(P,)``.
    """
    seen = stream.extractor
    if not isinstance(seen, VideoFeatures):
        return None
    rounded = tuple(round(float(level), 1) for level in levels)
    return PlaceMap(stream.info.name, seen.rows, seen.cols, rounded)


def box(stream: StreamModel, levels: Array, weights: Array) -> Box | None:
    """The worst region of a picture; None when the stream is none.

    Args:
        stream: The stream's model.
        levels: ``-log10 p`` of each place, ``(P,)``.
        weights: What the region is chosen by, ``(P,)``; the levels themselves when all zero.
    """
    seen = stream.extractor
    if not isinstance(seen, VideoFeatures):
        return None
    chosen = weights if weights.max() > 0 else levels
    region = worst_region(chosen.reshape(seen.rows, seen.cols))
    top, bottom, left, right = _sides(region)
    return Box(
        stream.info.name,
        round(top / seen.rows, 4),
        round(left / seen.cols, 4),
        round(bottom / seen.rows, 4),
        round(right / seen.cols, 4),
        round(float(levels[region.ravel()].max()), 2),
    )


def thing_box(stream: StreamModel, features: StreamFeatures, p: float) -> Box | None:
    """The newest thing in a picture; None when there is none.

    Args:
        stream: The stream's model.
        features: What it showed.
        p: p-value of the thing.
    """
    seen, objects = stream.extractor, stream.density.objects
    thing = None if objects is None else objects.newest_of(features.views, stood=features.stood)
    if thing is None or not isinstance(seen, VideoFeatures):
        return None
    height, width = seen.rows * CELL_PX, seen.cols * CELL_PX
    return Box(
        stream.info.name,
        round(thing.top / height, 4),
        round(thing.left / width, 4),
        round((thing.top + thing.height) / height, 4),
        round((thing.left + thing.width) / width, 4),
        round(anomaly_score(p), 2),
    )


def moving(stream: StreamModel, features: StreamFeatures) -> Array:
    """How much more than usual each place of a picture moves, standard units, ``(P,)``."""
    columns = [i for i, name in enumerate(stream.extractor.columns) if name == "motion"]
    normaliser = stream.density.normaliser
    rows = collect([features], normaliser.centre.device)
    normal = normaliser.apply(rows.places, rows.present)[0, :, columns]
    return np.asarray(normal.clamp_min(0.0).sum(dim=1).cpu().numpy(), np.float64)


def worst_region(levels: Array) -> Flags:
    """Cells around the highest that reach half of it, bool ``(R, C)``; sides and corners touch."""
    flags = levels >= _REGION_SHARE * levels.max()
    _, parts = cv2.connectedComponents(flags.astype(np.uint8), connectivity=8)
    region: Flags = parts == parts.flat[int(levels.argmax())]
    return region


def _sides(region: Flags) -> tuple[int, int, int, int]:
    """First row, end of rows, first column, end of columns."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def band(stream: StreamModel, part: AudioSlice, levels: Array | None = None) -> Band | None:
    """The part of a sound that is furthest from what is usual for its bands.

    A moment is unusual when a band is louder than its peaks usually are. When there is none, a
    band may still be louder or quieter than usual over the whole window; when none is, those
    that surprise most are told.

    Args:
        stream: The stream's model.
        part: The window's sound.
        levels: ``-log10 p`` of each band, ``(P,)``; None: tell nothing when every level is usual.

    Returns:
        The part, or None when every level is usual or the stream is no sound.
    """
    heard = stream.extractor
    if not isinstance(heard, AudioFeatures):
        return None
    heard_db, first = heard.timed(part)  # (frames, P), (frames,)
    high = stream.usual[1, :, _PEAK]
    over = np.asarray(heard_db - high, np.float64)
    if over.size and over.max() > 0:
        from_frame, to_frame, low_band, end_band = _sides(worst_region(over))
        moment, worst = np.unravel_index(int(over.argmax()), over.shape)
        rate = stream.info.rate_hz or 1.0
        span_s = float(first[from_frame]) / rate, float(first[to_frame - 1] + heard.size) / rate
        usual = stream.usual[0, worst, _LEVEL], high[worst]
        return _band(stream, (low_band, end_band), span_s, float(heard_db[moment, worst]), usual)
    return _all_along(stream, heard_db.mean(axis=0), len(part.samples), levels)


def _all_along(
    stream: StreamModel, means: Array, samples: int, levels: Array | None
) -> Band | None:
    """Bands whose mean level is unusual over the whole window."""
    low, high = stream.usual[:, :, _LEVEL]
    outside = np.maximum(means - high, low - means)
    if not outside.max() > 0:
        if levels is None or not levels.max() > 0:
            return None
        outside = levels
    _, _, first, end = _sides(worst_region(outside[None]))
    worst = int(outside.argmax())
    span_s = 0.0, samples / (stream.info.rate_hz or 1.0)
    return _band(stream, (first, end), span_s, float(means[worst]), (low[worst], high[worst]))


def _band(
    stream: StreamModel,
    bands: tuple[int, int],
    span_s: tuple[float, float],
    seen_db: float,
    usual_db: tuple[float, float],
) -> Band | None:
    """Bands ``[first, end)`` for a span."""
    heard = stream.extractor
    if not isinstance(heard, AudioFeatures):
        return None
    return Band(
        stream.info.name,
        round(heard.edges_hz[bands[0]][0], 1),
        round(heard.edges_hz[bands[1] - 1][1], 1),
        round(span_s[0], 3),
        round(span_s[1], 3),
        round(seen_db, 1),
        round(float(usual_db[0]), 1),
        round(float(usual_db[1]), 1),
    )
