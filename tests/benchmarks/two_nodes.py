"""How well samples of several machines lie on one timeline, over lines that are not perfect.

Run: ``python -m tests.benchmarks.two_nodes [--seconds 30] [--plot FILE.png]``, as root. A fusion
node and, over each kind of line, a node with a camera and one with a microphone, each process in
a network namespace of its own and with a clock of its own, off by up to an hour and 40 ppm. The
true time of every sample is known, see `tests.system.witnesses`.

A row a place: how far its stamps in the recording are from the truth, what they said of it
(`uncertainty_ns`, median), the worst of the one over the other, and how many were within; and
beside it by how much stamps at arrival, which is all that one has without a common clock, would
be late (p99), and our p99 over that. Then a row a line: how far a flash lies from its beep.
Clock offsets are learnt from nothing, so the first seconds of a link count.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.system.far_site import FarSite, Place
from tests.system.line_queue import BUSY_WIFI, DSL, LAN, Way
from tests.system.lines import hindrance
from tests.system.moments import (
    BEEP_READING_NS,
    FLASH_READING_NS,
    Kept,
    beeps,
    flashes,
)

MOBILE = Way(35.0, 80.0, loss=0.01, rate_mbps=5.0), Way(25.0, 40.0, loss=0.01, rate_mbps=20.0)
LINES = {"lan": LAN, "wifi": BUSY_WIFI, "dsl": DSL, "mobile": MOBILE}
MS = 1e6


@dataclass(frozen=True, slots=True)
class Stamps:
    """The samples of one place.

    Attributes:
        time_s: Since the first, true seconds, ``(n,)``.
        error_ms: Stamp less truth, ``(n,)``.
        bound_ms: What the sample says of it, ``(n,)``.
        arrival_ms: Arrival less when the frame or chunk was over, ``(n,)``.
    """

    time_s: npt.NDArray[np.float64]
    error_ms: npt.NDArray[np.float64]
    bound_ms: npt.NDArray[np.float64]
    arrival_ms: npt.NDArray[np.float64]


def places_of(line: str) -> dict[str, Place]:
    """A camera and a microphone behind a line."""
    ways = LINES[line]
    camera = Place("camera", *ways, ahead_s=-37.2, slow_ppm=30, jitter_ms=2)
    microphone = Place("microphone", *ways, ahead_s=3600.5, fast_ppm=40, slow_ppm=-60)
    return {f"{line}-camera": camera, f"{line}-microphone": microphone}


def run(line: str, seconds: float) -> dict[str, Stamps]:
    """Witness over one line, print its rows, and give the stamps of each place."""
    places = places_of(line)
    camera, microphone = places
    with tempfile.TemporaryDirectory(prefix="fusewatch-two-nodes-") as folder:
        with FarSite(Path(folder), places, {line: (camera, microphone)}) as site:
            site.begin(seconds)
            recording = site.end()
        kept = Kept.read(recording)
        found = {name: stamps_of(kept, site, name) for name in places}
    for name, stamps in found.items():
        print(row_of(name, stamps), flush=True)
    seen, heard = flashes(kept.samples(camera)), beeps(kept.samples(microphone))
    apart_ms = np.array([a.time_ns - b.time_ns for a, b in zip(seen, heard, strict=True)]) / MS
    reading_ns = FLASH_READING_NS + BEEP_READING_NS
    bounds_ms = [
        (a.unsure_ns + b.unsure_ns + reading_ns) / MS for a, b in zip(seen, heard, strict=True)
    ]
    print(line_of(f"{line}: flash to beep", apart_ms, np.array(bounds_ms)), flush=True)
    return found


def stamps_of(kept: Kept, site: FarSite, name: str) -> Stamps:
    """What the recording holds of a place, beside the truth."""
    arrivals = kept.arrivals[name]
    truth = np.array([site.true_ns(name, one.sample.sequence) for one in arrivals])
    over = np.array([site.over_ns(name, one.sample.sequence) for one in arrivals])
    return Stamps(
        (truth - truth[0]) / 1e9,
        (np.array([one.sample.timestamp_ns for one in arrivals]) - truth) / MS,
        np.array([one.sample.uncertainty_ns for one in arrivals]) / MS,
        (np.array([one.arrival_ns for one in arrivals]) - over) / MS,
    )


def row_of(name: str, stamps: Stamps) -> str:
    """The row of a place."""
    late = float(np.percentile(stamps.arrival_ms, 99))
    ours = float(np.percentile(np.abs(stamps.error_ms), 99))
    return f"{line_of(name, stamps.error_ms, stamps.bound_ms)} {late:10.1f} {ours / late:7.3f}"


def line_of(name: str, error_ms: npt.NDArray[np.float64], bound_ms: npt.NDArray[np.float64]) -> str:
    """What rows have in common."""
    size = np.abs(error_ms)
    middle, high = np.percentile(size, (50, 99))
    worst, within = (size / bound_ms).max(), np.mean(size <= bound_ms)
    figures = f"{middle:8.2f} {high:7.2f} {size.max():7.2f} {np.median(bound_ms):8.2f}"
    return f"{name:22} {figures} {worst:8.2f} {within:8.2%}"


def draw(found: dict[str, Stamps], path: Path) -> None:
    """Errors of each place over time, within what the samples said."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 1.8 * len(found)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    for one, (name, stamps) in zip(axes, found.items(), strict=True):
        one.fill_between(stamps.time_s, -stamps.bound_ms, stamps.bound_ms, color="#cfe3f5")
        one.plot(stamps.time_s, stamps.error_ms, color="#3f8fd6", linewidth=0.8)
        one.set_ylabel("ms off")
        one.set_title(name, fontsize=10)
    axes[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=110)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 69 when this machine cannot have lines."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.two_nodes", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seconds", type=float, default=30.0, help="how long, of each line")
    parser.add_argument("--lines", nargs="+", choices=LINES, default=list(LINES))
    parser.add_argument("--plot", type=Path, help="PNG to draw")
    options = parser.parse_args(arguments)
    if why := hindrance():
        print(f"not measured: {why}", file=sys.stderr)
        return 69
    print(f"{'milliseconds':22} {'off: p50':>8} {'p99':>7} {'max':>7} {'bound':>8}", end=" ")
    print(f"{'of it':>8} {'within':>8} {'arrival':>10} {'of it':>7}")
    found: dict[str, Stamps] = {}
    for line in options.lines:
        found.update(run(line, options.seconds))
    if options.plot is not None:
        draw(found, options.plot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
