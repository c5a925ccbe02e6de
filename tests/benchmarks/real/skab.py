"""SKAB, a water-circulation pump: 8 channels at 1 Hz, faults of the valve.

Of each file the first 400 rows are learnt and all later ones judged; the rows of all files are
pooled, so that what is told is also whether one limit means the same in every file. A window
is 20 readings, its hop one. The limit is a p-value, `LIMIT`, the same for the detector and its
peers; it was chosen on the files of `CHOSEN_ON`. For a verdict, take the other half.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.training.metrics import Bools, Floats
from tests.benchmarks.real.peers import peers
from tests.benchmarks.real.row_figures import HEAD, Figures, figures_of, line
from tests.benchmarks.real.series import Levels, Table, judged

LEARNT = 400
CHANNELS = 8
LIMIT = 1.7  # -log10 p
CHOSEN_ON = ("0", "4", "8", "12")
TABLE = Table(CHANNELS, 1.0, 20)


def read(path: Path) -> tuple[Floats, Bools]:
    """Readings ``(n, 8)`` of a file, and which rows are anomalous."""
    columns = range(1, CHANNELS + 2)
    rows = np.genfromtxt(path, delimiter=";", skip_header=1, usecols=columns)
    return rows[:, :CHANNELS], rows[:, CHANNELS] > 0


def measure(
    files: Iterable[Path], table: Table = TABLE, learnt: int = LEARNT
) -> dict[str, Figures]:
    """Figures of the detector and its peers over all rows of some files."""
    scores: dict[str, list[Levels]] = {}
    truths: list[Bools] = []
    for number, path in enumerate(files):
        values, truth = read(path)
        normal, fresh = values[:learnt], values[learnt:]
        truths.append(truth[learnt:])
        scores.setdefault("fusewatch", []).append(judged(table, normal, fresh))
        for name, levels in peers(table.rows, normal, fresh, number).items():
            scores.setdefault(name, []).append(levels)
    truth = np.concatenate(truths)
    return {
        name: figures_of(truth, np.concatenate([one.fresh for one in parts]), LIMIT)
        for name, parts in scores.items()
    }


def run(data: Path, table: Table = TABLE, learnt: int = LEARNT) -> None:
    """Print the figures of either half of the files."""
    files = sorted((data / "skab" / "valve1").glob("*.csv"), key=lambda path: int(path.stem))
    for what, half in (
        ("files that options were chosen on", [f for f in files if f.stem in CHOSEN_ON]),
        ("files looked at once", [f for f in files if f.stem not in CHOSEN_ON]),
    ):
        names = ", ".join(path.stem for path in half)
        print(line(f"SKAB, {what}: {names}", []))
        print(line("", HEAD))
        print(line("target", ["≥ .880", "≥ .900", "≥ .820", "≤ .220"]))
        for name, figures in measure(half, table, learnt).items():
            print(line(name, figures.cells()), flush=True)
        print()
