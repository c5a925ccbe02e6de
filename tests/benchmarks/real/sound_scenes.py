"""Scenes of one microphone made of real sounds: a background, what is usual there, and events.

Of each recording of a background the first half is learnt and the second half judged; nothing
of one is in the other. Both are drawn to a useful length (`sound_files.drawn`), so a scene is
told with how many seconds of its own each half has. A scene may have *usual* kinds of sounds,
which occur in all of its parts: half of their clips in what is learnt, the others in what is
judged. Events are of other kinds, each at a random place of its stretch of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import AudioSlice, Window
from pipeline.training.labels import Label
from pipeline.training.metrics import Bools
from tests.benchmarks.real.sound_files import (
    RATE_HZ,
    Clip,
    Sound,
    add_clip,
    drawn,
    moments,
    read_sound,
)

SCENE = "place"
INFO = StreamInfo("microphone", Modality.AUDIO, float(RATE_HZ), (1,), "float32")
HOP_NS = 500_000_000
HOPS = 4  # of a window
HOP = RATE_HZ // 2
SNRS_DB = (6, 0, -6)
EVERY_S = 12.0  # from one event to the next
USUAL_EVERY_S = 8.0
USUAL_SNR_DB = (0.0, 10.0)
_LEVEL = 0.02  # root mean square of a background; full scale is 1


@dataclass(frozen=True, slots=True)
class Place:
    """A background and what is heard there.

    Attributes:
        name: Name of the scene.
        path: Its recording, under the folder of recordings.
        usual: Kinds of sounds that are normal there.
        never: Kinds that the recording itself may hold, so that they cannot be events.
    """

    name: str
    path: str
    usual: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lengths:
    """Seconds of each part of a scene."""

    learn_s: float = 1200.0
    fresh_s: float = 1200.0
    test_s: float = 480.0


@dataclass(frozen=True, slots=True)
class Scene:
    """The sound of a scene, each part ``(n,)``.

    Attributes:
        name: Its place.
        learnt: Normal that is learnt.
        fresh: Normal from the other half, to count false alarms on.
        tests: Per SNR the sound with events, and what they are; seconds from its beginning.
        own_s: Length of the half that is learnt before it was drawn out, seconds.
    """

    name: str
    learnt: Sound
    fresh: Sound
    tests: Mapping[int, tuple[Sound, tuple[Label, ...]]]
    own_s: float


def make_scene(
    place: Place,
    data: Path,
    clips: Mapping[str, Sequence[Clip]],
    kinds: Sequence[str],
    lengths: Lengths,
    seed: int,
) -> Scene:
    """Make a scene; the same arguments give the same one.

    Args:
        place: Where.
        data: Folder of recordings.
        clips: All sounds by kind.
        kinds: Kinds that may be events, without those of the place itself.
        lengths: Of its parts.
        seed: Of all that is random.
    """
    whole = read_sound(data / place.path)
    whole = whole * np.float32(_LEVEL / np.sqrt(np.square(whole, dtype=np.float64).mean()))
    first, second = np.array_split(whole, 2)
    random = np.random.default_rng(seed)
    usual = [clip for kind in place.usual for clip in clips[kind]]
    events = [(k, c) for k in kinds if k not in place.usual + place.never for c in clips[k]]
    _, learnt = _parts(first, usual[::2], lengths.learn_s, random)
    _, fresh = _parts(second, usual[1::2], lengths.fresh_s, random)
    background, track = _parts(second, usual[1::2], lengths.test_s, random)
    chosen = _chosen(events, len(track), random)
    tests = {snr_db: _with_events(background, track, chosen, snr_db) for snr_db in SNRS_DB}
    return Scene(place.name, learnt, fresh, tests, len(first) / RATE_HZ)


def windows(track: Sound, first: int) -> Iterator[Window]:
    """Windows of 2 s, every 0.5 s, of a part whose first window has index `first`."""
    for at in range(len(track) // HOP - HOPS + 1):
        samples = track[at * HOP : (at + HOPS) * HOP, None]
        index = first + at
        piece = AudioSlice(INFO, samples, np.ones(len(samples), np.bool_), 1.0)
        yield Window(SCENE, index, index * HOP_NS, (index + HOPS) * HOP_NS, {INFO.name: piece})


def touched(labels: Sequence[Label], count: int) -> Bools:
    """Which of `count` windows hold any of an event, ``(count,)``."""
    begin = np.arange(count) * HOP_NS / 1e9
    end = begin + HOPS * HOP_NS / 1e9
    found = np.zeros(count, np.bool_)
    for label in labels:
        found |= (begin < label.end_s) & (end > label.start_s)
    return found


def _parts(
    portion: Sound, usual: Sequence[Clip], length_s: float, random: np.random.Generator
) -> tuple[Sound, Sound]:
    """The bare background, and the same with what is usual in it."""
    background = drawn(portion, round(length_s * RATE_HZ), random)
    track = background.copy()
    longest = max((len(clip.samples) for clip in usual), default=0)
    for at in moments(len(track), round(USUAL_EVERY_S * RATE_HZ), longest, random):
        if usual:
            clip = usual[int(random.integers(len(usual)))]
            add_clip(track, clip, at, float(random.uniform(*USUAL_SNR_DB)), background)
    return background, track


def _chosen(
    events: Sequence[tuple[str, Clip]], length: int, random: np.random.Generator
) -> list[tuple[int, str, Clip]]:
    """First sample, kind and clip of each event; kinds take turns, their clips are drawn."""
    kinds = sorted({kind for kind, _ in events})
    longest = max(len(clip.samples) for _, clip in events)
    found = []
    for turn, at in enumerate(moments(length, round(EVERY_S * RATE_HZ), longest, random)):
        kind = kinds[turn % len(kinds)]
        same = [clip for of, clip in events if of == kind]
        found.append((at, kind, same[int(random.integers(len(same)))]))
    return found


def _with_events(
    background: Sound, track: Sound, chosen: Sequence[tuple[int, str, Clip]], snr_db: int
) -> tuple[Sound, tuple[Label, ...]]:
    sound, labels = track.copy(), []
    for at, kind, clip in chosen:
        add_clip(sound, clip, at, snr_db, background)
        start_s = at / RATE_HZ
        audio = (Modality.AUDIO.value,)
        labels.append(Label(start_s, start_s + clip.length_s, kind, audio, clip.name))
    return sound, tuple(labels)
