"""What an evaluation says, as data. Where a figure has no meaning it is NaN, in JSON null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.calibration import Budget
from pipeline.training.event_metrics import TOLERANCE_S, EventFigures, Recall
from pipeline.training.labels import Label
from pipeline.training.stretches import StretchFigures

HOUR_S = 3600.0
CURVE_NOTE = (
    "The curve uses the labels. It shows what each threshold would have given on this very "
    "recording. The headline figures use the threshold that was set before, without labels."
)


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold that was set without the labels and without the recording that is judged.

    Attributes:
        budget: False alarms asked for, as ``COUNT/PERIOD``.
        threshold: On the anomaly score, ``-log10 p``.
        per_hour: The budget as false alarms per hour.
        low_per_hour: Lower end of the 90 % interval that the calibration expects; NaN: it
            says nothing.
        high_per_hour: Upper end.
        basis: Where the threshold comes from, in words.
        counted: True when the normal that was learnt is long enough to count such a rate.
    """

    budget: str
    threshold: float
    per_hour: float
    low_per_hour: float
    high_per_hour: float
    basis: str
    counted: bool

    @classmethod
    def calibrated(cls, name: str, budget: Budget) -> Limit:
        """The limit that a model's calibration sets for a budget."""
        length = f"{budget.calibration_s / 60:.0f} minutes of held-out normal"
        how = "counted on" if budget.supported else "extrapolated from"
        return cls(
            budget=name,
            threshold=budget.threshold,
            per_hour=budget.false_alarms_hz * HOUR_S,
            low_per_hour=budget.low_hz * HOUR_S,
            high_per_hour=budget.high_hz * HOUR_S,
            basis=f"the model's calibration, {how} {length}",
            counted=budget.supported,
        )

    @classmethod
    def of_p_values(cls, alarm: AlarmSettings, hop_s: float) -> Limit:
        """The limit that p-values set for a budget where no model is at hand.

        An alarm holds its level for so many windows, so with a share p of the windows over it
        there are at most ``p / (windows * hop)`` alarms a second.
        """
        windows = max(1, math.ceil(alarm.min_duration_s / hop_s))
        share = min(1.0, alarm.false_alarms_hz * windows * hop_s)
        return cls(
            budget=alarm.budget,
            threshold=max(0.0, -math.log10(share)),
            per_hour=alarm.false_alarms_hz * HOUR_S,
            low_per_hour=math.nan,
            high_per_hour=math.nan,
            basis="the p-values taken at their word, as no model was given",
            counted=False,
        )


@dataclass(frozen=True, slots=True)
class LimitFigures:
    """A limit and what it gave."""

    limit: Limit
    events: EventFigures


@dataclass(frozen=True, slots=True)
class RateFigures:
    """The best that any threshold gave within a rate of false alarms; uses the labels.

    Attributes:
        rate_per_hour: False alarms per hour that are allowed.
        events: Figures of the threshold that found most.
    """

    rate_per_hour: float
    events: EventFigures


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """Windows judged one by one.

    Attributes:
        windows: How many.
        anomalous: How many show a label.
        unclear: How many hold too little of one and were left out.
        auroc: Area under the ROC curve.
        auprc: Average precision; a random score gives the share that is anomalous.
        vus_pr: Volume under the range-based precision-recall surface.
        accuracy: At the headline threshold, as are the next three.
        precision: Share of hits that are anomalous.
        recall: Share of the anomalous that are hit.
        f1: Of both.
    """

    windows: int
    anomalous: int
    unclear: int
    auroc: float
    auprc: float
    vus_pr: float
    accuracy: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Group:
    """Labels of one kind, or of one set of modalities, at the headline threshold.

    Attributes:
        name: Kind, or modalities joined by ``+``.
        recall: Labels found and their delay.
        auroc: Their windows against normal ones.
        auprc: As average precision.
        vus_pr: Windows of other labels left out.
    """

    name: str
    recall: Recall
    auroc: float
    auprc: float
    vus_pr: float


@dataclass(frozen=True, slots=True)
class Row:
    """One score in the comparison: merged, a detector on its own, or a baseline.

    Attributes:
        name: Of the score.
        role: ``merged``, ``detector`` or ``baseline``.
        auroc: Over all labels.
        auprc: Average precision.
        vus_pr: Volume under the range-based precision-recall surface.
        kinds: AUROC per kind of label.
        found: Share of labels found at best within a rate of false alarms an hour, by rate.
    """

    name: str
    role: str
    auroc: float
    auprc: float
    vus_pr: float
    kinds: Mapping[str, float]
    found: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """One alarm at the headline threshold, seconds from the recording's start."""

    start_s: float
    raised_s: float
    end_s: float
    score: float
    p: float
    false: bool
    summary: str


@dataclass(frozen=True, slots=True)
class Miss:
    """A label that was not found.

    Attributes:
        label: The label.
        best_p: Smallest p of the windows that show it.
        at_s: End of that window.
        detector: Detector with the smallest p in them; empty when no detector is known.
        detector_p: Its p.
    """

    label: Label
    best_p: float
    at_s: float
    detector: str
    detector_p: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a model did on a recording whose truth is known.

    Attributes:
        scene: The scene.
        from_s: Start of the first window, seconds.
        to_s: End of the last.
        watched_s: Time that was scored.
        normal_s: Of it, outside of labels and their tolerance.
        hop_s: Step from one window to the next.
        tolerance_s: How far an alarm may lie from the label it finds.
        buffer_s: Longest buffer of VUS-PR.
        labels: Labels that were judged.
        outside: Labels that no scored window shows.
        headline: The threshold in force, and what it gave.
        limits: Further budgets with the thresholds the calibration sets for them.
        windows: Windows judged one by one.
        kinds: By kind of label.
        modality_sets: By where labels show.
        rows: Merged score, detectors and baselines.
        curve: False alarms against labels found, over thresholds; uses the labels.
        at_rates: The best of the curve within some rates; uses the labels.
        alarms: Alarms at the headline threshold.
        misses: Labels that were not found.
        warnings: What makes the figures less than they seem.
        stretches: Labelled stretches as wholes, the normal ones among them; None: only what is
            wrong is labelled, or only what is not.
        curve_note: What the curve may not be taken for.
    """

    scene: str
    from_s: float
    to_s: float
    watched_s: float
    normal_s: float
    hop_s: float
    labels: int
    outside: tuple[Label, ...]
    headline: LimitFigures
    limits: tuple[LimitFigures, ...]
    windows: WindowFigures
    kinds: tuple[Group, ...]
    modality_sets: tuple[Group, ...]
    rows: tuple[Row, ...]
    curve: tuple[EventFigures, ...]
    at_rates: tuple[RateFigures, ...]
    alarms: tuple[AlarmRow, ...]
    misses: tuple[Miss, ...]
    buffer_s: float
    warnings: tuple[str, ...] = ()
    stretches: StretchFigures | None = None
    tolerance_s: float = TOLERANCE_S
    curve_note: str = field(default=CURVE_NOTE)

    @property
    def false_alarms(self) -> tuple[AlarmRow, ...]:
        """Alarms that found no label."""
        return tuple(alarm for alarm in self.alarms if alarm.false)

    def to_json(self) -> str:
        """The evaluation as JSON; numbers that are none are null."""
        return json.dumps(_clean(asdict(self)), indent=1, allow_nan=False) + "\n"


def _clean(value: Any) -> Any:  # noqa: ANN401 - whatever asdict gives
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
