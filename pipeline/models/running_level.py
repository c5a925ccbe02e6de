"""The level of the last hours, which a sensor that was learnt for days is judged against.

Over days and weeks load grows, processes are moved, filters clog: levels go where they never
were while they were learnt, and stay there. Once some days were learnt it is known how far
levels go from what they were in the last hours; so what is judged is that, and not where they
are. A running mean follows each channel, and its distance from its own mean in the learnt time
is taken off the channel's level. The daily profile (`pipeline.models.cycle`) comes after it.

The running mean is a function of the windows in their order. It starts where learning left
it; while nothing is seen it stays, and a gap of any length counts as little as a tenth of its
memory, so that one window never moves it by more.

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


@dataclass(frozen=True, slots=True)
class LearntLevel:
    """Running mean of a stream's levels as learning left it.

    Attributes:
        usual: Its mean over the learnt time, ``(P,)``.
        last: Its last value, ``(P,)``.
        last_s: Site time of that, ``()``.
    """

    usual: Array
    last: Array
    last_s: Array


class RunningLevel:
    """Follows the levels, column 0, of one stream.

    Args:
        usual: What they are on average, ``(P,)``.
        mean: What they are now, ``(P,)``; copied.
        at_s: Site time of that.
    """

    def __init__(self, usual: Array, mean: Array, at_s: float) -> None:
        self._usual = usual
        self.mean = mean.copy()
        self.at_s = at_s

    def follow(self, features: StreamFeatures) -> StreamFeatures:
        """The features with what is to be taken off their levels; takes them in.

        A window that is not later than the last one is not taken in.
        """
        shifted = replace(features, shift=self.mean - self._usual)
        now_s = features.start_ns / 1e9
        step_s = min(max(now_s - self.at_s, 0.0), _LONGEST_STEP * MEMORY_S)
        weight = -math.expm1(-step_s / MEMORY_S)
        away = np.where(features.present, features.places[:, 0] - self.mean, 0.0)
        self.mean += weight * away
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
    mean = np.nan_to_num(_mean_of(levels, seen))
    running = RunningLevel(np.zeros_like(mean), mean, features[0].start_ns / 1e9)
    followed = [running.follow(one) for one in features]
    shifts = np.stack([one.shift for one in followed if one.shift is not None])
    usual = shifts.mean(axis=0)
    shifted = [replace(f, shift=s - usual) for f, s in zip(followed, shifts, strict=True)]
    return LearntLevel(usual, running.mean, np.asarray(running.at_s)), shifted


def _mean_of(levels: Array, seen: npt.NDArray[np.bool_]) -> Array:
    total = np.where(seen, levels, 0.0).sum(axis=0)
    return np.asarray(total / np.maximum(seen.sum(axis=0), 1))


class _Kept(msgspec.Struct, frozen=True):
    """One stream's running mean as bytes."""

    at_s: float
    mean: bytes


class RunningLevels:
    """Those of all streams of a scene that have one.

    Args:
        learnt: By name of the stream.
    """

    def __init__(self, learnt: Mapping[str, LearntLevel]) -> None:
        self._running = {
            name: RunningLevel(one.usual, one.last, float(one.last_s))
            for name, one in learnt.items()
        }

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
            kept = msgspec.msgpack.decode(state, type=dict[str, _Kept])
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
