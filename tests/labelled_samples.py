"""Labelled folders made on the spot, tiny: a class that only picture and sound together tell.

A light is on the left or on the right of the picture, the tone is low or high. Where left goes
with low and right with high the class is ``agree``, else ``differ``; either modality alone
tells nothing.
"""

from __future__ import annotations

import wave
from pathlib import Path

import cv2
import numpy as np

HEIGHT, WIDTH, RATE, LENGTH_S = 30, 40, 4000, 0.5
READING = {"height_px": HEIGHT, "width_px": WIDTH, "sound_hz": RATE, "window_s": LENGTH_S}
SMALL = {
    "encoders": {
        "video": {"type": "video", "steps": 1, "channels": 8, "width": 16},
        "audio": {"type": "audio", "steps": 8, "channels": 8, "width": 16, "stretches": 1},
        "text": {"type": "text", "width": 16, "lines": 4, "grams": 24, "buckets": 256},
        "sensor": {"type": "sensor_gru", "width": 16, "steps": 8},
    },
    "width": 32,
    "queries": 2,
    "context": "none",
}


def write_pairs(folder: Path, count: int, seed: int = 0) -> Path:
    """`count` samples of picture and sound, named 000, 001, ...; half of each class."""
    random = np.random.default_rng(seed)
    for number in range(count):
        right, high = number % 2, number // 2 % 2
        place = folder / ("agree" if right == high else "differ")
        place.mkdir(parents=True, exist_ok=True)
        write_picture(place / f"{number:03d}.png", random, bool(right))
        write_sound(place / f"{number:03d}.wav", random, 1200.0 if high else 300.0)
    return folder


def write_picture(path: Path, random: np.random.Generator, right: bool) -> Path:
    """A grey picture with noise; a light of varying strength in its left or right half."""
    picture = random.normal(70, 8, (HEIGHT, WIDTH, 3))
    lit = slice(WIDTH // 2, WIDTH) if right else slice(0, WIDTH // 2)
    picture[3:-3, lit] += random.uniform(90, 140)
    cv2.imwrite(str(path), picture.clip(0, 255).astype(np.uint8))
    return path


def write_sound(
    path: Path, random: np.random.Generator, tone_hz: float, seconds: float = LENGTH_S
) -> Path:
    """A tone in noise, its pitch a little off."""
    time = np.arange(round(seconds * RATE)) / RATE
    heard = 0.2 * np.sin(2 * np.pi * tone_hz * random.uniform(0.95, 1.05) * time)
    samples = heard + random.normal(0, 0.02, len(time))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def write_sides(folder: Path, count: int, seed: int = 0, kinds: str = "both") -> Path:
    """Class ``left`` is a light on the left and a low tone, ``right`` the other; each tells it.

    Args:
        folder: Where.
        count: Samples in all.
        seed: Of the noise.
        kinds: Which files a sample has: ``picture``, ``sound`` or ``both``.
    """
    random = np.random.default_rng(seed)
    for number in range(count):
        right = bool(number % 2)
        place = folder / ("right" if right else "left")
        place.mkdir(parents=True, exist_ok=True)
        if kinds != "sound":
            write_picture(place / f"{number:03d}.png", random, right)
        if kinds != "picture":
            write_sound(place / f"{number:03d}.wav", random, 1200.0 if right else 300.0)
    return folder
