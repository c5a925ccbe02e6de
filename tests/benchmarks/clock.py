"""The clock offset: how exact it is, how honest its bound, beside LSL.

Run ``python -m tests.benchmarks.clock [--seeds N] [--plot FILE.png]``.

One host is measured: two processes over real sockets, beside pylsl in the same run. The lines
are simulated (`clock_lines`), beside a clean-room model of LSL's estimator (`clock_runs.run_lsl`).
Coverage is looked at 50 times a second, so between estimates as well as at them, and the moments
between a step and the first answer after it count.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from tests.benchmarks.clock_host import HostRun, run_pair
from tests.benchmarks.clock_lines import LAN, LINES, WIFI, Line
from tests.benchmarks.clock_plot import Panel, draw
from tests.benchmarks.clock_runs import Array, Run, run_lsl, run_ours

SECONDS = 600.0
HOST_S = 20.0
COVERED = 0.999
SHOWN: dict[str, tuple[float, float] | None] = {
    "LAN": None,
    "busy Wi-Fi": None,
    "DSL, 5 ms down, 20 ms up": None,
    "LAN, NTP slews by 20 ppm": None,
    "LAN, site -3 ms, +3 ms": (197, 207),
    "busy Wi-Fi, node +1 h": (197, 207),
    "busy Wi-Fi, suspend, node time off by 0.4 s": (500, 510),
}


@dataclass(frozen=True)
class Figures:
    """What several runs on one line came to; times in microseconds."""

    covered: float
    worst_covered: float
    p50: float
    p99: float
    bound: float
    bound_to_error: float
    bound_to_best: float
    forgotten: Counter[str]


def figures(runs: Sequence[Run], line: Line) -> Figures:
    """Figures over all moments of all runs."""
    error = np.abs(np.concatenate([run.error_ns for run in runs]))
    bound = np.concatenate([run.bound_ns for run in runs])
    known = ~np.isnan(error)
    error, bound = error[known], bound[known]
    return Figures(
        float(np.mean(error <= bound)),
        min(run.covered for run in runs),
        float(np.median(error)) / 1e3,
        float(np.percentile(error, 99)) / 1e3,
        float(np.median(bound)) / 1e3,
        float(np.median(bound) / np.median(error)),
        float(np.median(bound)) / line.best_ns,
        sum((run.forgotten for run in runs), Counter()),
    )


def bench_host() -> tuple[HostRun, HostRun]:
    """The row of GOALS for one host; measured."""
    ours, lsl = run_pair(HOST_S)
    print(
        f"one host, {HOST_S:.0f} s, real sockets         p50      max    first answer   bound p50"
    )
    for name, run in (("fusewatch", ours), ("pylsl", lsl)):
        bound = f"{np.median(run.bound_ns) / 1e3:8.1f} us" if name == "fusewatch" else "       none"
        print(
            f"  {name:26} {_p50(run.error_ns):8.1f} {_most(run.error_ns):8.1f} us"
            f" {run.first_s * 1e3:9.1f} ms {bound}"
        )
    inside = float(np.mean(np.abs(ours.error_ns) <= ours.bound_ns))
    print(
        f"  pylsl / fusewatch          {_p50(lsl.error_ns) / _p50(ours.error_ns):7.1f}x"
        f" {_most(lsl.error_ns) / _most(ours.error_ns):7.1f}x"
        f"    {lsl.first_s / ours.first_s:9.1f}x"
    )
    print(
        f"  target                     <= 10, <= 30 us, <= 100 ms; within the bound {inside:.2%}\n"
    )
    return ours, lsl


def bench_lines(seeds: int) -> dict[str, tuple[Run, Run]]:
    """Coverage and exactness of every line; the first run of each, for the plot."""
    print(f"simulated lines, {seeds} x {SECONDS:.0f} s; LSL is a clean-room model; us")
    print(
        f"{'':44} covered   worst     p50     p99   bound /error /best | LSL: p50     p99"
        "   p99 ratio  forgot"
    )
    first = {}
    for line in LINES:
        ours = [run_ours(line, seed, SECONDS) for seed in range(seeds)]
        lsl = [run_lsl(line, seed, SECONDS) for seed in range(seeds)]
        first[line.name] = ours[0], lsl[0]
        _print_line(line, figures(ours, line), figures(lsl, line))
    print(f"target: covered >= {COVERED:.1%}; /best is to half the best round trip, the limit\n")
    return first


def _print_line(line: Line, ours: Figures, lsl: Figures) -> None:
    forgot = " ".join(f"{why} {count}" for why, count in sorted(ours.forgotten.items()))
    print(
        f"{line.name:44} {ours.covered:7.3%} {ours.worst_covered:7.3%} {ours.p50:7.1f}"
        f" {ours.p99:7.1f} {ours.bound:7.1f} {ours.bound_to_error:5.1f}x {ours.bound_to_best:4.2f}x"
        f" | {lsl.p50:8.1f} {lsl.p99:7.1f} {lsl.p99 / ours.p99:8.1f}x   {forgot}",
        flush=True,
    )
    for limit_line, limit_us in ((LAN, 30), (WIFI, 500)):
        if line is limit_line:
            print(f"{'':44} target: p99 <= {limit_us} us, reached: {ours.p99 <= limit_us}")


def panels(lines: dict[str, tuple[Run, Run]], host: tuple[HostRun, HostRun]) -> list[Panel]:
    """What is drawn: the measured host, then the lines of `SHOWN`."""
    ours, lsl = host
    at_s = np.linspace(0, HOST_S, len(ours.error_ns))
    found = [Panel("one host (measured)", at_s, ours.error_ns, ours.bound_ns, lsl.error_ns)]
    for name, shown_s in SHOWN.items():
        run, model = lines[name]
        found.append(Panel(name, run.at_s, run.error_ns, run.bound_ns, model.error_ns, shown_s))
    return found


def _p50(error_ns: Array) -> float:
    return float(np.median(np.abs(error_ns))) / 1e3


def _most(error_ns: Array) -> float:
    return float(np.max(np.abs(error_ns))) / 1e3


def main() -> None:
    """Print the tables, draw the plot if asked for one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="runs of each line")
    parser.add_argument("--plot", type=Path, help="PNG of error and bound over time")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    host = bench_host()
    lines = bench_lines(options.seeds)
    if options.plot:
        draw(panels(lines, host), options.plot)
        print(f"drawn: {options.plot}")


if __name__ == "__main__":
    main()
