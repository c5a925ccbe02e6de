"""Windows of streams that see badly: a lens cap, a dead cable, a hung converter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from pipeline.core.window import AudioSlice, SensorSlice, Slice, VideoSlice, Window


def spoil(window: Window, stream: str, by: Callable[[Slice], Slice]) -> Window:
    """The window with one of its streams spoilt."""
    slices = dict(window.slices)
    slices[stream] = by(slices[stream])
    return replace(window, slices=slices)


def repainted(part: VideoSlice, paint: Callable[[np.ndarray], np.ndarray]) -> VideoSlice:
    frames = tuple(None if f is None else replace(f, data=paint(f.data)) for f in part.frames)
    return replace(part, frames=frames)


def dark(part: VideoSlice, light: float = 0.03) -> VideoSlice:
    return repainted(part, lambda picture: (picture * light).astype(np.uint8))


def covered(part: VideoSlice) -> VideoSlice:
    noise = np.random.default_rng(1)

    def cap(picture: np.ndarray) -> np.ndarray:
        return (90 + noise.normal(0, 2, picture.shape)).astype(np.uint8)

    return repainted(part, cap)


def frozen(part: VideoSlice) -> VideoSlice:
    first = part.frames[0].data
    return repainted(part, lambda picture: first)


def blurred(part: VideoSlice) -> VideoSlice:
    """Out of focus: the sensor's noise is as sharp as ever."""
    noise = np.random.default_rng(1)

    def soften(picture: np.ndarray) -> np.ndarray:
        soft = cv2.GaussianBlur(picture, (0, 0), 3.0) + noise.normal(0, 2, picture.shape)
        return soft.clip(0, 255).astype(np.uint8)

    return repainted(part, soften)


def sound_as(part: AudioSlice, change: Callable[[np.ndarray], np.ndarray]) -> AudioSlice:
    return replace(part, samples=change(part.samples).astype(np.float32))


def clipped(part: AudioSlice) -> AudioSlice:
    return sound_as(part, lambda samples: np.clip(samples * 300, -1.0, 32767 / 32768))


def silent(part: AudioSlice) -> AudioSlice:
    return sound_as(part, np.zeros_like)


def stuck(part: SensorSlice, channel: int | slice) -> SensorSlice:
    values = part.values.copy()
    values[:, channel] = values[0, channel]
    return replace(part, values=values)
