"""A picture of a sync test: how well streams agree at each offset, and what each saw."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nodes.sync import SyncFinding
from pipeline.alignment.activity import Activity
from pipeline.alignment.sync_offset import SyncOffset

_BLUE, _GREEN, _GREY = "#3f8fd6", "#2fa374", "#8b929c"


def draw(finding: SyncFinding, path: Path) -> None:
    """Write a PNG: a row for each stream that was compared."""
    rows = len(finding.offsets)
    figure = Figure(figsize=(12, 2.6 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{finding.scene}: offsets against {finding.reference}")
    axes = figure.subplots(rows, 2, squeeze=False, width_ratios=(1, 2))
    reference = finding.activities[finding.reference]
    for (left, right), offset in zip(axes, finding.offsets, strict=True):
        _curve(left, offset)
        _seen(right, reference, finding.activities[offset.second])
    figure.savefig(path, dpi=110)


def _curve(axes: Axes, offset: SyncOffset) -> None:
    """Agreement by offset, the offset that was found and how far it may be off."""
    order = offset.offsets_ns.argsort()
    axes.plot(offset.offsets_ns[order] / 1e6, offset.curve[order], color=_BLUE, linewidth=1)
    middle, off = offset.offset_ns / 1e6, offset.uncertainty_ns / 1e6
    axes.axhline(offset.wrong, color=_GREY, linestyle="--", linewidth=0.8)
    said = "nothing in common"
    if offset.sure:
        axes.axvspan(middle - off, middle + off, color=_GREEN, alpha=0.25)
        axes.axvline(middle, color=_GREEN)
        said = f"{middle:+.0f} ± {off:.0f} ms"
    axes.set_title(f"{offset.second}: {said}", fontsize=10)
    axes.set_xlabel("later than the reference, ms")
    axes.set_ylabel("agreement")


def _seen(axes: Axes, reference: Activity, other: Activity) -> None:
    """What both saw: the reference upwards, the other downwards."""
    begin_ns = min(int(reference.begin_ns[0]), int(other.begin_ns[0]))
    for activity, sign, colour in ((reference, 1, _GREY), (other, -1, _BLUE)):
        seconds = (activity.end_ns - begin_ns) / 1e9
        axes.plot(seconds, sign * activity.amount, color=colour, linewidth=0.7, label=activity.name)
    axes.set_xlabel("seconds")
    axes.set_ylabel("change")
    axes.legend(loc="upper right", fontsize=8)
