"""A table of readings through the real path: windows, `commission`, `Scorer`.

A row is judged by the window that ends with it, so that no score knows what comes later. Rows
before the first whole window take the score of the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import SensorSlice, Window
from pipeline.detection.scorer import Scorer, calibration_of
from pipeline.detection.transition import anomaly_score
from pipeline.models.settings import DetectorSettings
from pipeline.training.commissioning import commission
from pipeline.training.metrics import Floats

SCENE = "table"
STREAM = "readings"
_FIRST = 1_000_000  # grid index of the first window


@dataclass(frozen=True, slots=True)
class Table:
    """How a table of readings becomes windows.

    Attributes:
        names: The channels, ``C``.
        period_s: Time from one row to the next, seconds.
        rows: Rows in a window; the hop is one row.
    """

    names: tuple[str, ...]
    period_s: float
    rows: int

    @property
    def info(self) -> StreamInfo:
        """The table as a stream."""
        shape = (len(self.names),)
        return StreamInfo(
            STREAM, Modality.SENSOR, 1 / self.period_s, shape, "float64", channels=self.names
        )

    def windows(self, values: Floats, first_row: int = 0) -> Iterator[Window]:
        """Whole windows of `values`, ``(n, C)``, whose first row is number `first_row`."""
        hop_ns = round(self.period_s * 1e9)
        for at in range(len(values) - self.rows + 1):
            start_ns = (_FIRST + first_row + at) * hop_ns
            part = values[at : at + self.rows]
            grid = start_ns + np.arange(self.rows, dtype=np.int64) * hop_ns
            seen = np.isfinite(part)
            piece = SensorSlice(self.info, grid, part, seen, float(seen.mean()))
            end_ns = start_ns + self.rows * hop_ns
            yield Window(SCENE, _FIRST + first_row + at, start_ns, end_ns, {STREAM: piece})


@dataclass(frozen=True, slots=True)
class Judged:
    """Scores of a table that was not learnt from.

    Attributes:
        levels: ``-log10 p`` of each row, ``(n,)``.
        held: The same of the windows that were learnt, by detectors that had not seen them.
    """

    levels: Floats
    held: Floats


def judge(
    table: Table, normal: Floats, fresh: Floats, settings: DetectorSettings | None = None
) -> Judged:
    """Learn one stretch and score the one that follows it.

    Args:
        table: How rows become windows.
        normal: Rows that are learnt, ``(m, C)``.
        fresh: Rows that are judged, ``(n, C)``; the first windows reach back into `normal`.
        settings: Of the detector.
    """
    model, _ = commission(SCENE, table.windows(normal), settings)
    scorer = Scorer({SCENE: model}, "cpu")
    reach = min(table.rows - 1, len(normal))
    both = np.concatenate([normal[len(normal) - reach :], fresh])
    windows = table.windows(both, len(normal) - reach)
    scores = [anomaly_score(score.p) for w in windows for score in scorer.score([w])]
    return Judged(np.array(scores), calibration_of(model).held_scores)


def stacked(values: npt.ArrayLike) -> Floats:
    """As float64, constants of no use left in: a detector has to cope with them."""
    return np.asarray(values, np.float64)


def names_of(count: int) -> tuple[str, ...]:
    """Names for channels that have none."""
    return tuple(f"channel-{number}" for number in range(count))


def joined(parts: Sequence[Judged]) -> Judged:
    """Several tables, one after the other."""
    return Judged(
        np.concatenate([part.levels for part in parts]),
        np.concatenate([part.held for part in parts]),
    )
