"""Material of the real composite, read from the recordings beside the checkout.

``video_intel`` shows three people, each once, and the empty room between them: one each is
learnt, calibrated with, and judged. ``dcase2016_office`` has a dozen samples a class: five,
three and four. ``ambience_blanket`` is cut in three. Sessions of ``room_climate`` are dealt out.
Of a file of ``skab`` the pump's first normal stretch is learnt, the next one calibrates, later
ones are judged, and its faults are the faults. What is strange in the picture walks in
``video_vtest``; sounds that never happen are classes of the office that are never played
otherwise, and those of ``max_samples``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from pipeline.training.metrics import Bools
from tests.benchmarks.real.composite_material import (
    Cast,
    Clip,
    CutOut,
    Floats,
    Group,
    Material,
    Pictures,
    Session,
    Sound,
)
from tests.benchmarks.real.skab import read as read_pump
from tests.benchmarks.synthetic_sites import SOUND_HZ
from tests.imported_site import read_footage, read_sound

SIZE = (320, 180)
CLIMATE_STEP_S = 2.0
PUMP_NAMES = ("vibration-1", "vibration-2", "current", "pressure", "heat", "case", "volts", "flow")
_VISITS = (
    ((57, 86), (86, 178), (178, 205)),
    ((224, 251), (251, 428), (428, 454)),
    ((498, 526), (526, 681), (681, 704)),
)
_EMPTY = ((0, 56), (206, 223), (456, 497))
_NODES = (1, 4)
_CLIMATE = ("temperature", "humidity", "light", "light-2")
_LEVELS = (21.3, 45.0, 220.0, 800.0)
_CUTS = (0.0, 0.4, 0.65, 1.0)  # shares of a stretch that the groups have


@dataclass(frozen=True, slots=True)
class Choice:
    """Which recordings a site is made of.

    Attributes:
        seed: Of everything that is drawn.
        people: Who is in each group.
        rooms: Which stretch of the empty room is in each group.
        samples: Which sample of each class of sounds is the first to be dealt out.
        floor: What is always heard.
        unseen: Classes of office sounds that never happen.
        others: Further sounds that never happen, of ``max_samples``.
        sessions: First and last of the climate sessions; every third is in the same group.
        pump: File of the pump.
    """

    seed: int
    people: tuple[int, int, int]
    rooms: tuple[int, int, int]
    samples: int
    floor: str
    unseen: tuple[str, ...]
    others: tuple[str, ...]
    sessions: tuple[int, int]
    pump: str


def cast(data: Path, choice: Choice) -> Cast:
    """Read all material of a site."""
    climate = tuple(f"{name}@{node}" for node in _NODES for name in _CLIMATE)
    return Cast(tuple(_material(data, choice, group) for group in Group), climate + PUMP_NAMES)


def _material(data: Path, choice: Choice, group: Group) -> Material:
    clips, empty = footage(data / "video_intel" / "one-by-one-person-detection.mp4")
    office = data / "dcase2016_office" / "train" / "sound"
    floor = read_sound(data / "ambience_blanket" / f"{choice.floor}.ogg", SOUND_HZ)
    hum = read_sound(data / "ambience_blanket" / "pink-noise.ogg", SOUND_HZ)
    names = sorted({path.stem.rstrip("0123456789") for path in office.glob("*.wav")})
    running, resting, broken = _pump(data / "skab" / "valve1" / f"{choice.pump}.csv", group)
    low, high = choice.sessions
    sessions = [n for n in range(low, high + 1) if n % len(Group) == group]
    others = [data / "max_samples" / f"{name}.wav" for name in choice.others]
    return Material(
        clips=(clips[choice.people[group]],),
        empty=(empty[choice.rooms[group]],),
        strange=_strange(data / "video_vtest" / "vtest.avi", choice.seed),
        floor=_cut(floor, group),
        sounds={name: _samples(office, name, choice.samples, group) for name in names},
        unseen=tuple(
            _sample(path)
            for path in (*_paths(office, choice.unseen, choice.samples, group), *others)
        ),
        hum=_low(_cut(hum, group)),
        climate=tuple(_session(data, n) for n in sessions),
        running=running,
        resting=resting,
        broken=broken,
    )


@cache
def footage(path: Path) -> tuple[tuple[Clip, ...], tuple[Pictures, ...]]:
    """The visits of ``video_intel``, and stretches of the empty room before each."""
    frames = np.stack(read_footage(path, SIZE))
    clips = tuple(Clip(*(frames[low:high] for low, high in visit)) for visit in _VISITS)
    return clips, tuple(frames[low:high] for low, high in _EMPTY)


def _cut(sound: Sound, group: Group) -> Sound:
    low, high = (round(share * len(sound)) for share in _CUTS[group : group + 2])
    return sound[low:high]


def _low(sound: Sound, taps: int = 24) -> Sound:
    """What is low in it: the hum of a machine instead of a hiss."""
    return np.convolve(sound, np.hanning(taps + 2)[1:-1], "same").astype(np.float32)


def _paths(office: Path, names: Iterable[str], first: int, group: Group) -> list[Path]:
    found: list[Path] = []
    for name in names:
        files = sorted(office.glob(f"{name}[0-9]*.wav"))
        dealt = [*files[first:], *files[:first]]
        low, high = (round(share * len(dealt)) for share in _CUTS[group : group + 2])
        found += dealt[low:high]
    return found


def _samples(office: Path, name: str, first: int, group: Group) -> tuple[Sound, ...]:
    return tuple(_sample(path) for path in _paths(office, [name], first, group))


@cache
def _sample(path: Path) -> Sound:
    """A sound whose loudest tenth of a second has power 1."""
    sound = read_sound(path, SOUND_HZ)
    piece = SOUND_HZ // 10
    whole = np.pad(sound, (0, -len(sound) % piece)).reshape(-1, piece)
    return sound / np.float32(np.sqrt((whole**2).mean(axis=1).max()) + 1e-9)


@cache
def _session(data: Path, number: int) -> Session:
    """Two places of a room every two seconds."""
    folder = data / "room_climate" / "datasets-location_A"
    table = np.genfromtxt(
        folder / f"room_climate-location_A-measurement{number:02d}.csv", delimiter=","
    )
    seconds = (table[:, 1] - table[0, 1]) / 1e3
    grid = np.arange(10.0, seconds[-1] - 10.0, CLIMATE_STEP_S)
    nearest = np.clip(np.searchsorted(seconds, grid), 0, len(table) - 1)
    done = np.where(table[nearest, 8] > 0, table[nearest, 9], 0).astype(np.int64)
    rows = np.concatenate([_node(table, seconds, grid, node) for node in _NODES], axis=1)
    usual = np.median(rows[done == 0], axis=0)
    levels = np.tile(_LEVELS, len(_NODES))
    light = np.tile([False, False, True, True], len(_NODES))
    return Session(np.where(light, rows / usual * levels, rows - usual + levels), done)


def _node(table: Floats, seconds: Floats, grid: Floats, node: int) -> Floats:
    own = table[:, 3] == node
    columns = [np.interp(grid, seconds[own], table[own, 4 + n]) for n in range(len(_CLIMATE))]
    return np.stack(columns, axis=1)


def _pump(path: Path, group: Group) -> tuple[Floats, Floats, Floats]:
    """Readings of the pump at work, at rest, and with a fault."""
    values, wrong = read_pump(path)
    first = int(np.flatnonzero(wrong)[0])
    low, high = (round(share * first) for share in _CUTS[group : group + 2])
    running = values[low:high]
    if group is Group.JUDGE:
        running = np.concatenate([running, values[-60:]])  # after the fault
    resting = np.where([1, 1, 1, 1, 0, 0, 0, 1], 0.0, np.median(values[:first], axis=0))
    return running, resting, values[wrong]


@cache
def _strange(path: Path, seed: int) -> tuple[CutOut, ...]:
    """People cut out of another scene, by what differs from its median."""
    frames = np.stack(read_footage(path, (768, 576), every=8))
    behind = np.median(frames[::4], axis=0)
    found: list[CutOut] = []
    for frame in frames[seed % 2 :: 2]:
        found += _cut_outs(frame, np.abs(frame - behind).max(axis=2) > 35)
    return tuple(found)


def _cut_outs(frame: Pictures, moving: Bools) -> list[CutOut]:
    closed = cv2.morphologyEx(moving.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    _, marks, about, _ = cv2.connectedComponentsWithStats(closed)
    found: list[CutOut] = []
    for number, (x, y, wide, high, area) in enumerate(about):
        if number and area > 1800 and 1.5 * wide < high and area > 0.5 * wide * high:
            place = slice(y, y + high), slice(x, x + wide)
            found.append(
                CutOut(*(_smaller(part) for part in (frame[place], marks[place] == number)))
            )
    return found


def _smaller(part: Pictures | Bools) -> Floats:
    size = (part.shape[1] * 6 // 10, part.shape[0] * 6 // 10)
    small = cv2.resize(part.astype(np.float64), size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float64)
