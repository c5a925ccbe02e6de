"""What commissioning has to say: how much was learnt, what the budgets mean, what is doubtful."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.calibration import Calibration
from pipeline.detection.scorer import calibration_of
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import Evidence
from pipeline.training.abilities import Abilities, abilities
from pipeline.training.budget_preview import BudgetPreview, preview
from pipeline.training.normal_rows import NormalRows
from pipeline.training.odd_training import OddLearnt

_SHORT_S = 600.0
_SPARSE = 0.9
_MOSTLY = 0.5
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """How one detector did on held-out normal.

    Attributes:
        windows: Held-out windows it saw.
        median: Median score (``-log10 p``); 0.3 when calibrated.
        highest: Highest score.
    """

    windows: int
    median: float
    highest: float


@dataclass(frozen=True, slots=True)
class CommissioningReport:
    """Outcome of commissioning a scene.

    Attributes:
        scene: Name of the scene.
        windows: Windows learnt from.
        seconds: Normal time they cover.
        calibrated_s: Normal time that calibrates and was not learnt, seconds; None: what is learnt
            does both.
        detectors: Held-out figures per detector.
        preview: What some budgets of false alarms would have done on the recording.
        abilities: What it can find, and what not.
        warnings: What the operator should know.
        answered: What the alarms of this time were called; None: nobody asked.
    """

    scene: str
    windows: int
    seconds: float
    calibrated_s: float | None
    detectors: Mapping[str, DetectorReport]
    preview: BudgetPreview
    abilities: Abilities
    warnings: tuple[str, ...]
    answered: str | None = None


def make_report(
    model: SceneModel,
    rows: NormalRows,
    odd: OddLearnt | None,
    alarm: AlarmSettings,
    *,
    apart: bool = False,
) -> CommissioningReport:
    """Sum up what was learnt, and what it means for an alarm.

    Args:
        model: The model.
        rows: What it was learnt from.
        odd: How learning the odd one out went; None when it was not learnt.
        alarm: The alarm.
        apart: Whether normal that was not learnt calibrates it.
    """
    seconds = rows.taken * model.hop_ns / 1e9
    return CommissioningReport(
        scene=model.scene,
        windows=rows.taken,
        seconds=seconds,
        calibrated_s=len(model.held.end_ns) * model.hop_ns / 1e9 if apart else None,
        detectors=_detectors(calibration_of(model)),
        preview=preview(model, alarm),
        abilities=abilities(model, odd, {*rows.end_ns().tolist(), *model.held.end_ns.tolist()}),
        warnings=tuple(_warnings(model, rows, seconds)),
    )


def _detectors(calibration: Calibration) -> dict[str, DetectorReport]:
    found: dict[str, DetectorReport] = {}
    for name, scores in calibration.held_by_detector().items():
        seen = scores[np.isfinite(scores)]
        if len(seen):
            found[name] = DetectorReport(len(seen), float(np.median(seen)), float(seen.max()))
    return found


def _warnings(model: SceneModel, rows: NormalRows, seconds: float) -> list[str]:
    found: list[str] = []
    if seconds < _SHORT_S:
        found.append(
            f"only {seconds / 60:.1f} minutes of normal: expect false alarms, 20 are a good start"
        )
    learnt = {s.info.name for s in model.streams}
    for data in rows.streams:
        share = len(data.features) / rows.kept
        if data.info.name not in learnt:
            found.append(f"stream {data.info.name!r} was hardly seen and is not part of the model")
        elif share < _SPARSE:
            found.append(f"stream {data.info.name!r} was missing in {1 - share:.0%} of the windows")
        if data.info.name in learnt and (same := data.constant()):
            shown = ", ".join(same[:_SHOWN]) + (", ..." if len(same) > _SHOWN else "")
            found.append(f"stream {data.info.name!r} never changed in: {shown}")
    asked = {Evidence.BETWEEN, Evidence.JOINT} & {*model.settings.evidence}
    names = [s.info.name for s in model.streams]
    if asked and len(names) > 1 and not model.together.names(names):
        found.append("the streams were hardly ever seen together: nothing watches between them")
    found.extend(_network_warnings(model))
    return found


def _network_warnings(model: SceneModel) -> list[str]:
    """What a trained network has learnt from cannot calibrate it, so it may have little left."""
    if model.network is None:
        return []
    new = np.isfinite(model.held.scores[:, model.names.index(model.network.names[0])])
    if new.mean() >= _MOSTLY:
        return []
    minutes = new.sum() * model.hop_ns / 60e9
    return [
        f"the trained network is calibrated by the {minutes:.1f} minutes that are new to it, and "
        "all detectors together by no more: commission from other normal too, or without it"
    ]
