"""A table of readings through the real path: windows, `commission`, `Scorer`.

A row is judged by the window that ends with it, so that no score knows what comes later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import SensorSlice, Window
from pipeline.detection.scorer import Scorer, calibration_of
from pipeline.detection.transition import anomaly_score
from pipeline.training.commissioning import commission
from pipeline.training.metrics import Floats

SCENE = "table"
STREAM = "readings"
_FIRST = 1_000_000  # grid index of the first window


@dataclass(frozen=True, slots=True)
class Table:
    """How a table of readings becomes windows.

    Attributes:
        columns: How many channels, ``C``.
        period_s: Time from one row to the next, seconds.
        rows: Rows in a window; the hop is one row.
    """

    columns: int
    period_s: float
    rows: int

    @property
    def info(self) -> StreamInfo:
        """The table as a stream."""
        names = tuple(f"channel-{number}" for number in range(self.columns))
        shape = (self.columns,)
        return StreamInfo(
            STREAM, Modality.SENSOR, 1 / self.period_s, shape, "float64", channels=names
        )

    def windows(self, values: Floats, first_row: int = 0) -> Iterator[Window]:
        """Whole windows of `values`, ``(n, C)``, whose first row is number `first_row`."""
        hop_ns = round(self.period_s * 1e9)
        info = self.info
        for at in range(len(values) - self.rows + 1):
            index = _FIRST + first_row + at
            part = values[at : at + self.rows]
            grid = index * hop_ns + np.arange(self.rows, dtype=np.int64) * hop_ns
            seen = np.isfinite(part)
            piece = SensorSlice(info, grid, part, seen, float(seen.mean()))
            end_ns = (index + self.rows) * hop_ns
            yield Window(SCENE, index, index * hop_ns, end_ns, {STREAM: piece})


@dataclass(frozen=True, slots=True)
class Levels:
    """Scores by one detector.

    Attributes:
        fresh: Of each row that is judged, ``(n,)``; higher is more anomalous.
        held: Of what was learnt, as far as it was scored by what had not seen it, ``(m,)``.
    """

    fresh: Floats
    held: Floats


def judged(table: Table, normal: Floats, fresh: Floats) -> Levels:
    """Commission a scene from one stretch and score the one that follows it, as ``-log10 p``.

    Args:
        table: How rows become windows.
        normal: Rows that are learnt, ``(m, C)``.
        fresh: Rows that are judged, ``(n, C)``; the first windows reach back into `normal`.
    """
    model, _ = commission(SCENE, table.windows(normal))
    scorer = Scorer({SCENE: model}, "cpu")
    reach = table.rows - 1
    both = np.concatenate([normal[len(normal) - reach :], fresh])
    windows = table.windows(both, len(normal) - reach)
    scores = [anomaly_score(score.p) for window in windows for score in scorer.score([window])]
    return Levels(np.array(scores), calibration_of(model).held_scores)
