"""SMD and ASD, metrics of servers: 38 channels a minute, 19 channels every five minutes.

Each machine has a stretch to learn, with nothing marked in it, and one to judge; figures are
means over machines. A window is ten readings, its hop one. The limit is a p-value, `LIMIT`, of
held-out learnt windows; it was chosen on the machines of `CHOSEN_ON`. For a verdict, take the
others, but not those of SMD: how far a running level is followed was chosen by all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from tests.benchmarks.real.peers import peers
from tests.benchmarks.real.row_figures import HEAD, Figures, figures_of, line, mean_of
from tests.benchmarks.real.series import Table, judged

ROWS = 10
LIMIT = 1.5  # -log10 p
CHOSEN_ON = ("machine-2-1", "omi-1", "omi-3")
SETS: Mapping[str, tuple[str, float, str]] = {
    "smd": ("smd", 60.0, "≥ .630"),
    "asd": ("asd_omi", 300.0, "≥ .500"),
}


def measure(files: Iterable[Path], period_s: float, rows: int = ROWS) -> dict[str, list[Figures]]:
    """Figures of the detector and its peers, one a machine."""
    found: dict[str, list[Figures]] = {}
    for number, path in enumerate(files):
        with np.load(path) as held:
            normal, fresh = (np.asarray(held[part], np.float64) for part in ("train", "test"))
            truth = held["label"] > 0
        table = Table(normal.shape[1], period_s, rows)
        every = {"fusewatch": judged(table, normal, fresh)}
        every |= peers(rows, normal, fresh, number)
        for name, levels in every.items():
            found.setdefault(name, []).append(figures_of(truth, levels.fresh, LIMIT))
    return found


def run(data: Path, which: str) -> None:
    """Print the figures of either half of the machines of a set."""
    folder, period_s, target = SETS[which]
    files = sorted((data / folder).glob("*.npz"))
    for what, half in (
        ("options were chosen on", [f for f in files if f.stem in CHOSEN_ON]),
        ("looked at once", [f for f in files if f.stem not in CHOSEN_ON]),
    ):
        if not half:
            continue
        print(line(f"{which}, {what}: {', '.join(path.stem for path in half)}", []))
        print(line("", [*HEAD, "  VUS-PR each"]))
        print(line("target", ["", target, "≥ .400", ""]))
        for name, each in measure(half, period_s).items():
            alone = "  ".join(f"{one.vus_pr:.3f}".removeprefix("0") for one in each)
            print(line(name, [*mean_of(each).cells(), f"  {alone}"]), flush=True)
        print()
