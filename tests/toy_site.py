"""A tiny site for tests of the detector: windows with a picture, a sound, sensors and a log.

Each half second is made from its own seed, so overlapping windows share what they overlap.
Someone walks through the lower part now and then and is heard; a pump runs in cycles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import AudioSlice, SensorSlice, Slice, TextSlice, VideoSlice, Window

HOP_NS = 500_000_000
WINDOWS = 480
LENGTH_NS = 2_000_000_000
FIRST = 3_400_000_000  # grid index of the first window: a date in 2023
HEIGHT, WIDTH, FPS = 60, 100, 6
RATE = 8000
SENSOR_HZ = 10

CAMERA = StreamInfo("cam", Modality.VIDEO, FPS, (HEIGHT, WIDTH, 3), "uint8", stamp="exact")
MICROPHONE = StreamInfo("mic", Modality.AUDIO, RATE, (1,), "float32", stamp="exact")
SENSORS = StreamInfo(
    "plc", Modality.SENSOR, SENSOR_HZ, (3,), "float64", "", ("current", "heat", "door")
)
LOG = StreamInfo("log", Modality.TEXT)
ALL = (CAMERA, MICROPHONE, SENSORS, LOG)


@dataclass(frozen=True)
class Chunk:
    frames: tuple[np.ndarray, ...]
    sound: np.ndarray
    readings: np.ndarray
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Site:
    """The site, with what is wrong with it from `wrong_from` to `wrong_to` (hops)."""

    seed: int = 0
    wrong: str = ""
    wrong_from: int = 0
    wrong_to: int = 0
    streams: tuple[StreamInfo, ...] = ALL
    scene: str = "hall"
    missing: frozenset[str] = field(default_factory=frozenset)

    def windows(self, start: int, count: int) -> Iterator[Window]:
        for index in range(start, start + count):
            yield self.window(index)

    def window(self, index: int) -> Window:
        parts = [self._chunk(index + i) for i in range(LENGTH_NS // HOP_NS)]
        start_ns = (FIRST + index) * HOP_NS
        slices = {s.name: self._slice(s, parts, start_ns) for s in self.streams}
        return Window(
            self.scene, FIRST + index, start_ns, start_ns + LENGTH_NS, slices, {"cam": 1000}
        )

    def _chunk(self, hop: int) -> Chunk:
        wrong = self.wrong if self.wrong_from <= hop < self.wrong_to else ""
        return _chunk(self.seed, hop, wrong)

    def _slice(self, info: StreamInfo, parts: list[Chunk], start_ns: int) -> Slice:
        seen = info.name not in self.missing
        coverage = 1.0 if seen else 0.0
        if info.modality is Modality.VIDEO:
            pictures = [f for part in parts for f in part.frames]
            grid = start_ns + np.arange(len(pictures), dtype=np.int64) * (10**9 // FPS)
            frames = tuple(
                Sample(info.name, i, int(t), f, Encoding.RAW) if seen else None
                for i, (t, f) in enumerate(zip(grid, pictures, strict=True))
            )
            return VideoSlice(info, grid, frames, np.full(len(grid), seen), coverage)
        if info.modality is Modality.AUDIO:
            sound = np.concatenate([part.sound for part in parts])[:, None]
            return AudioSlice(info, sound * np.float32(seen), np.full(len(sound), seen), coverage)
        if info.modality is Modality.SENSOR:
            values = np.concatenate([part.readings for part in parts])
            grid = start_ns + np.arange(len(values), dtype=np.int64) * (10**9 // SENSOR_HZ)
            present = np.full(values.shape, seen)
            return SensorSlice(info, grid, np.where(present, values, np.nan), present, coverage)
        lines = tuple(line for part in parts for line in part.lines)
        return TextSlice(info, np.full(len(lines), start_ns, np.int64), lines, coverage)


@lru_cache(maxsize=64)
def _chunk(seed: int, hop: int, wrong: str) -> Chunk:
    rng = np.random.default_rng([seed, hop])
    walk = (hop + 17 * seed) % 37  # someone comes by every 18 s and takes 5 s
    walking = walk < 10 and wrong != "nobody"
    pump = 1.0 if (hop // 24 + seed) % 2 else 0.4
    frames = tuple(_picture(rng, hop, walk + i / 3, walking, wrong) for i in range(FPS // 2))
    return Chunk(
        frames, _sound(rng, hop, walking, pump, wrong), _readings(rng, pump, wrong),
        _lines(rng, hop, wrong),
    )  # fmt: skip


@lru_cache(maxsize=4)
def _backdrop() -> np.ndarray:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    grey = 90 + 40 * np.sin(columns / 9.0) + 30 * np.cos(rows / 7.0)
    return np.stack([grey, grey * 0.9, grey * 0.8], axis=-1)


def _picture(rng, hop: int, place: float, walking: bool, wrong: str) -> np.ndarray:
    light = 1.0 + 0.1 * np.sin(hop / 90)
    picture = _backdrop() * light + rng.normal(0, 2, (HEIGHT, WIDTH, 3))
    if walking:
        left = int(place * 9) % (WIDTH - 8)
        picture[38:56, left : left + 8] = (40, 60, 70)
    if wrong == "object":
        picture[6:16, 62:72] = (30, 30, 220)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _sound(rng, hop: int, walking: bool, pump: float, wrong: str) -> np.ndarray:
    count = RATE // 2
    times = hop / 2 + np.arange(count) / RATE
    sound = rng.normal(0, 0.01, count) + 0.03 * pump * np.sin(2 * np.pi * 100 * times)
    if walking:
        sound[: count // 8] += rng.normal(0, 0.05, count // 8)
    if wrong.startswith("sound"):  # "sound:0.02" is a quieter one
        tone = np.sin(2 * np.pi * 2600 * times[: count // 4])
        sound[count // 4 : count // 2] += float(wrong.partition(":")[2] or 0.05) * tone
    return sound.astype(np.float32)


def _readings(rng, pump: float, wrong: str) -> np.ndarray:
    count = SENSOR_HZ // 2
    values = np.stack(
        [
            4 * pump + rng.normal(0, 0.1, count),
            30 + 2 * pump + rng.normal(0, 0.2, count),
            np.zeros(count),
        ],
        axis=1,
    )
    if wrong == "sensor":
        values[:, 1] += 6.0
    return values


def _lines(rng, hop: int, wrong: str) -> tuple[str, ...]:
    lines = []
    if hop % 6 == 0:
        lines.append(f"cycle {hop} finished in {rng.uniform(1, 2):.2f} s")
    if rng.random() < 0.1:
        lines.append(f"user{rng.integers(9)} logged in")
    if wrong == "text":
        lines.append("kernel panic: segmentation fault in driver")
    return tuple(lines)


@lru_cache(maxsize=1)
def commissioned():
    """The site's model from five minutes of normal, and the report; learnt once a process."""
    import torch

    from pipeline.training.commissioning import commission

    torch.set_num_threads(1)  # tests share few cores; two threads would only wait for each other
    return commission("hall", Site().windows(0, WINDOWS))
