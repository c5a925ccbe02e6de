"""De-jitter beside pyxdf: how far corrected stamps lie from the truth.

Run as ``python -m tests.benchmarks.dejitter [FILE.xdf ...]``. Streams of known truth get jittery
stamps; ours corrects them one by one as they come (causal, as on a capture node), pyxdf all at
once with a line through each segment of the file (it knows the future, which no live system
does). The first seconds, in which ours learns, are in the figures. Two limits to know when reading
them: the first sample after a stall might as well be on time after a loss, which only the future
tells; and pyxdf counts samples, so each one lost or doubled moves its line.

Of recorded files no truth is known. Printed is how far samples are moved from their own stamps
(``clock_resets.xdf`` was timed by a program that sleeps: its rate truly wanders, and a line through
minutes of it is wrong), and whether an import has pyxdf's clock correction.
"""

from __future__ import annotations

import logging
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyxdf
from rich.console import Console
from rich.table import Table

from pipeline.alignment.stream_clock import StreamClockSettings
from pipeline.core.arrival import SampleArrived
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording import Recording
from pipeline.recording.importing import ImportPlan, run_import
from tests.xdf_files import XdfStream, write_xdf

S = 1_000_000_000
T0 = 1_700_000_000 * S
SECONDS = 300.0
PPM = 40.0
DATA = Path("../shared/data/xdf")
Times = npt.NDArray[np.float64]  # seconds


@dataclass(frozen=True)
class Case:
    """One stream's truth and what its stamps say, ``(N,)`` seconds each."""

    true_s: Times
    seen_s: Times


def gaussian(rng: np.random.Generator, count: int) -> Times:
    return rng.normal(0.0, 1e-3, count)


def arrival(rng: np.random.Generator, count: int) -> Times:
    """Delays of a busy machine less their mean: many small, few long."""
    return rng.exponential(1e-3, count) - 1e-3


def steady(rate_hz: float, jitter: Callable[[np.random.Generator, int], Times]) -> Case:
    true = np.arange(round(SECONDS * rate_hz)) / rate_hz * (1 + PPM * 1e-6)
    return Case(true, true + jitter(np.random.default_rng(1), len(true)))


def dropping(rate_hz: float) -> Case:
    case = steady(rate_hz, gaussian)
    kept = np.random.default_rng(2).random(len(case.true_s)) > 0.02
    return Case(case.true_s[kept], case.seen_s[kept])


def with_a_gap(rate_hz: float) -> Case:
    case = steady(rate_hz, gaussian)
    half = len(case.true_s) // 2
    moved = 7.3217
    true, seen = case.true_s.copy(), case.seen_s.copy()
    true[half:] += moved
    seen[half:] += moved
    return Case(true, seen)


def stalling(rate_hz: float) -> Case:
    """Every 20 s nothing comes for 0.3 s; what waited comes in a bunch, stamped on arrival."""
    case = steady(rate_hz, gaussian)
    seen = case.seen_s.copy()
    for begin in np.arange(10.0, SECONDS, 20.0):
        waited = np.flatnonzero((case.true_s >= begin) & (case.true_s < begin + 0.3))
        seen[waited] = begin + 0.3 + 2e-4 * np.arange(len(waited))
    return Case(case.true_s, np.maximum.accumulate(seen))


def repeating(rate_hz: float) -> Case:
    """One sample in fifty comes twice with the same stamp."""
    case = steady(rate_hz, gaussian)
    times = 1 + (np.random.default_rng(3).random(len(case.true_s)) < 0.02)
    return Case(np.repeat(case.true_s, times), np.repeat(case.seen_s, times))


CASES: dict[str, Callable[[float], Case]] = {
    "jitter 1 ms, 40 ppm": lambda rate: steady(rate, gaussian),
    "delays of 1 ms, 40 ppm": lambda rate: steady(rate, arrival),
    "and 2% drops": dropping,
    "and a gap of 7.3 s": with_a_gap,
    "and stalls of 0.3 s": stalling,
    "and 2% come twice": repeating,
}


def ours(case: Case, rate_hz: float) -> Times:
    """Corrected one by one, seconds."""
    info = StreamInfo("s", Modality.SENSOR, rate_hz, (1,), stamp="device")
    clock = StreamClockSettings().build(info)
    data = np.zeros(1)
    found = [
        clock.correct(Sample("s", i, T0 + round(t * S), data, Encoding.FLOAT)).timestamp_ns - T0
        for i, t in enumerate(case.seen_s.tolist())
    ]
    return np.array(found) / S


