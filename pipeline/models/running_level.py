"""The level of the last hours, which a sensor that was learnt for days is judged against.

Over days and weeks load grows, processes are moved, filters clog: levels go where they never
were while they were learnt, and stay there. Once some days were learnt it is known how far
levels go from what they were in the last hours; so what is judged is that, and not where they
are. A running mean follows each channel, and its distance from its own mean in the learnt time
is taken off the channel's level. The daily profile (`pipeline.models.cycle`) comes after it.

The running mean never moves faster than it did in nearly all of the learnt time. So it follows
what creeps, and what jumps further than anything did stays away from it: a fault is not
ordinary because it has lasted for some hours. Nor is what has crept away from all that was
learnt: beyond the levels of the learnt time the running mean is followed for as far as these lie
apart, and no further. (Of server metrics, SMD, one machine in three is told better by that, VUS-PR
.82 instead of .61, and none worse; half or twice as far makes little difference.)

The running mean is a function of the windows in their order. It starts where learning left
it; while nothing is seen it stays, and a gap of any length counts as little as a tenth of its
memory.

After less than some days nothing is taken off: see `pipeline.models.drift` instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import msgspec
import numpy as np
import numpy.typing as npt

from pipeline.core.errors import StoreError
from pipeline.models.features import StreamFeatures

Array = npt.NDArray[np.float64]

MEMORY_S = 4 * 3600.0
_LONGEST_STEP = 0.1  # of the memory
_ANY = 1e100  # units a second
_FASTEST = 0.99  # share of the learnt time in which the running mean moved no faster


@dataclass(frozen=True, slots=True)
class LearntLevel:
    """Running mean of a stream's levels as learning left it.

    Attributes:
        usual: Its mean over the learnt time, ``(P,)``.
        last: Its last value, ``(P,)``.
        fastest: How fast it may move, units a second, ``(P,)``.
        last_s: Site time of that, ``()``.
        reach: Least and most that is taken off a level, ``(2, P)``.
    """

    usual: Array
    last: Array
    fastest: Array
    last_s: Array
    reach: Array


class RunningLevel:
    """Follows the levels, column 0, of one stream.

    Args:
        learnt: Where to begin, and how fast it may move.
    """

    def __init__(self, learnt: LearntLevel) -> None:
        self._usual, self._fastest = learnt.usual, learnt.fastest
        self._least, self._most = learnt.reach
        self.mean = learnt.last.copy()
        self.at_s = float(learnt.last_s)

    def follow(self, features: StreamFeatures) -> StreamFeatures:
        """The features with what is to be taken off their levels; takes them in.

        A window that is not later than the last one is not taken in.
        """
        shift = np.clip(self.mean - self._usual, self._least, self._most)
        shifted = replace(features, shift=shift)
        now_s = features.start_ns / 1e9
        step_s = min(max(now_s - self.at_s, 0.0), _LONGEST_STEP * MEMORY_S)
        weight = -math.expm1(-step_s / MEMORY_S)
        away = np.where(features.present, features.places[:, 0] - self.mean, 0.0)
        most = self._fastest * step_s
        self.mean += np.clip(weight * away, -most, most)
        self.at_s = max(self.at_s, now_s)
        return shifted


def learn_level(
    features: Sequence[StreamFeatures],
) -> tuple[LearntLevel, list[StreamFeatures]]:
    """Run over the learnt windows, in the order of time; at least one.

    Returns:
        Where that leads, and the features with what is to be taken off their levels.
    """
    levels = np.stack([f.places[:, 0] for f in features]).astype(np.float64)
    seen = np.stack([f.present for f in features])
    mean, begin_s = _mean_of(levels, seen), np.asarray(features[0].start_ns / 1e9)
    any_speed = np.full_like(mean, _ANY)
    free = LearntLevel(np.zeros_like(mean), mean, any_speed, begin_s, unbounded(len(mean)))
    means, _ = _run(free, features)
    begin = replace(free, fastest=_fastest(means, features))
    means, running = _run(begin, features)
    usual = means.mean(axis=0)
    shifted = [replace(f, shift=m - usual) for f, m in zip(features, means, strict=True)]
    low, high = means.min(axis=0) - usual, means.max(axis=0) - usual
    reach = np.stack([low - (high - low), high + (high - low)])
    end = LearntLevel(usual, running.mean, begin.fastest, np.asarray(running.at_s), reach)
    return end, shifted


def unbounded(places: int) -> Array:
    """A reach without end, as models have that were made before there was one."""
    return np.stack([np.full(places, -np.inf), np.full(places, np.inf)])


def _run(begin: LearntLevel, features: Sequence[StreamFeatures]) -> tuple[Array, RunningLevel]:
    """The running mean before each window, ``(n, P)``, and what it is after them."""
    running = RunningLevel(begin)
    means = np.zeros((len(features), len(begin.last)))
    for row, one in enumerate(features):
        means[row] = running.mean
        running.follow(one)
    return means, running


def _fastest(means: Array, features: Sequence[StreamFeatures]) -> Array:
    """How fast each mean moved in all but the fastest hundredth of the windows, ``(P,)``."""
    seconds = np.diff([f.start_ns for f in features]) / 1e9
    steps = np.minimum(seconds, _LONGEST_STEP * MEMORY_S)[:, None]
    speeds = np.abs(np.diff(means, axis=0)) / np.maximum(steps, 1e-9)
    return np.asarray(np.quantile(speeds, _FASTEST, axis=0))


def _mean_of(levels: Array, seen: npt.NDArray[np.bool_]) -> Array:
    total = np.where(seen, levels, 0.0).sum(axis=0)
    return np.asarray(total / np.maximum(seen.sum(axis=0), 1))


class _Kept(msgspec.Struct, frozen=True):
    """One stream's running mean as bytes."""

    at_s: float
    mean: bytes


_KEPT_DECODER = msgspec.msgpack.Decoder(dict[str, _Kept])


class RunningLevels:
    """Those of all streams of a scene that have one.

    Args:
        learnt: By name of the stream.
    """

    def __init__(self, learnt: Mapping[str, LearntLevel]) -> None:
        self._running = {name: RunningLevel(one) for name, one in learnt.items()}

    def follow(self, features: Mapping[str, StreamFeatures]) -> dict[str, StreamFeatures]:
        """As `RunningLevel.follow`, for one window's features by stream."""
        return {
            name: self._running[name].follow(one) if name in self._running else one
            for name, one in features.items()
        }

    def state(self) -> bytes:
        """Everything remembered."""
        kept = {n: _Kept(one.at_s, one.mean.tobytes()) for n, one in self._running.items()}
        return msgspec.msgpack.encode(kept)

    def restore(self, state: bytes) -> Self:
        """Go on from `state`'s bytes.

        Raises:
            StoreError: They are not the running levels of such a scene.
        """
        try:
            kept = _KEPT_DECODER.decode(state)
            means = {name: np.frombuffer(one.mean, np.float64) for name, one in kept.items()}
        except (msgspec.MsgspecError, ValueError) as error:
            raise StoreError(f"the saved running levels cannot be read: {error}") from error
        if {n: m.shape for n, m in means.items()} != {
            n: one.mean.shape for n, one in self._running.items()
        }:
            raise StoreError("the saved running levels are of another model")
        for name, running in self._running.items():
            running.mean, running.at_s = means[name].copy(), kept[name].at_s
        return self
