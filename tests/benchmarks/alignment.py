"""Alignment on dirty streams and at full speed, beside the targets of GOALS.

Run as ``python -m tests.benchmarks.alignment``. All time but the throughput's is simulated;
throughput is CPU time, with a matcher of nearest stamps (the way of ROS 2's
``message_filters``: all queues are searched for each message) as the peer in the same run.
"""

from __future__ import annotations

import gc
import itertools
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.alignment.aligner import Aligner, AlignerSettings
from pipeline.alignment.stream_clock import StreamClockSettings
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import AudioSlice, SensorSlice, VideoSlice, Window

MS = 1_000_000
S = 1_000_000_000
T0 = 1_700_000_000 * S
RATE = 16000
CHUNK = 320
WRAP = 1 << 22
FREQUENCY = 0.4  # of the sensor's sine, Hz

CAMERA = StreamInfo("camera", Modality.VIDEO, 30.0, (4, 4, 3), "uint8", stamp="grab")
MICROPHONE = StreamInfo("microphone", Modality.AUDIO, RATE, (1,), "float32", stamp="adc")
PROBE = StreamInfo("probe", Modality.SENSOR, 10.0, (1,), "float64", stamp="device")
STREAMS = (CAMERA, MICROPHONE, PROBE)


@dataclass
class Truth:
    """A sample and what really happened."""

    sample: Sample
    time_ns: float
    arrival_ns: float = 0.0


def settings(**changes: object) -> AlignerSettings:
    base = {"scene": "bench", "streams": tuple(i.name for i in STREAMS)}
    return AlignerSettings.model_validate(base | changes)


def make(info: StreamInfo, index: int, time_ns: float) -> Truth:
    """One sample that tells by its content when it was taken."""
    position = index * CHUNK
    if info is MICROPHONE:
        data: object = (np.arange(position, position + CHUNK) % WRAP).astype(np.float32)[:, None]
        encoding = Encoding.FLOAT
    elif info is PROBE:
        data = np.array([np.sin(2 * np.pi * FREQUENCY * (time_ns - T0) / S)])
        encoding = Encoding.FLOAT
    else:
        data, encoding, position = b"x", Encoding.JPEG, 0
    return Truth(
        Sample(info.name, index, round(time_ns), data, encoding, position=position), time_ns
    )


def stream(info: StreamInfo, seconds: float, start_ns: int = T0) -> Iterator[Truth]:
    period = S / (info.rate_hz or 1.0) * (CHUNK if info is MICROPHONE else 1)
    for index in range(int(seconds * S / period)):
        yield make(info, index, start_ns + index * period)


def dirty(info: StreamInfo, seconds: float, rng: random.Random, *, dejitter: bool) -> list[Truth]:
    """1 ms of jitter, 2% drops, 1% late by up to 250 ms, a stall of 0.8 s, an outage of 5 s."""
    clock = StreamClockSettings(dejitter=dejitter).build(info)
    phase = rng.randrange(0, 33 * MS)
    stall, outage = rng.uniform(0.2, 0.4) * seconds, rng.uniform(0.5, 0.8) * seconds
    kept = []
    in_line = 0.0
    for truth in stream(info, seconds, T0 + phase):
        at = (truth.time_ns - T0) / S
        if rng.random() < 0.02 or (info is CAMERA and outage <= at < outage + 5.0):
            continue
        truth.sample.timestamp_ns += round(rng.gauss(0, 1) * MS)
        truth.sample.uncertainty_ns = 2 * MS
        truth.sample = clock.correct(truth.sample)
        truth.sample.sequence = len(kept)
        arrival = truth.time_ns + rng.uniform(2, 20) * MS
        if info is MICROPHONE:
            arrival += S * CHUNK / RATE
        if stall <= at < stall + 0.8:
            arrival = T0 + phase + (stall + 0.8) * S
        truth.arrival_ns = in_line = max(in_line, arrival)
        if rng.random() < 0.01:
            truth.arrival_ns += rng.uniform(50, 250) * MS
        kept.append(truth)
    return kept


