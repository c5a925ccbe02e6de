"""Alignment on dirty streams and at full speed, beside the targets of GOALS.

Run as ``python -m tests.benchmarks.alignment [--plot FILE.png]``. All time but the throughput's is
simulated; throughput is CPU time. The peer in the same run is a matcher of nearest stamps, see
`alignment_peer`; it is given the de-jittered stamps too. The plot shows what share of the samples
both used over time.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.alignment.aligner import Aligner
from pipeline.core.window import AudioSlice, SensorSlice, VideoSlice, Window
from tests.benchmarks.alignment_judge import (
    chunks_used,
    frames_used,
    misread,
    sound_offsets,
    within,
)
from tests.benchmarks.alignment_peer import Matched, NearestMatcher, matched
from tests.benchmarks.alignment_plot import Use, draw
from tests.benchmarks.alignment_streams import (
    CHUNK,
    MICROPHONE,
    MS,
    RATE,
    STREAMS,
    T0,
    S,
    Truth,
    dirty,
    settings,
    stream,
)


@dataclass
class Dirty:
    """One run over dirty streams.

    Attributes:
        truths: What came, and what really happened.
        lateness_ms: As the aligner was told.
        aligner: After the run.
        out: Windows and the time each came out.
        peer: What the peer made of the same.
    """

    truths: list[Truth]
    lateness_ms: int
    aligner: Aligner
    out: list[tuple[Window, int]]
    peer: Matched

    @property
    def windows(self) -> list[Window]:
        """The windows alone."""
        return [window for window, _ in self.out]


def run_dirty(*, dejitter: bool, lateness_ms: int, seconds: float = 120.0) -> Dirty:
    """Align two minutes of dirty streams."""
    rng = random.Random(11)
    truths = [t for info in STREAMS for t in dirty(info, seconds, rng, dejitter=dejitter)]
    return aligned(truths, lateness_ms)


def aligned(truths: list[Truth], lateness_ms: int) -> Dirty:
    """Give both engines what came."""
    aligner = settings(lateness_ns=lateness_ms * MS).build()
    out = drive(aligner, truths)
    return Dirty(truths, lateness_ms, aligner, out, matched(truths))


def uses(run: Dirty) -> list[Use]:
    """Which frames and chunks were used by whom."""
    times = {t.sample.sequence: t.time_ns for t in run.truths if t.sample.stream == "camera"}
    ours: dict[str, Callable[[Truth], bool]] = {}
    frames, _ = frames_used(run.windows, times)
    chunks = chunks_used(run.windows)
    ours["camera"] = lambda t: t.sample.sequence in frames
    ours["microphone"] = lambda t: t.sample.position // CHUNK in chunks
    found = []
    for name, is_used in ours.items():
        came = within(run.truths, run.windows, name)
        theirs = run.peer.used(name)
        found.append(
            Use(
                {"camera": "video", "microphone": "sound"}[name],
                np.array([t.sample.timestamp_ns for t in came]),
                np.array([is_used(t) for t in came]),
                np.array([t.sample.timestamp_ns in theirs for t in came]),
            )
        )
    return found


def report(name: str, run: Dirty) -> None:
    """Print the rows of one run."""
    windows, truths = run.windows, run.truths
    times = {t.sample.sequence: t.time_ns for t in truths if t.sample.stream == "camera"}
    _, wrong = frames_used(windows, times)
    off = sound_offsets(windows, next(t for t in truths if t.sample.stream == MICROPHONE.name))
    cells_off, best_off = misread(windows, truths)
    indices = [window.index for window in windows]
    waits = [due - first_passed(truths, w, run.lateness_ms * MS) for w, due in run.out]
    late = sum(counts.late for counts in run.aligner.counts.values())
    video, sound = uses(run)
    print(f"\n{name}")
    row("video used, of what came", share(video.ours), ">= 99 %", share(video.peer))
    row("sound used, of what came", share(sound.ours), "", share(sound.peer))
    row("frames off by > half a period + 3 ms", f"{len(wrong)}", "0")
    row("sound placed, p50 / p99 / max", quantiles(off, "samples"), "p99 <= 16")
    row(
        "sensor cells off, p99", f"{cells_off:.4f}", "as exact as can", f"{best_off:.4f} (by truth)"
    )
    row("windows back in time", f"{int((np.diff(indices) <= 0).sum())}", "0",
        f"{run.peer.back_in_time} of {len(run.peer.sets)} sets")  # fmt: skip
    row("longest wait after the first", f"{max(waits) / MS:.1f} ms", "<= 1005 ms")
    row("late samples, all counted", f"{late} of {len(truths)}", "")
    row("complete windows", f"{sum(w.complete for w in windows)} of {len(windows)}", "")


def share(used: np.ndarray) -> str:
    return f"{100 * used.mean():.2f} %"


def report_order(run: Dirty) -> None:
    """Print how much depends on the order of arrival: the same stamps, two ways of coming."""
    rng = random.Random(12)
    runs = [
        aligned([replace(t, arrival_ns=t.time_ns + delay(t)) for t in run.truths], 300)
        for delay in (span_ns, lambda t: span_ns(t) + rng.uniform(0, 250) * MS)
    ]
    mine, theirs = ({w.index: content(w) for w in r.windows if w.complete} for r in runs)
    both = mine.keys() & theirs.keys()
    changed = sum(mine[index] != theirs[index] for index in both)
    sets, others = (set(r.peer.sets) for r in runs)
    differ = len(sets ^ others) / len(sets | others)
    print("\nthe same stamps in another order of arrival, within the lateness")
    row(
        "complete windows that differ",
        f"{changed} of {len(both)}",
        "0",
        f"{100 * differ:.0f} % of sets",
    )


def span_ns(truth: Truth) -> float:
    """How long a sample lasts: it cannot come before that."""
    return S * CHUNK / RATE if truth.sample.stream == MICROPHONE.name else 0.0


def content(window: Window) -> tuple[object, ...]:
    """What a window holds, comparable."""
    found: list[object] = []
    for part in window.slices.values():
        if isinstance(part, VideoSlice):
            found.append(tuple(f and f.sequence for f in part.frames))
        elif isinstance(part, AudioSlice):
            found.append((part.samples.tobytes(), part.present.tobytes()))
        elif isinstance(part, SensorSlice):
            found.append((part.values.tobytes(), part.present.tobytes()))
    return tuple(found)


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
    print(f"  {what:38} {value:>30}   {target:15} {peer}")


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


def peer_throughput(queued: int, messages: int) -> float:
    matcher = NearestMatcher(max(10, queued // 3))
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables; draw the plot when asked."""
    parser = argparse.ArgumentParser(description="alignment beside the targets of GOALS")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="PNG to draw")
    plot = parser.parse_args(arguments).plot
    run = run_dirty(dejitter=True, lateness_ms=300)
    print(f"  {'':38} {'ours':>30}   {'target':15} nearest-stamp matcher")
    report("dirty streams, de-jittered at capture", run)
    report_order(run)
    report("dirty streams, stamps as they are", run_dirty(dejitter=False, lateness_ms=300))
    report("dirty streams, nothing may be late", run_dirty(dejitter=True, lateness_ms=0))
    if plot is not None:
        draw(uses(run), plot)
        print(f"\ndrawn: {plot}")
    print("\nthroughput, 30/50/10 Hz, messages per CPU-second")
    for queued in (10, 100, 1000):
        runs = [throughput(queued, 9000) for _ in range(3)]
        whole, pushing = (max(figures) for figures in zip(*runs, strict=True))
        peer = peer_throughput(queued, 2000)
        found = f"{whole / 1e3:.0f} k/s, push alone {pushing / 1e3:.0f} k/s"
        beside = f"{peer / 1e3:.0f} k/s (cuts nothing)"
        row(f"{queued} queued, windows cut", found, ">= 100 k/s", beside)


if __name__ == "__main__":
    main()