def theirs(case: Case, rate_hz: float, folder: Path) -> Times:
    """As pyxdf reads them from a file, seconds."""
    values = [[0.0]] * len(case.seen_s)
    stream = XdfStream("s", "Test", "float32", rate_hz, case.seen_s.tolist(), values)
    streams, _ = pyxdf.load_xdf(str(write_xdf(folder / "case.xdf", [stream])))
    return np.asarray(streams[0]["time_stamps"])


def cell(found: Times, true: Times) -> str:
    off = np.abs(found - true) * 1e3
    return f"{np.median(off):.3f} / {np.quantile(off, 0.99):.3f} / {off.max():.2f}"


def simulated(console: Console) -> None:
    table = Table(
        "stream", "stamps", "as they came", "ours, causal", "pyxdf, whole file", "p99 ratio"
    )
    table.title = "off the truth, median / 99th percentile / largest, ms (ratio of the 99th)"
    with tempfile.TemporaryDirectory() as folder:
        for rate_hz in (100.0, 30.0):
            for name, make in CASES.items():
                case = make(rate_hz)
                mine, other = ours(case, rate_hz), theirs(case, rate_hz, Path(folder))
                ratio = np.quantile(np.abs(mine - case.true_s), 0.99) / np.quantile(
                    np.abs(other - case.true_s), 0.99
                )
                table.add_row(
                    f"{rate_hz:g} Hz", name, cell(case.seen_s, case.true_s),
                    cell(mine, case.true_s), cell(other, case.true_s), f"{ratio:.2f}",
                )  # fmt: skip
    console.print(table)


def recorded(console: Console, paths: list[Path]) -> None:
    """Real files: no truth, but how far each moves samples from their own stamps."""
    table = Table("file", "stream", "ours, causal", "pyxdf, whole file")
    table.title = "recorded: moved from their stamps, median / 99th percentile / largest, ms"
    for path in paths:
        raw, _ = pyxdf.load_xdf(str(path), dejitter_timestamps=False)
        smooth, _ = pyxdf.load_xdf(str(path))
        for one, other in zip(raw, smooth, strict=True):
            rate_hz = float(one["info"]["nominal_srate"][0])
            seen = np.asarray(one["time_stamps"])
            if rate_hz <= 0 or len(seen) < 50:
                continue
            line = np.asarray(other["time_stamps"]) - seen[0]
            seen = seen - seen[0]
            mine = ours(Case(seen, seen), rate_hz)
            table.add_row(path.name, one["info"]["name"][0], cell(mine, seen), cell(line, seen))
    console.print(table)


def imported(console: Console, paths: list[Path]) -> None:
    """Clock correction: the stamps of an import beside those of pyxdf."""
    table = Table("file", "samples", "furthest from pyxdf, µs", "target",
                  title="clock correction of an import")  # fmt: skip
    for path in paths:
        streams, _ = pyxdf.load_xdf(str(path))
        held = [one for one in streams if len(one["time_stamps"])]
        zero = min(one["time_stamps"].min() for one in held)
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "made.mcap")
            report = run_import(ImportPlan(scene="lab", output=output, xdf=[("", path)]))
            found: dict[str, list[int]] = {}
            with Recording(output) as recording:
                for item in recording.arrivals():
                    if isinstance(item, SampleArrived):
                        stamps = found.setdefault(item.sample.stream, [])
                        stamps.append(item.sample.timestamp_ns - report.start_ns)
        worst = 0.0
        for one in held:
            name = "-".join(re.findall("[a-z0-9]+", one["info"]["name"][0].lower()))
            off = np.array(found[name]) / S - (one["time_stamps"] - zero)
            worst = max(worst, float(np.abs(off).max()))
        count = sum(len(stamps) for stamps in found.values())
        table.add_row(path.name, f"{count:,}", f"{worst * 1e6:.4f}", "<= 1")
    console.print(table)


def main() -> None:
    """Print the tables."""
    console = Console(width=140)
    logging.getLogger(pyxdf.__name__).setLevel(logging.ERROR)
    paths = [Path(name) for name in sys.argv[1:]] or sorted(DATA.glob("*.xdf"))
    simulated(console)
    if paths:
        recorded(console, paths)
        imported(console, paths)
    else:
        print(f"no recorded files in {DATA}: name some to have their rows")


if __name__ == "__main__":
    main()
