"""A picture of the alignment benchmark: what share of the samples that came was used, over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.benchmarks.alignment_streams import T0, S

_BLUE, _ORANGE, _GREY = "#3f8fd6", "#d9822b", "#8b929c"
BIN_S = 2.0


@dataclass(frozen=True)
class Use:
    """What came of one stream: ``(N,)`` stamps, and which of them each engine used.

    Attributes:
        stream: What it is.
        stamps_ns: Of all samples that came.
        ours: Which went into a window.
        peer: Which went into a set.
    """

    stream: str
    stamps_ns: npt.NDArray[np.int64]
    ours: npt.NDArray[np.bool_]
    peer: npt.NDArray[np.bool_]


def draw(uses: Sequence[Use], path: Path) -> None:
    """Write a PNG: a row a stream."""
    figure = Figure(figsize=(11, 2.4 * len(uses) + 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(
        "Samples used, of those that came: 1 ms of jitter, 2% drops, 1% late, "
        "a stall of 0.8 s a stream, 5 s without a camera"
    )
    rows = figure.subplots(len(uses), 1, sharex=True, squeeze=False)[:, 0]
    for axes, use in zip(rows, uses, strict=True):
        _row(axes, use)
    rows[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=110)


def _row(axes: Axes, use: Use) -> None:
    seconds = (use.stamps_ns - T0) / S
    edges = np.arange(0.0, seconds.max() + BIN_S, BIN_S)
    came, _ = np.histogram(seconds, edges)
    middles = edges[:-1] + BIN_S / 2
    for used, name, colour in (
        (use.ours, "fusewatch", _BLUE),
        (use.peer, "nearest-stamp matcher in the way of ROS 2, one of each a set", _ORANGE),
    ):
        hits, _ = np.histogram(seconds[used], edges)
        share = np.where(came > 0, 100 * hits / np.maximum(came, 1), np.nan)
        label = f"{name}: {100 * used.mean():.2f}%"
        axes.plot(middles, share, color=colour, marker=".", linewidth=1.2, label=label)
    ordered = np.sort(seconds)
    for gap in np.flatnonzero(np.diff(ordered) > 1.0):
        axes.axvspan(ordered[gap], ordered[gap + 1], color=_GREY, alpha=0.25, linewidth=0)
        axes.text(ordered[gap : gap + 2].mean(), 52, "none came", ha="center", fontsize=8)
    axes.set_ylim(-5, 108)
    axes.set_ylabel(f"{use.stream}, %")
    axes.grid(visible=True, color=_GREY, alpha=0.25)
    axes.legend(loc="center left", fontsize=9)
