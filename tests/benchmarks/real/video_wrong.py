"""What goes wrong before a camera: things put into footage at exact times and places.

People and cars come as cutouts of real footage, what is normal from the stretch that is learnt,
what is foreign from other clips. Where they go, how tall they are there and how fast the usual
ones are is taken from the learnt stretch too. A picture counts as wrong while at least half of
what was put in is inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.benchmarks.real.video_files import Clip, Cutout, Floats, Pictures, paste

Flags = npt.NDArray[np.bool_]
Random = np.random.Generator

_LINES = 60  # tried for one that nobody took
_CALM_S = 4.0  # at least, between two events
_PLAYED_S = 4.0  # an event of footage played otherwise; twice as long between two


@dataclass(frozen=True)
class Place:
    """A scene of the benchmark.

    Attributes:
        name: What it is called.
        learn: Its normal.
        judge: The footage that follows, into which things are put.
        usual: Cutouts of the learnt stretch.
        foreign: Cutouts of other clips.
    """

    name: str
    learn: Clip
    judge: Clip
    usual: Sequence[Cutout]
    foreign: Sequence[Cutout]

    def height_at(self, foot: float) -> float:
        """How tall the usual things are whose foot is on a row, pixels; a line through all."""
        feet = np.concatenate([one.path[:, 1] for one in self.usual])
        tall = np.concatenate([[len(mask) for mask in one.masks] for one in self.usual])
        slope, base = np.polyfit(feet, tall, 1)
        least = 0.4 * float(np.median(tall))
        return float(max(least, slope * foot + base))

    def step(self, at: Floats, direction: Floats, share: float) -> Floats:
        """A step in a direction at a share of the usual speed, which is so many heights."""
        pace = [np.linalg.norm(one.step) / one.height for one in self.usual]
        brisk = float(np.quantile(pace, 0.75)) * self.height_at(at[1])
        return np.asarray(direction / max(1e-9, float(np.linalg.norm(direction))) * brisk * share)


def spoilt(place: Place, kind: str, seed: int) -> tuple[Pictures, Flags]:
    """The judged footage with events of a kind, and which pictures are wrong.

    Args:
        place: The scene.
        kind: One of `KINDS` or `PACES`.
        seed: Of everything that is drawn.
    """
    if kind in PACES:
        return _replayed(place, PACES[kind])
    random = np.random.default_rng(seed)
    frames, truth = place.judge.frames.copy(), np.zeros(len(place.judge.frames), np.bool_)
    long_s, put = KINDS[kind]
    length = round(long_s * place.judge.rate_hz)
    calm = round(_CALM_S * place.judge.rate_hz)
    count = max(1, (len(frames) - calm) // (length + calm))
    for number in range(count):
        slack = (len(frames) - calm - count * (length + calm)) // count
        first = calm + number * (length + calm + max(0, slack))
        put(place, frames, truth, slice(first, min(len(frames), first + length)), random)
    return frames, truth


def _moved(
    frames: Pictures,
    truth: Flags,
    when: slice,
    thing: Cutout,
    path: Callable[[int], tuple[float, float]],
    tall: Callable[[float], float],
    pace: float,
) -> None:
    """Put a thing into some pictures along a path; `pace` of its own pictures to each."""
    for count, row in enumerate(range(when.start, when.stop)):
        middle, foot = path(count)
        own = int(count * pace) % (2 * len(thing.pictures) - 1)
        shown = min(own, 2 * len(thing.pictures) - 2 - own)  # there and back again
        picture, mask = thing.pictures[shown], thing.masks[shown]
        inside = paste(frames[row], picture, mask, middle, foot, tall(foot))
        truth[row] |= inside


def _line(at: Floats, step: Floats, length: int) -> Callable[[int], tuple[float, float]]:
    """A straight path that is at a point in the middle of its time."""
    begin = at - step * (length / 2)
    return lambda count: (float(begin[0] + step[0] * count), float(begin[1] + step[1] * count))


def _spot(place: Place, random: Random) -> tuple[Cutout, Floats]:
    """A usual thing and where it once was."""
    thing = place.usual[int(random.integers(len(place.usual)))]
    return thing, thing.path[len(thing.path) // 2]


def _one_of(things: Sequence[Cutout], random: Random) -> Cutout:
    return things[int(random.integers(len(things)))]


def _foreign(place: Place, frames: Pictures, truth: Flags, when: slice, random: Random) -> None:
    """Something from elsewhere passes where others pass, hardly faster than they."""
    way, at = _spot(place, random)
    path = _line(at, place.step(at, way.step, 1.2), when.stop - when.start)
    thing = _one_of(place.foreign, random)
    _moved(frames, truth, when, thing, path, lambda foot: 1.1 * place.height_at(foot), 0.0)


def _rider(place: Place, frames: Pictures, truth: Flags, when: slice, random: Random) -> None:
    """Somebody on something: does not walk, twice as fast as others."""
    rider, at = _spot(place, random)
    step = place.step(at, rider.step, 2.0)
    path, under = _line(at, step, when.stop - when.start), _one_of(place.foreign, random)
    _moved(frames, truth, when, under, path, lambda foot: 0.4 * place.height_at(foot), 0.0)

    def above(count: int) -> tuple[float, float]:
        middle, foot = path(count)
        return middle, foot - 0.25 * place.height_at(foot)

    _moved(frames, truth, when, rider, above, lambda foot: 0.9 * place.height_at(foot), 0.0)


def _fast(place: Place, frames: Pictures, truth: Flags, when: slice, random: Random) -> None:
    """One of those who pass, three times as fast."""
    thing, at = _spot(place, random)
    path = _line(at, place.step(at, thing.step, 3.0), when.stop - when.start)
    _moved(frames, truth, when, thing, path, place.height_at, 3.0)


def _astray(place: Place, frames: Pictures, truth: Flags, when: slice, random: Random) -> None:
    """One of those who pass, where nobody passes, across the usual way."""
    thing, length = _one_of(place.usual, random), when.stop - when.start
    used = _used(place.learn)
    high, wide = used.shape
    best: tuple[float, Floats, Floats] | None = None
    for _ in range(_LINES):
        at = np.array([random.uniform(0.15, 0.85) * wide, random.uniform(0.45, 0.95) * high])
        across = np.array([-thing.step[1], thing.step[0]])
        step = place.step(at, across + random.normal(0, 0.2, 2) * np.linalg.norm(across), 1.0)
        points = at + np.linspace(-0.5, 0.5, 9)[:, None] * step * length
        rows = points[:, 1].clip(0, high - 1).astype(int)
        columns = points[:, 0].clip(0, wide - 1).astype(int)
        score = float(used[rows, columns].mean())
        if best is None or score < best[0]:
            best = score, at, step
    if best is not None:
        path = _line(best[1], best[2], length)
        _moved(frames, truth, when, thing, path, place.height_at, 1.0)


def _used(clip: Clip) -> Floats:
    """How often each pixel showed something else than what is usual there, ``(H, W)``."""
    away = [(np.abs(f.astype(np.int16) - clip.empty).max(axis=2) > 40) for f in clip.frames[::4]]
    return np.asarray(np.mean(away, axis=0))


def _loiter(place: Place, frames: Pictures, truth: Flags, when: slice, random: Random) -> None:
    """One of those who pass stays where they pass, hardly moving."""
    thing, at = _spot(place, random)

    def path(count: int) -> tuple[float, float]:
        return float(at[0] + 1.5 * np.sin(count / 9)), float(at[1])

    _moved(frames, truth, when, thing, path, place.height_at, 0.0)


def _left(place: Place, frames: Pictures, truth: Flags, when: slice, random: Random) -> None:
    """Something small from elsewhere is left where others pass."""
    at, thing = _spot(place, random)[1], _one_of(place.foreign, random)
    path = _line(at, np.zeros(2), when.stop - when.start)
    _moved(frames, truth, when, thing, path, lambda foot: 0.45 * place.height_at(foot), 0.0)


def _thrown(place: Place, frames: Pictures, truth: Flags, when: slice, random: Random) -> None:
    """Something small flies in an arc."""
    at, thing = _spot(place, random)[1], _one_of(place.foreign, random)
    tall, length = place.height_at(at[1]), when.stop - when.start
    step = (1.0 if random.random() < 0.5 else -1.0) * 4.0 * tall / length

    def path(count: int) -> tuple[float, float]:
        share = 2.0 * count / length - 1.0
        return float(at[0] + step * (count - length / 2)), float(
            at[1] - 1.5 * tall * (1 - share**2)
        )

    _moved(frames, truth, when, thing, path, lambda _: 0.3 * tall, 0.0)


def _replayed(place: Place, pace: int) -> tuple[Pictures, Flags]:
    """The footage itself, again and again at another pace; it goes on from where that has led."""
    count = len(place.judge.frames)
    length = round(_PLAYED_S * place.judge.rate_hz)
    rows: list[int] = [0]
    truth: list[bool] = [False]
    while len(rows) < count:
        wrong = len(rows) % (3 * length) >= 2 * length
        at = rows[-1] + (pace if wrong else 1)
        if not 0 <= at < count:
            break
        rows.append(at)
        truth.append(wrong)
    return place.judge.frames[rows], np.array(truth)


Put = Callable[[Place, Pictures, Flags, slice, Random], None]

KINDS: Mapping[str, tuple[float, Put]] = {
    "foreign": (4.0, _foreign),
    "rider": (3.0, _rider),
    "fast": (3.0, _fast),
    "astray": (4.0, _astray),
    "loiter": (6.0, _loiter),
    "left": (6.0, _left),
    "thrown": (1.5, _thrown),
}
"""How long an event of each kind of put-in thing is, seconds, and what puts it in."""

PACES: Mapping[str, int] = {"sped up": 3, "backwards": -1}
"""Pace of the kinds in which the footage itself is played otherwise."""
