"""The plainest baselines: how loud a window is, and how much moves in it.

A detector that does no better than these has learnt nothing; they stand beside it in every
evaluation.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from pipeline.core.window import AudioSlice, VideoSlice, Window

_SILENCE = 1e-9


def levels_of(window: Window) -> dict[str, float]:
    """Loudness of each sound and motion of each picture of a window, by ``loudness:STREAM``.

    What was not seen or heard has no entry.
    """
    found: dict[str, float] = {}
    for name, part in window.slices.items():
        if isinstance(part, AudioSlice) and part.present.any():
            found[f"loudness:{name}"] = loudness_db(part)
        elif isinstance(part, VideoSlice) and (moved := motion(part)) is not None:
            found[f"motion:{name}"] = moved
    return found


def loudness_db(sound: AudioSlice) -> float:
    """Mean power of what was heard, dB over full scale."""
    heard = sound.samples[sound.present].astype(np.float64)
    return float(10 * np.log10(np.mean(heard**2) + _SILENCE))


def motion(video: VideoSlice) -> float | None:
    """Mean absolute change between neighbouring frames, grey levels; None without two.

    Frames must be small RAW pictures, as the scorer prepares them.
    """
    pictures = [
        frame.data.astype(np.int16)
        for frame in video.frames
        if frame is not None and isinstance(frame.data, np.ndarray)
    ]
    steps = [
        float(np.abs(after - before).mean())
        for before, after in pairwise(pictures)
        if after.shape == before.shape
    ]
    return float(np.mean(steps)) if steps else None
