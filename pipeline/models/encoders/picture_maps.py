"""Maps of a window's pictures, cell by cell: appearance and motion in a few sub-steps.

Everything is done on one tall picture made of all frames, because one call on a tall picture
costs a fraction of many calls on small ones.
"""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

MAPS = ("brightness", "blueness", "redness", "texture", "motion", "peak motion")
_APPEARANCE = 4
_LEVEL_FLOOR = 8.0  # grey levels; keeps the noise of dark cells from being blown up
_MOTION_FLOOR = 0.5  # grey levels; about the rounding noise of a decoded picture


def picture_maps(
    frames: list[Picture], step: npt.NDArray[np.int64], shape: tuple[int, ...]
) -> Floats:
    """Maps of each sub-step.

    Args:
        frames: Pictures ``(H, W, 3)`` in the order of time, at least two.
        step: Sub-step of each frame, growing.
        shape: ``(S, 6, rows, columns)``; H and W are multiples of rows and columns.

    Returns:
        float32 of `shape`; NaN where a sub-step has no frame, or no frame before its first.
    """
    maps = np.full(shape, np.nan, np.float32)
    there, first = np.unique(step, return_index=True)
    maps[there, :_APPEARANCE] = _appearance(frames, first, shape)
    energy = _energy(frames, shape)  # (T - 1, rows, columns)
    for s in there:
        moves = energy[step[1:] == s]
        if len(moves):
            maps[s, _APPEARANCE:] = np.stack([moves.mean(axis=0), moves.max(axis=0)])
    maps[:, _APPEARANCE:] = np.log(maps[:, _APPEARANCE:] + _MOTION_FLOOR)
    return maps


def _appearance(
    frames: list[Picture], first: npt.NDArray[np.int64], shape: tuple[int, ...]
) -> Floats:
    """Of the mean picture of each sub-step, ``(S, 4, rows, columns)``."""
    means = []
    for group in np.split(np.arange(len(frames)), first[1:]):
        total = np.zeros(frames[0].shape, np.float32)
        for i in group:
            cv2.accumulate(frames[i], total)
        means.append(total / np.float32(len(group)))
    tall = np.concatenate(means)
    grey = cv2.cvtColor(tall, cv2.COLOR_BGR2GRAY)
    blue, green, red = np.moveaxis(np.log(_cells(tall, shape) + _LEVEL_FLOOR), -1, 0)
    mean, square = _cells(grey, shape), _cells(cv2.multiply(grey, grey), shape)
    texture = np.log(np.sqrt(np.maximum(square - mean**2, 0.0)) + 1.0)
    relative = np.stack([np.log(mean + _LEVEL_FLOOR), blue - green, red - green], axis=1)
    relative -= np.median(relative, axis=(2, 3), keepdims=True)  # a lamp, a cloud, the gain
    return np.concatenate([relative, texture[:, None]], axis=1)


def _energy(frames: list[Picture], shape: tuple[int, ...]) -> Floats:
    """Root mean square change from frame to frame less the light's, ``(T - 1, rows, columns)``."""
    height = len(frames[0])
    grey = cv2.cvtColor(np.concatenate(frames), cv2.COLOR_BGR2GRAY)
    shift = np.diff(_cells(grey.astype(np.float32), shape), axis=0)
    change = cv2.absdiff(grey[height:], grey[:-height])
    light = np.median(shift, axis=(1, 2), keepdims=True)
    # Mean square about the light's change, without touching every pixel again.
    square = _cells(cv2.multiply(change, change, dtype=cv2.CV_32F), shape)
    energy = np.sqrt(np.maximum(square - 2 * light * shift + light**2, 0.0))
    return cast("Floats", energy)


def _cells(tall: npt.NDArray[Any], shape: tuple[int, ...]) -> Floats:
    """Mean per cell of a tall picture ``(N * H, W, ...)``: ``(N, rows, columns, ...)``."""
    rows, columns = shape[2:]
    cell = tall.shape[1] // columns
    count = len(tall) // cell  # rows of cells never cross from one picture to the next
    pooled = cv2.resize(tall, (columns, count), interpolation=cv2.INTER_AREA)
    return cast("Floats", pooled.reshape(-1, rows, columns, *tall.shape[2:]))
