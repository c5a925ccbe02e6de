"""Simple detectors of sound, and scores that have learnt nothing.

All see log-mel levels of the same windows as the detector, are held out in quarters of what is
learnt, and get their limits from the same calibration.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.models.mel_bank import mel_bank
from pipeline.training.metrics import Floats
from tests.benchmarks.real.peers import mahalanobis
from tests.benchmarks.real.series import Levels
from tests.benchmarks.real.sound_files import Sound
from tests.benchmarks.real.sound_scenes import HOP, HOPS, INFO

_BANDS = 40
_QUARTERS = 4
_NEIGHBOURS = 3
_CHUNK = 256
Fit = Callable[[Floats], Callable[[Floats], Floats]]
See = Callable[[Floats], Floats]


def log_mel(track: Sound) -> Floats:
    """Levels of all frames in decibels, ``(frames, 40)``; a frame begins every 32 ms."""
    bank = mel_bank(INFO, _BANDS)
    frames = np.lib.stride_tricks.sliding_window_view(track, bank.size)[:: bank.hop]
    window, weights = np.hanning(bank.size).astype(np.float32), bank.weights.numpy()
    parts = [
        np.square(np.abs(np.fft.rfft(part * window, axis=1))) @ weights
        for part in np.array_split(frames, -(-len(frames) // 4096))
    ]
    return np.asarray(10 * np.log10(np.concatenate(parts) / bank.size + 1e-10))


def by_window(levels: Floats, count: int) -> Floats:
    """Frames that lie within each of `count` windows, ``(count, frames, 40)``."""
    bank = mel_bank(INFO, _BANDS)
    inside = (HOPS * HOP - bank.size) // bank.hop + 1
    first = -(-np.arange(count) * HOP // bank.hop)
    rows = np.minimum(first[:, None] + np.arange(inside - 1), len(levels) - 1)
    return levels[rows]


def loudness(frames: Floats) -> Floats:
    """Loudest frame of each window, over all bands, ``(n, 1)``."""
    return np.asarray(10 * np.log10((10 ** (frames / 10)).sum(axis=2)).max(axis=1)[:, None])


def mean_levels(frames: Floats) -> Floats:
    """Mean of each band, ``(n, 40)``."""
    return np.asarray(frames.mean(axis=1))


def statistics(frames: Floats) -> Floats:
    """Mean, spread and peak of each band, ``(n, 120)``."""
    parts = [frames.mean(axis=1), frames.std(axis=1), frames.max(axis=1)]
    return np.concatenate(parts, axis=1)


def as_it_is(normal: Floats) -> Callable[[Floats], Floats]:
    """The only column itself; learns nothing."""
    del normal
    return lambda rows: rows[:, 0]


def neighbours(normal: Floats) -> Callable[[Floats], Floats]:
    """Distance to the third nearest window that was learnt, each column by its own spread."""
    mean, spread = normal.mean(axis=0), np.maximum(normal.std(axis=0), 0.1)
    known = (normal - mean) / spread
    squares = np.square(known).sum(axis=1)

    def score(rows: Floats) -> Floats:
        found = []
        for part in np.array_split((rows - mean) / spread, -(-len(rows) // _CHUNK)):
            away = np.square(part).sum(axis=1)[:, None] + squares - 2 * part @ known.T
            nearest = np.partition(away, _NEIGHBOURS - 1, axis=1)[:, _NEIGHBOURS - 1]
            found.append(np.sqrt(np.maximum(nearest, 0.0)))
        return np.concatenate(found)

    return score


PEERS: dict[str, tuple[See, Fit]] = {
    "loudest frame": (loudness, as_it_is),
    "mean log-mel, Mahalanobis": (mean_levels, mahalanobis),
    "log-mel statistics, kNN": (statistics, neighbours),
}


def peer_levels(name: str, learnt: Sound, judged: list[Sound], seed: int) -> list[Levels]:
    """Scores of a peer on each part that is judged, all with the same held-out scores.

    Args:
        name: One of `PEERS`, ``random`` or ``all ones``.
        learnt: Sound that is learnt.
        judged: Parts that are judged.
        seed: Of the random score.
    """
    counts = [len(track) // HOP - HOPS + 1 for track in [learnt, *judged]]
    if name == "all ones":
        return [Levels(np.ones(count), np.zeros(counts[0])) for count in counts[1:]]
    if name == "random":
        draws = [np.random.default_rng((seed, n)).random(c) for n, c in enumerate(counts)]
        return [Levels(draw, draws[0]) for draw in draws[1:]]
    see, fit = PEERS[name]
    rows = [see(by_window(log_mel(t), c)) for t, c in zip([learnt, *judged], counts, strict=True)]
    score, held = fit(rows[0]), _held_out(fit, rows[0])
    return [Levels(score(part), held) for part in rows[1:]]


def _held_out(fit: Fit, rows: Floats) -> Floats:
    held = np.zeros(len(rows))
    part = np.arange(len(rows)) * _QUARTERS // len(rows)
    for number in range(_QUARTERS):
        at = np.flatnonzero(part == number)
        far = np.ones(len(rows), np.bool_)
        far[max(0, at[0] - HOPS + 1) : at[-1] + HOPS] = False  # windows that overlap it
        held[at] = fit(rows[far])(rows[at])
    return held