def drive(aligner: Aligner, truths: list[Truth]) -> list[tuple[Window, int]]:
    """Windows and the time each came out, with a timer that keeps every deadline."""
    out: list[tuple[Window, int]] = []

    def until(now: int) -> None:
        while (due := aligner.next_deadline_ns()) is not None and due <= now:
            out.extend((window, due) for window in aligner.pop_ready(due))
        out.extend((window, now) for window in aligner.pop_ready(now))

    until(T0)
    for info in STREAMS:
        aligner.open(info)
    for truth in sorted(truths, key=lambda t: t.arrival_ns):
        until(round(truth.arrival_ns))
        aligner.push(truth.sample)
    until(round(max(t.arrival_ns for t in truths)) + 5 * S)
    return out


def run_dirty(name: str, *, dejitter: bool, lateness_ms: int, seconds: float = 120.0) -> None:
    rng = random.Random(11)
    truths = [t for info in STREAMS for t in dirty(info, seconds, rng, dejitter=dejitter)]
    aligner = settings(lateness_ns=lateness_ms * MS).build()
    out = drive(aligner, truths)
    windows = [window for window, _ in out]
    times = {t.sample.sequence: t.time_ns for t in truths if t.sample.stream == "camera"}
    used, wrong = video_use(windows, times)
    off = audio_offsets(windows, next(t for t in truths if t.sample.stream == "microphone"))
    misread = sensor_errors(windows)
    indices = [window.index for window in windows]
    waits = [due - first_passed(truths, window, lateness_ms * MS) for window, due in out]
    lost = {n: c.late for n, c in aligner.counts.items()}
    came = covered(truths, windows)
    print(f"\n{name}")
    row("video used, of what came", f"{100 * used / came:.2f} %", ">= 99 %", "30 % (ROS 2)")
    row("frames off by > half a period + 3 ms", f"{wrong}", "0")
    row("sound placed, p50 / p99 / max", quantiles(off, "samples"), "p99 <= 16")
    row(
        "sensor cells off, p99 / max", f"{np.quantile(misread, 0.99):.4f} / {misread.max():.4f}", ""
    )
    row("windows back in time", f"{int((np.diff(indices) <= 0).sum())}", "0")
    row("longest wait after the first", f"{max(waits) / MS:.1f} ms", "<= 1005 ms")
    row("late samples", f"{sum(lost.values())} of {len(truths)}", "")
    row("complete windows", f"{sum(w.complete for w in windows)} of {len(windows)}", "")


def video_use(windows: list[Window], times: dict[int, float]) -> tuple[int, int]:
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
    return len(used), len(wrong)


def covered(truths: list[Truth], windows: list[Window]) -> int:
    """Frames that came and lie between the first window's start and the last one's end."""
    start, end = windows[0].start_ns, windows[-1].end_ns
    stamps = [t.sample.timestamp_ns for t in truths if t.sample.stream == "camera"]
    return sum(start <= stamp < end for stamp in stamps)


def audio_offsets(windows: list[Window], first: Truth) -> np.ndarray:
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


def sensor_errors(windows: list[Window]) -> np.ndarray:
    """Distance of each present cell from the sine it was read from."""
    found = []
    for window in windows:
        part = window.slices["probe"]
        if isinstance(part, SensorSlice):
            true = np.sin(2 * np.pi * FREQUENCY * (part.grid_ns - T0) / S)
            found.append(np.abs(part.values[:, 0] - true)[part.present[:, 0]])
    return np.concatenate(found)


