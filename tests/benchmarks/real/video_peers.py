"""Simple detectors of pictures, and scores that have learnt nothing. All are causal.

Each gives a number a picture; a window's is the mean of its pictures', as ours sees them.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from pipeline.training.metrics import Floats
from tests.benchmarks.real.video_files import Pictures

_SIDE = 16  # pixels of a place
_RIDGE = 1e-3


def motion_energy(_: Pictures, fresh: Pictures) -> Floats:
    """Mean change of a pixel from the picture before."""
    return _changes(fresh).mean(axis=(1, 2))


def foreground(learnt: Pictures, fresh: Pictures) -> Floats:
    """Area that OpenCV's mixture of Gaussians (MOG2) calls foreground."""
    known = cv2.createBackgroundSubtractorMOG2(detectShadows=False)
    for frame in learnt:
        known.apply(frame)
    return np.array([float((known.apply(frame) > 0).mean()) for frame in fresh])


def places(window: int) -> Callable[[Pictures, Pictures], Floats]:
    """Mahalanobis distance of the furthest place: its level, contrast and change in a window.

    Args:
        window: Pictures in a window.
    """

    def score(learnt: Pictures, fresh: Pictures) -> Floats:
        both = moving_mean(_cells(np.concatenate([learnt, fresh])), window)  # (n, P, 3)
        normal = both[window : len(learnt)]
        mean = normal.mean(axis=0)
        away = normal - mean
        covariance = np.einsum("npi,npj->pij", away, away) / len(normal)
        scale = np.trace(covariance, axis1=1, axis2=2).mean()
        inverse = np.linalg.inv(covariance + _RIDGE * scale * np.eye(3))
        rest = both[len(learnt) :] - mean
        return np.sqrt(np.einsum("npi,pij,npj->np", rest, inverse, rest)).max(axis=1)

    return score


def peers(learnt: Pictures, fresh: Pictures, window: int, seed: int) -> dict[str, Floats]:
    """Score of each picture of `fresh` by all peers and by what has learnt nothing, by name.

    Args:
        learnt: Normal pictures, ``(m, H, W, 3)``.
        fresh: Pictures that follow, ``(n, H, W, 3)``.
        window: Pictures in a window.
        seed: Of the random score.
    """
    draw = np.random.default_rng(seed)
    return {
        "per-place Mahalanobis": places(window)(learnt, fresh),
        "foreground area (MOG2)": moving_mean(foreground(learnt, fresh), window),
        "motion energy": moving_mean(motion_energy(learnt, fresh), window),
        "random": draw.random(len(fresh)),
        "all ones": np.ones(len(fresh)),
    }


def moving_mean(values: Floats, count: int) -> Floats:
    """Mean of the last so many rows, of fewer at the beginning."""
    sums = np.cumsum(np.concatenate([np.zeros((1, *values.shape[1:])), values]), axis=0)
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(ends - count, 0)
    shape = (-1,) + (1,) * (values.ndim - 1)
    return np.asarray((sums[ends] - sums[begins]) / (ends - begins).reshape(shape))


def _grey(frames: Pictures) -> Floats:
    return np.stack([cv2.cvtColor(f, cv2.COLOR_BGR2GRAY) for f in frames]).astype(np.float64)


def _changes(frames: Pictures) -> Floats:
    grey = _grey(frames)
    return np.asarray(np.abs(np.diff(grey, axis=0, prepend=grey[:1])))


def _cells(frames: Pictures) -> Floats:
    """Level, contrast and change of each place, ``(n, P, 3)``."""
    grey, change = _grey(frames), _changes(frames)
    level, square, moved = (_pooled(x) for x in (grey, grey**2, change))
    contrast = np.sqrt(np.maximum(square - level**2, 0.0))
    return np.stack([level, contrast, np.log(moved + 0.5)], axis=-1)


def _pooled(pictures: Floats) -> Floats:
    size = max(1, pictures.shape[2] // _SIDE), max(1, pictures.shape[1] // _SIDE)
    pooled = [cv2.resize(one, size, interpolation=cv2.INTER_AREA).ravel() for one in pictures]
    return np.stack(pooled)
