"""Streams to align, made by hand, and a driver that feeds an aligner as the engine does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from pipeline.alignment.aligner import Aligner, AlignerSettings
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import AudioSlice, SensorSlice, TextSlice, VideoSlice, Window

MS = 1_000_000
S = 1_000_000_000
T0 = 1_700_000_000 * S

CAMERA = StreamInfo("camera", Modality.VIDEO, 10.0, (4, 4, 3), "uint8")
MICROPHONE = StreamInfo("microphone", Modality.AUDIO, 8000.0, (1,), "int16")
PROBE = StreamInfo("probe", Modality.SENSOR, 20.0, (2,), "float64", channels=("a", "b"))
LOG = StreamInfo("log", Modality.TEXT)
SCENE = (CAMERA, MICROPHONE, PROBE, LOG)
CAMERA_AND_PROBE = ("camera", "probe")


def frame(index: int, *, stamp_ns: int | None = None, start_ns: int = T0, **more: int) -> Sample:
    stamp = start_ns + index * 100 * MS if stamp_ns is None else stamp_ns
    return Sample("camera", index, stamp, bytes([index % 250 + 1]), Encoding.JPEG, **more)


def sound(index: int, *, start_ns: int = T0, size: int = 160, rate: int = 8000) -> Sample:
    """Chunk of 20 ms whose samples are a counter, so that every one is known by its value."""
    position = index * size
    data = (np.arange(position, position + size) % 30000).astype(np.int16)[:, None]
    stamp = start_ns + position * S // rate
    return Sample("microphone", index, stamp, data, Encoding.PCM, position=position)


def reading(index: int, *, start_ns: int = T0, values: tuple[float, float] | None = None) -> Sample:
    stamp = start_ns + index * 50 * MS
    data = np.array(values or (float(index), index * 0.1))
    return Sample("probe", index, stamp, data, Encoding.FLOAT)


def line(index: int, stamp_ns: int) -> Sample:
    return Sample("log", index, stamp_ns, f"line {index}", Encoding.UTF8)


def clean(seconds: float, start_ns: int = T0) -> list[Sample]:
    """All four streams of the scene without a fault, in order of their stamps."""
    samples = [frame(i, start_ns=start_ns) for i in range(round(seconds * 10))]
    samples += [sound(i, start_ns=start_ns) for i in range(round(seconds * 50))]
    samples += [reading(i, start_ns=start_ns) for i in range(round(seconds * 20))]
    samples += [line(i, start_ns + round((i + 0.3) * S)) for i in range(round(seconds))]
    return in_order(samples)


def in_order(samples: Iterable[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda s: (s.timestamp_ns, s.stream, s.sequence))


def settings(**changes: object) -> AlignerSettings:
    base: dict[str, object] = {
        "scene": "room",
        "streams": ("camera", "microphone", "probe", "log"),
        "window_ns": 2 * S,
        "hop_ns": S // 2,
    }
    return AlignerSettings.model_validate(base | changes)


def patient(**changes: object) -> AlignerSettings:
    """Settings under which only watermarks cut windows, never a timer."""
    waits = {"latency_ns": 10**15, "idle_ns": 10**15, "event_patience_ns": 10**15}
    return settings(**(waits | {"max_ahead_ns": 10**15} | changes))


@dataclass
class Run:
    windows: list[Window]
    cut_at: list[int]  # arrival time at which each window came out


def opened(options: AlignerSettings, infos: Iterable[StreamInfo] = SCENE, at: int = T0) -> Aligner:
    aligner = options.build()
    aligner.pop_ready(at)
    for info in infos:
        if info.name in options.streams:
            aligner.open(info)
    return aligner


def feed(
    aligner: Aligner,
    samples: Iterable[Sample],
    *,
    arrivals: Iterable[int] | None = None,
    end: bool = True,
) -> Run:
    """Push samples, asking for windows before each arrival and at each deadline."""
    run = Run([], [])
    samples = list(samples)
    times = [s.timestamp_ns for s in samples] if arrivals is None else list(arrivals)
    times = list(accumulate(times, max))
    for sample, arrival in zip(samples, times, strict=True):
        wait(aligner, arrival, run)
        aligner.push(sample)
    if end:
        for stream in aligner.counts:
            aligner.end(stream)
        wait(aligner, max(times, default=T0), run)
        while (deadline := aligner.next_deadline_ns()) is not None:
            wait(aligner, deadline, run)
    return run


def wait(aligner: Aligner, until_ns: int, run: Run) -> None:
    """Call `pop_ready` at every deadline up to a time, and at that time."""
    while (deadline := aligner.next_deadline_ns()) is not None and deadline <= until_ns:
        skipped = aligner.skipped
        found = aligner.pop_ready(deadline)
        assert found or aligner.skipped > skipped, "a deadline without a window"
        run.windows += found
        run.cut_at += [deadline] * len(found)
    assert not aligner.pop_ready(until_ns), "a window that no deadline told of"


def fingerprint(window: Window) -> tuple[object, ...]:
    """Everything a window holds, comparable."""
    parts: list[object] = [window.index, window.start_ns, window.end_ns, window.complete]
    parts += [dict(window.uncertainty_ns), dict(window.late)]
    for name, part in window.slices.items():
        match part:
            case VideoSlice():
                frames = tuple(f and (f.sequence, f.timestamp_ns) for f in part.frames)
                parts.append((name, part.grid_ns.tobytes(), frames, part.present.tobytes()))
            case AudioSlice():
                parts.append((name, part.samples.tobytes(), part.present.tobytes()))
            case SensorSlice():
                parts.append((name, part.values.tobytes(), part.present.tobytes()))
            case TextSlice():
                parts.append((name, part.lines, part.timestamps_ns.tobytes(), part.coverage))
    return tuple(parts)


def unaccounted(aligner: Aligner) -> dict[str, int]:
    """Samples per stream that the books cannot explain."""
    buffered = aligner.buffered()
    left = {
        name: c.pushed - c.used - sum(c.discarded.values()) - buffered[name]
        for name, c in aligner.counts.items()
    }
    return {name: count for name, count in left.items() if count}


def video(window: Window) -> VideoSlice:
    part = window.slices["camera"]
    assert isinstance(part, VideoSlice)
    return part


def audio(window: Window) -> AudioSlice:
    part = window.slices["microphone"]
    assert isinstance(part, AudioSlice)
    return part


def sensor(window: Window) -> SensorSlice:
    part = window.slices["probe"]
    assert isinstance(part, SensorSlice)
    return part


def text(window: Window) -> TextSlice:
    part = window.slices["log"]
    assert isinstance(part, TextSlice)
    return part