def first_passed(truths: list[Truth], window: Window, lateness_ns: int) -> float:
    """When the first stream was past a window's end."""
    span = {"camera": 0, "probe": 0, "microphone": CHUNK * S // RATE}
    end = window.end_ns + lateness_ns
    return min(
        t.arrival_ns for t in truths if t.sample.timestamp_ns + span[t.sample.stream] >= end - MS
    )


def quantiles(values: np.ndarray, unit: str) -> str:
    return (
        f"{np.quantile(values, 0.5):.1f} / {np.quantile(values, 0.99):.1f} / "
        f"{values.max():.1f} {unit}"
    )


def row(what: str, value: str, target: str, peer: str = "") -> None:
    print(f"  {what:38} {value:>30}   {target:14} {peer}")


def throughput(queued: int, messages: int) -> tuple[float, float]:
    """Messages a CPU-second with `queued` messages waiting for a slow stream.

    Returns:
        Pushing and cutting all windows; pushing alone.
    """
    lag = {"camera": 0.0, "microphone": 0.0, "probe": queued / 80 * S}
    truths = [t for info in STREAMS for t in stream(info, (messages + queued) / 90)]
    truths.sort(key=lambda t: t.time_ns + lag[t.sample.stream])
    samples = [t.sample for t in truths]
    waits = {"latency_ns": 10**13, "idle_ns": 10**13, "max_ahead_ns": 10**13}
    both, pushing = settings(**waits).build(), settings(**waits).build()
    for aligner in (both, pushing):
        aligner.pop_ready(T0)
        for info in STREAMS:
            aligner.open(info)
    gc.collect()
    gc.freeze()
    begun = time.process_time()
    windows = 0
    for number, sample in enumerate(samples):
        both.push(sample)
        windows += len(both.pop_ready(T0 + number))
    middle = time.process_time()
    for sample in samples:
        pushing.push(sample)
    ended = time.process_time()
    gc.unfreeze()
    if windows < messages // 90:
        raise RuntimeError(f"only {windows} windows were cut")
    return len(samples) / (middle - begun), len(samples) / (ended - middle)


class NearestMatcher:
    """The peer: on each message, look in all queues for the stamps nearest to it."""

    def __init__(self, queued: int) -> None:
        self._queues = [deque[int](maxlen=max(10, queued // 3)) for _ in STREAMS]
        self._slop_ns = 20 * MS

    def push(self, stream_index: int, stamp_ns: int) -> tuple[int, ...] | None:
        self._queues[stream_index].append(stamp_ns)
        near = []
        for queue in self._queues:
            close = [s for s in queue if abs(s - stamp_ns) <= self._slop_ns]
            if not close:
                return None
            near.append(sorted(close, key=lambda s: abs(s - stamp_ns)))
        for found in itertools.product(*near):
            if max(found) - min(found) <= self._slop_ns:
                for queue, stamp in zip(self._queues, found, strict=True):
                    queue.remove(stamp)
                return found
        return None


def peer_throughput(queued: int, messages: int) -> float:
    matcher = NearestMatcher(queued)
    lag = [0.0, 0.0, queued / 80 * S]
    pairs = [
        (t.time_ns + lag[i], i, t.sample.timestamp_ns)
        for i, info in enumerate(STREAMS)
        for t in stream(info, messages / 90)
    ]
    pairs.sort()
    begun = time.process_time()
    for _, index, stamp in pairs:
        matcher.push(index, stamp)
    return len(pairs) / (time.process_time() - begun)


def main() -> None:
    """Print the tables."""
    run_dirty("dirty streams, de-jittered at capture", dejitter=True, lateness_ms=300)
    run_dirty("dirty streams, stamps as they are", dejitter=False, lateness_ms=300)
    run_dirty("dirty streams, nothing may be late", dejitter=True, lateness_ms=0)
    print("\nthroughput, 30/50/10 Hz, messages per CPU-second")
    for queued in (10, 100, 1000):
        runs = [throughput(queued, 9000) for _ in range(3)]
        whole, pushing = (max(figures) for figures in zip(*runs, strict=True))
        peer = peer_throughput(queued, 2000)
        found = f"{whole / 1e3:.0f} k/s, push alone {pushing / 1e3:.0f} k/s"
        beside = f"nearest-stamp matcher, which cuts nothing: {peer / 1e3:.0f} k/s"
        row(f"{queued} queued, windows cut", found, ">= 100 k/s", beside)


if __name__ == "__main__":
    main()
