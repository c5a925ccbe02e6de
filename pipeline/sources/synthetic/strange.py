"""Sounds that do not belong at the site, made to measure."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pipeline.sources.synthetic.chance import Floats
from pipeline.sources.synthetic.clips import Wave, band, in_room

StrangeKind = Literal["beep", "glass", "hammer", "hiss", "bark", "siren"]
STRANGE: tuple[StrangeKind, ...] = ("beep", "glass", "hammer", "hiss", "bark", "siren")

_TAIL_S = 0.4
_HEARD = 0.003


def strange_sound(
    rng: np.random.Generator, kind: StrangeKind, length_s: float, hz: int, room: Floats
) -> Wave:
    """A strange sound within `length_s`, echo included; peak 1, float32 ``(N,)``.

    It ends where it has died away, so that its length is how long it is heard.
    """
    t = np.arange(max(int((length_s - _TAIL_S) * hz), int(0.1 * hz))) / hz
    make = {
        "beep": _beep,
        "glass": _glass,
        "hammer": _hammer,
        "hiss": _hiss,
        "bark": _bark,
        "siren": _siren,
    }[kind]
    dry = make(rng, t, hz)
    dry *= np.minimum(np.minimum(t, t[-1] - t) / 0.004, 1.0)
    wave = in_room(dry, room, hz, length_s)
    last = int(np.nonzero(np.abs(wave) > _HEARD)[0][-1]) + 1
    fade = np.minimum((last - np.arange(last)) / (0.005 * hz), 1.0)
    return (wave[:last] * fade).astype(np.float32)


def _beep(rng: np.random.Generator, t: Floats, hz: int) -> Floats:
    pitch, rate = rng.uniform(900, min(2600, 0.4 * hz)), rng.uniform(2.0, 4.0)
    gate = ((t * rate) % 1.0 < 0.5).astype(np.float64)
    wave: Floats = np.sign(np.sin(2 * np.pi * pitch * t)) * 0.3 + np.sin(2 * np.pi * pitch * t)
    return wave * gate


def _glass(rng: np.random.Generator, t: Floats, hz: int) -> Floats:
    wave = band(rng, len(t), hz, 1800.0, 0.45 * hz) * np.exp(-t / 0.05)
    for _ in range(26):
        at = rng.exponential(0.22) if t[-1] > 0.6 else rng.uniform(0, t[-1] / 2)
        pitch, fade = rng.uniform(0.12, 0.45) * hz, rng.uniform(0.02, 0.12)
        since = t - at
        ring = np.sin(2 * np.pi * pitch * since) * np.exp(-np.maximum(since, 0) / fade)
        wave = wave + rng.uniform(0.2, 0.9) * ring * (since > 0)
    return wave


def _hammer(rng: np.random.Generator, t: Floats, hz: int) -> Floats:
    rate = rng.uniform(1.6, 3.0)
    since = (t % (1 / rate)) + 1e-9
    pitch = rng.uniform(320, 700)
    ring = sum(np.sin(2 * np.pi * pitch * m * since) / m for m in (1.0, 2.76, 5.4))
    knock = band(rng, len(t), hz, 400.0, min(4000.0, 0.45 * hz))
    result: Floats = ring * np.exp(-since / 0.05) + knock * np.exp(-since / 0.008)
    return result


def _hiss(rng: np.random.Generator, t: Floats, hz: int) -> Floats:
    wave = band(rng, len(t), hz, rng.uniform(1200, 2200), 0.46 * hz)
    swell = np.minimum(t / 0.25, 1.0) * np.minimum((t[-1] - t) / 0.25, 1.0)
    result: Floats = wave * swell * (0.9 + 0.1 * np.sin(2 * np.pi * 7 * t))
    return result


def _bark(rng: np.random.Generator, t: Floats, hz: int) -> Floats:
    wave = np.zeros_like(t)
    at = 0.0
    while at < t[-1] - 0.15:
        since = np.clip((t - at) / 0.17, 0.0, 1.0)
        pitch = rng.uniform(330, 460) * (1.25 - 0.5 * since)
        phase = 2 * np.pi * np.cumsum(pitch) / hz
        voice = sum(np.sin(m * phase) * g for m, g in ((1, 0.6), (2, 1.0), (3, 0.7), (5, 0.3)))
        breath = 0.35 * band(rng, len(t), hz, 500.0, min(2500.0, 0.45 * hz))
        wave = wave + (voice + breath) * np.sin(np.pi * since) ** 0.6
        at += rng.uniform(0.32, 0.8)
    return wave


def _siren(rng: np.random.Generator, t: Floats, hz: int) -> Floats:
    low, high = rng.uniform(450, 650), min(rng.uniform(1100, 1500), 0.4 * hz)
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(0.3, 0.7) * t)
    phase = 2 * np.pi * np.cumsum(low + (high - low) * sweep) / hz
    result: Floats = np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase)
    return result
