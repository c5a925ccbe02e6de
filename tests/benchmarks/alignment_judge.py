"""What became of the samples of the alignment benchmark: used, misplaced, misread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.core.window import AudioSlice, SensorSlice, VideoSlice, Window
from tests.benchmarks.alignment_streams import CHUNK, FREQUENCY, MS, RATE, T0, WRAP, S, Truth


def frames_used(windows: Sequence[Window], times: dict[int, float]) -> tuple[set[int], set[int]]:
    """Frames used at least once, and frames at a point too far from when they were taken."""
    used: set[int] = set()
    wrong: set[int] = set()
    for window in windows:
        part = window.slices["camera"]
        if not isinstance(part, VideoSlice):
            continue
        for point, frame in zip(part.grid_ns.tolist(), part.frames, strict=True):
            if frame is not None:
                used.add(frame.sequence)
                if abs(times[frame.sequence] - point) > S / 60 + 3 * MS:
                    wrong.add(frame.sequence)
    return used, wrong


def chunks_used(windows: Sequence[Window]) -> set[int]:
    """Numbers of the chunks of sound of which anything is in a window, by their content."""
    used: set[int] = set()
    for window in windows:
        part = window.slices["microphone"]
        if isinstance(part, AudioSlice):
            heard = part.samples[part.present, 0]
            used.update(np.unique(np.round(heard).astype(np.int64) // CHUNK).tolist())
    return used


def within(truths: Sequence[Truth], windows: Sequence[Window], stream: str) -> list[Truth]:
    """Samples that came and lie between the first window's start and the last one's end."""
    start, end = windows[0].start_ns, windows[-1].end_ns
    mine = [t for t in truths if t.sample.stream == stream]
    return [t for t in mine if start <= t.sample.timestamp_ns < end]


def sound_offsets(windows: Sequence[Window], first: Truth) -> npt.NDArray[np.float64]:
    """How many samples each present sample lies off its true place."""
    found = []
    start = first.time_ns - first.sample.position * S / RATE
    for window in windows:
        part = window.slices["microphone"]
        if isinstance(part, AudioSlice):
            true = (window.start_ns - start) / S * RATE + np.arange(len(part.samples))
            off = (part.samples[:, 0] - true + WRAP / 2) % WRAP - WRAP / 2
            found.append(np.abs(off[part.present]))
    return np.concatenate(found)


def cells(windows: Sequence[Window]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Times and values of the present sensor cells."""
    times, values = [], []
    for window in windows:
        part = window.slices["probe"]
        if isinstance(part, SensorSlice):
            times.append(part.grid_ns[part.present[:, 0]])
            values.append(part.values[part.present[:, 0], 0])
    return np.concatenate(times), np.concatenate(values)


def sine(times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """What the probe truly read."""
    return np.sin(2 * np.pi * FREQUENCY * (times_ns - T0) / S)


def misread(windows: Sequence[Window], truths: Sequence[Truth]) -> tuple[float, float]:
    """99th percentile of how far cells lie off the sine; and of the best line by the truth.

    The second draws lines between all readings that came, at the times at which they truly were
    taken: nothing that interpolates in lines can be expected to do better.
    """
    times, values = cells(windows)
    came = sorted((t.time_ns - T0, t.sample.data) for t in truths if t.sample.stream == "probe")
    best = np.interp(times - T0, [t for t, _ in came], [float(v[0]) for _, v in came])  # type: ignore[index,arg-type]
    true = sine(times)
    ours, ideal = np.abs(values - true), np.abs(best - true)
    return float(np.quantile(ours, 0.99)), float(np.quantile(ideal, 0.99))
