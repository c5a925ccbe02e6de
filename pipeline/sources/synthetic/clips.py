"""Short sounds, made once per place and rate: steps, the door, birds, and the room's echo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.sources.synthetic.chance import Chance, Floats
from pipeline.sources.synthetic.place import Place

Wave: TypeAlias = npt.NDArray[np.float32]

STEP_S = 0.34
SLAM_S = 0.5
CREAK_S = 1.1
CHIRP_S = 0.3


@dataclass(frozen=True, slots=True)
class Clips:
    """Sounds of one place, each float32 ``(N,)`` with a peak of 1.

    Attributes:
        steps: By shoe, then three varieties each.
        creak: The door opening.
        slam: The door falling shut.
        chirps: By voice.
    """

    steps: tuple[tuple[Wave, ...], ...]
    creak: Wave
    slam: Wave
    chirps: tuple[Wave, ...]


def make_clips(place: Place, hz: int) -> Clips:
    """All short sounds of a place at a sampling rate."""
    chance = Chance(place.number, "clips")
    room = echo(place, hz)
    steps = tuple(
        tuple(_step(chance.at(10 * shoe + kind), shoe, hz, room) for kind in range(3))
        for shoe in range(4)
    )
    chirps = tuple(_chirp(chance.at(100 + voice), hz, room) for voice in range(4))
    creak, slam = _creak(chance.at(200), hz, room), _slam(chance.at(201), hz, room)
    return Clips(steps, creak, slam, chirps)


def echo(place: Place, hz: int) -> Floats:
    """Impulse response of the room: the direct sound, then decaying noise."""
    count = max(int(place.reverb_s * hz), 2)
    t = np.arange(count) / hz
    tail = Chance(place.number, "echo").at().standard_normal(count)
    tail *= np.exp(-6.9 * t / place.reverb_s) * np.minimum(t / 0.006, 1.0)
    response: Floats = 0.55 * tail / np.sqrt(np.sum(tail**2) + 1e-12)
    response[0] = 1.0
    return response


def in_room(dry: Floats, room: Floats, hz: int, length_s: float) -> Wave:
    """A dry sound heard in the room, faded out at `length_s`, peak 1."""
    count = int(length_s * hz)
    size = 1 << (len(dry) + len(room)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(room, size), size)[:count]
    wet = np.pad(wet, (0, max(count - len(wet), 0)))
    fade = np.minimum((count - np.arange(count)) / (0.25 * count), 1.0)
    wet *= fade * np.minimum(np.arange(count) / (0.0005 * hz), 1.0)
    return (wet / max(float(np.abs(wet).max()), 1e-9)).astype(np.float32)


def band(rng: np.random.Generator, count: int, hz: int, low_hz: float, high_hz: float) -> Floats:
    """Noise between two frequencies, deviation 1; edges fall off over half an octave."""
    freq = np.fft.rfftfreq(count, 1 / hz)
    up = np.clip(np.log2(np.maximum(freq, 1.0) / low_hz) * 2 + 1, 0, 1)
    down = np.clip(np.log2(high_hz / np.maximum(freq, 1.0)) * 2 + 1, 0, 1)
    wave = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * up * down, count)
    result: Floats = wave / max(float(wave.std()), 1e-9)
    return result


def _step(rng: np.random.Generator, shoe: int, hz: int, room: Floats) -> Wave:
    """Heel and sole: a low thump, a click, and the sole 60 ms later."""
    t = np.arange(int(0.16 * hz)) / hz
    hard = (0.15, 0.4, 0.75, 1.1)[shoe] * rng.uniform(0.8, 1.2)
    pitch = rng.uniform(75, 120)
    thump = np.sin(2 * np.pi * pitch * t * np.exp(-4 * t)) * np.exp(-t / 0.028)
    click = band(rng, len(t), hz, 700.0, min(2600.0 + 900 * shoe, 0.45 * hz))
    sole = 0.45 * np.exp(-np.maximum(t - 0.06, 0) / 0.014) * (t > 0.06)
    dry = thump + 0.3 * hard * click * (np.exp(-t / 0.005) + sole)
    return in_room(dry, room, hz, STEP_S)


def _creak(rng: np.random.Generator, hz: int, room: Floats) -> Wave:
    """Handle, then a hinge that sticks and slips at a rising rate."""
    t = np.arange(int(0.8 * hz)) / hz
    rate = 70 + 110 * t / 0.8 + 8 * np.sin(2 * np.pi * 5 * t)
    phase = np.cumsum(rate) / hz
    grit = (1 - (phase % 1.0)) ** 6
    tone = band(rng, len(t), hz, 500.0, min(1900.0, 0.45 * hz))
    ring = np.sin(2 * np.pi * 610 * t) + 0.6 * np.sin(2 * np.pi * 1270 * t)
    swell = np.sin(np.pi * np.clip((t - 0.08) / 0.72, 0, 1)) ** 0.7
    handle = band(rng, len(t), hz, 900.0, min(3400.0, 0.45 * hz)) * np.exp(-t / 0.012)
    return in_room(grit * (0.5 * ring + 0.35 * tone) * swell + 0.5 * handle, room, hz, CREAK_S)


def _slam(rng: np.random.Generator, hz: int, room: Floats) -> Wave:
    """A heavy thud with a rattle of the lock."""
    t = np.arange(int(0.3 * hz)) / hz
    thud = sum(
        np.sin(2 * np.pi * f * t + p) * np.exp(-t / d)
        for f, p, d in ((58.0, 0.2, 0.07), (97.0, 1.0, 0.05), (171.0, 0.4, 0.03))
    )
    rattle = band(rng, len(t), hz, 800.0, min(3000.0, 0.45 * hz))
    dry = thud + rattle * (0.5 * np.exp(-t / 0.006) + 0.25 * np.exp(-((t - 0.045) ** 2) / 2e-5))
    return in_room(np.asarray(dry), room, hz, SLAM_S)


def _chirp(rng: np.random.Generator, hz: int, room: Floats) -> Wave:
    t = np.arange(int(0.11 * hz)) / hz
    top = 0.42 * hz
    low, high = min(rng.uniform(1900, 2900), 0.7 * top), min(rng.uniform(3200, 5200), top)
    way = np.clip(t / 0.11, 0, 1)
    pitch = low + (high - low) * (np.sin(np.pi * way) if rng.random() < 0.5 else 1 - way)
    dry = np.sin(2 * np.pi * np.cumsum(pitch) / hz) * np.sin(np.pi * way) ** 2
    return in_room(dry, 0.5 * room, hz, CHIRP_S)
