"""What the camera shows and the microphone hears in the real composite.

The camera shows stretches of the empty room and visits cut into them, each at its own pace,
with a little noise of its own so that no two frames are the same. The microphone hears what
never stops, and the sounds of the script over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tests.benchmarks.real.composite_cause import HUM, Cue, Script, Visit
from tests.benchmarks.real.composite_material import Floats, Ints, Material, Pictures, Sound
from tests.benchmarks.synthetic_sites import RATE_HZ, SOUND_HZ

FLOOR_DB, SOUND_DB, HUM_DB = -42.0, -28.0, -40.0
_NOISE = 1.2  # grey levels
_FADE = 5  # frames from one clip into another
_PACE = (0.85, 1.2)
_GAIN = 0.015


class Shown(IntEnum):
    """What is in the picture."""

    EMPTY = 0
    COMING = 1
    STAYING = 2
    LEAVING = 3
    STRANGE = 4


@dataclass(frozen=True, slots=True)
class _Take:
    """Frames of one stretch, and what they show."""

    start: int
    frames: Pictures
    shown: Shown
    gain: float


def pictures(script: Script, material: Material, seed: int) -> Iterator[tuple[Pictures, Shown]]:
    """The picture of each moment, uint8 ``(H, W, 3)``, and what is in it."""
    random = np.random.default_rng([seed, 1])
    count = round(script.length_s * RATE_HZ)
    before: Floats | None = None
    for take in _takes(script, material, count, random):
        for number in range(min(len(take.frames), count - take.start)):
            frame = take.frames[number] * take.gain
            if before is not None and number < _FADE:
                share = (number + 1) / (_FADE + 1)
                frame = share * frame + (1 - share) * before
            last = frame
            frame, strange = _pasted(frame, (take.start + number) / RATE_HZ, script, material)
            noisy = frame + random.normal(0.0, _NOISE, frame.shape[:2])[..., None]
            picture = np.clip(noisy, 0, 255).astype(np.uint8)
            yield picture, Shown.STRANGE if strange else take.shown
        before = last


def _takes(
    script: Script, material: Material, count: int, random: np.random.Generator
) -> Iterator[_Take]:
    at = 0
    for visit in sorted(script.pictured, key=lambda one: one.start_s):
        start = round(visit.start_s * RATE_HZ)
        yield _empty(at, start - at, material, random)
        for take in _visit(visit, start, material, random):
            yield take
            at = take.start + len(take.frames)
    yield _empty(at, count - at, material, random)


def _empty(start: int, length: int, material: Material, random: np.random.Generator) -> _Take:
    room = material.empty[int(random.integers(len(material.empty)))]
    rows = _to_and_fro(int(random.integers(len(room))), length, len(room))
    return _Take(start, room[rows], Shown.EMPTY, 1.0 + random.normal(0.0, _GAIN))


def _visit(
    visit: Visit, start: int, material: Material, random: np.random.Generator
) -> list[_Take]:
    clip = material.clips[visit.person % len(material.clips)]
    pace, gain = random.uniform(*_PACE), 1.0 + random.normal(0.0, _GAIN)
    coming, leaving = (part[_paced(len(part), pace)] for part in (clip.coming, clip.leaving))
    whole = round((visit.end_s - visit.start_s) * RATE_HZ)
    stay = max(1, whole - len(coming) - len(leaving))
    last = len(clip.staying) - 1
    staying = clip.staying[last - _to_and_fro(0, stay, last + 1)[::-1]]
    parts = [(coming, Shown.COMING), (staying, Shown.STAYING), (leaving, Shown.LEAVING)]
    if visit.backwards:
        parts = [(part[::-1], Shown.STRANGE) for part, _ in reversed(parts)]
    takes: list[_Take] = []
    for part, shown in parts:
        takes.append(_Take(start, part, shown, gain))
        start += len(part)
    return takes


def _to_and_fro(first: int, length: int, count: int) -> Ints:
    """Positions in a stretch of `count` frames that is played forwards and backwards."""
    cycle = np.concatenate([np.arange(count), np.arange(count - 2, 0, -1)])
    return cycle[(first + np.arange(length)) % len(cycle)]


def _paced(count: int, pace: float) -> Ints:
    """Positions of the frames of a stretch that is played at another pace."""
    return np.minimum(np.arange(0, count, pace).round().astype(np.int64), count - 1)


def _pasted(frame: Floats, at_s: float, script: Script, material: Material) -> tuple[Floats, bool]:
    """The picture with what is strange in it, if anything is."""
    for span in script.pasted:
        if span.start_s <= at_s < span.end_s:
            random = np.random.default_rng(span.number)
            thing = material.strange[int(random.integers(len(material.strange)))]
            high, wide = thing.mask.shape
            down, right = (
                int(random.integers(max(1, room - size)))
                for room, size in zip(frame.shape, (high, wide), strict=False)
            )
            place = (slice(down, down + high), slice(right, right + wide))
            part = frame[place]
            mask = thing.mask[: part.shape[0], : part.shape[1], None]
            part[...] = mask * thing.picture[: part.shape[0], : part.shape[1]] + (1 - mask) * part
            return frame, True
    return frame, False


def sound(script: Script, material: Material, seed: int) -> Sound:
    """What is heard, int16 ``(samples,)``."""
    random = np.random.default_rng([seed, 2])
    count = round(script.length_s * SOUND_HZ)
    heard = _level(material.floor, FLOOR_DB)[
        _looped(int(random.integers(len(material.floor))), count, len(material.floor))
    ]
    for cue in sorted(script.cues, key=lambda one: one.at_s):
        _mix(heard, round(cue.at_s * SOUND_HZ), _heard(cue, material))
    return (np.clip(heard, -1, 1) * 32_767).astype(np.int16)


def _heard(cue: Cue, material: Material) -> Sound:
    if cue.sort == HUM:
        length = round((cue.length_s or 0.0) * SOUND_HZ)
        rows = _looped(0, length, len(material.hum))
        return _faded(_level(material.hum, HUM_DB + cue.level_db)[rows])
    choice = material.unseen if cue.unseen else material.sounds[cue.sort]
    sample = choice[cue.number % len(choice)] * np.float32(10 ** ((SOUND_DB + cue.level_db) / 20))
    if cue.length_s is None:
        return sample
    return _faded(sample[_looped(0, round(cue.length_s * SOUND_HZ), len(sample))])


def _level(heard: Sound, level_db: float) -> Sound:
    """The same with this power."""
    power = float(np.sqrt(np.mean(heard.astype(np.float64) ** 2))) + 1e-9
    return heard * np.float32(10 ** (level_db / 20) / power)


def _looped(first: int, length: int, count: int) -> Ints:
    return (first + np.arange(length)) % count


def _faded(heard: Sound) -> Sound:
    edge = min(SOUND_HZ // 5, len(heard) // 2)
    ramp = np.ones(len(heard), np.float32)
    ramp[:edge] = np.linspace(0, 1, edge)
    ramp[len(ramp) - edge :] = np.linspace(1, 0, edge)
    faded: Sound = heard * ramp
    return faded


def _mix(heard: Sound, at: int, part: Sound) -> None:
    low, high = max(0, at), min(len(heard), at + len(part))
    if low < high:
        heard[low:high] += part[low - at : high - at]
