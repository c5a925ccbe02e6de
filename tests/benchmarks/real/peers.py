"""Simple detectors of rows of numbers, and scores that have learnt nothing.

All see the mean of the rows of a window, as plain detectors in the literature do, and are held
out in quarters of the learnt stretch, so that their limits are as honest as ours. Their scores
are told as ``-log10`` of the share of held-out rows that score as high.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.models.tails import Tail
from pipeline.training.metrics import Floats
from tests.benchmarks.real.series import Levels

_QUARTERS = 4
_KEPT = 0.9  # share of the variance that the principal components of PCA explain
_RIDGE = 1e-3
Fit = Callable[[Floats], Callable[[Floats], Floats]]


def z_score(normal: Floats) -> Callable[[Floats], Floats]:
    """Largest distance of a channel from its mean, in its standard deviations."""
    mean, spread = normal.mean(axis=0), _spread(normal)
    return lambda rows: np.abs((rows - mean) / spread).max(axis=1)


def reconstruction(normal: Floats) -> Callable[[Floats], Floats]:
    """What principal components that explain most of the variance leave over."""
    mean, spread = normal.mean(axis=0), _spread(normal)
    values, vectors = np.linalg.eigh(np.cov((normal - mean) / spread, rowvar=False))
    shares = np.cumsum(values) / max(values.sum(), 1e-12)
    rest = vectors[:, shares <= 1 - _KEPT]
    rest = rest if rest.shape[1] else vectors[:, :1]
    return lambda rows: np.linalg.norm(((rows - mean) / spread) @ rest, axis=1)


def mahalanobis(normal: Floats) -> Callable[[Floats], Floats]:
    """Distance from the mean of all channels together."""
    mean, spread = normal.mean(axis=0), _spread(normal)
    covariance = np.cov((normal - mean) / spread, rowvar=False)
    inverse = np.linalg.inv(covariance + _RIDGE * np.eye(len(covariance)))

    def score(rows: Floats) -> Floats:
        away = (rows - mean) / spread
        return np.asarray(np.sqrt(((away @ inverse) * away).sum(axis=1)))

    return score


PEERS: dict[str, Fit] = {
    "z-score per channel": z_score,
    "PCA reconstruction": reconstruction,
    "Mahalanobis": mahalanobis,
}


def peers(rows: int, normal: Floats, fresh: Floats, seed: int) -> dict[str, Levels]:
    """Scores of all peers and of what has learnt nothing, by name.

    Args:
        rows: Rows in a window.
        normal: Rows that are learnt, ``(m, C)``.
        fresh: Rows that are judged, ``(n, C)``.
        seed: Of the random score.
    """
    means = _moving_mean(np.concatenate([normal, fresh]), rows)
    learnt, judged = means[: len(means) - len(fresh)], means[len(means) - len(fresh) :]
    found = {name: _held_out(fit, learnt, judged, rows) for name, fit in PEERS.items()}
    draw = np.random.default_rng(seed)
    held, fresh_draw = draw.random(len(learnt)), draw.random(len(judged))
    found["random"] = Levels(-np.log10(fresh_draw), -np.log10(held))
    found["all ones"] = Levels(np.full(len(judged), np.inf), np.zeros(len(learnt)))
    return found


def _held_out(fit: Fit, learnt: Floats, judged: Floats, rows: int) -> Levels:
    held = np.zeros(len(learnt))
    part = np.arange(len(learnt)) * _QUARTERS // len(learnt)
    for number in range(_QUARTERS):
        at = np.flatnonzero(part == number)
        far = np.ones(len(learnt), np.bool_)
        far[max(0, at[0] - rows + 1) : at[-1] + rows] = False  # windows that overlap it
        held[at] = fit(learnt[far])(learnt[at])
    tail = Tail(held)
    return Levels(*(-np.log10(tail.p(score)) for score in (fit(learnt)(judged), held)))


def _moving_mean(values: Floats, rows: int) -> Floats:
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), values]), axis=0)
    return np.asarray((sums[rows:] - sums[:-rows]) / rows)


def _spread(normal: Floats) -> Floats:
    """Standard deviation; of a channel that never moved, a hundredth of all others' mean."""
    spread = normal.std(axis=0)
    least = 1e-2 * spread.mean() + 1e-9
    return np.asarray(np.maximum(spread, least))
