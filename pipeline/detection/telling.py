"""What is told of a window: its p-values, which detectors say so, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.core.explanation import Explanation
from pipeline.core.window import Window
from pipeline.detection.batching import Shown
from pipeline.detection.calibration import Calibration
from pipeline.detection.explanation import Scored, explain
from pipeline.detection.explanation_needs import spoken_relation
from pipeline.detection.score import NOTE_BELOW_P, TOGETHER, WindowScore
from pipeline.detection.scoring_state import SceneScoring
from pipeline.models.detector_names import BETWEEN, JOINT, ODD
from pipeline.models.network_verdict import NETWORK
from pipeline.models.quality import Quality
from pipeline.models.scene_model import Array, Features, SceneModel
from pipeline.models.wording import describe, describe_between


@dataclass(frozen=True, slots=True)
class Looked:
    """What the model of its scene saw in a window.

    Attributes:
        features: Of the streams that could be seen.
        quality: How well each of them saw.
        shown: What the model makes of them.
    """

    features: Features
    quality: Mapping[str, Quality]
    shown: Shown


def told(
    model: SceneModel,
    calibration: Calibration,
    live: SceneScoring,
    window: Window,
    looked: Looked,
    below_p: float = NOTE_BELOW_P,
) -> WindowScore:
    """The score of a window, and why.

    Args:
        model: The scene's model.
        calibration: Its calibration.
        live: What is remembered of the windows before; takes this one in.
        window: The window.
        looked: What the model saw in it.
        below_p: p-value from which on it is explained.
    """
    exponents = model.exponents(looked.quality)
    shown, features = looked.shown, looked.features
    commissioned = calibration.judge(shown.scores, exponents)
    verdict = live.judge(commissioned, window, _doubtful(model, exponents))
    scored = Scored(window, features, shown.places, shown.scores, verdict, shown.embeddings)
    explanation = explain(model, scored, lambda heard: calibration.judge(heard, exponents), below_p)
    # An alarm may begin where no detector stands out: then the one with the smallest p says why.
    rarest = min(verdict.detectors.values(), default=0.0) if explanation else 0.0
    notes = {
        detector: _note(model, scored, explanation, detector)
        for detector, p in verdict.detectors.items()
        if p <= max(NOTE_BELOW_P, rarest)
    }
    return WindowScore(
        scene=window.scene,
        index=window.index,
        start_ns=window.start_ns,
        end_ns=window.end_ns,
        p=verdict.p,
        detectors=verdict.detectors,
        notes=notes,
        missing=tuple(s.info.name for s in model.streams if s.info.name not in features),
        degraded={name: seen.reason for name, seen in looked.quality.items() if seen.reason},
        uncertainty_ns=max(window.uncertainty_ns.values(), default=0),
        explanation=explanation,
        hops=window.hops,
    )


def _doubtful(model: SceneModel, exponents: Array | None) -> frozenset[str]:
    """Detectors that cannot be trusted in full."""
    if exponents is None:
        return frozenset()
    pairs = zip(model.names, exponents, strict=True)
    return frozenset(name.partition("/")[0] for name, weight in pairs if weight < 1.0)


def _note(model: SceneModel, scored: Scored, explanation: Explanation | None, detector: str) -> str:
    part = scored.verdict.parts[detector]
    if detector == JOINT:
        return TOGETHER
    if detector in (BETWEEN, ODD, NETWORK):
        pair, channels = (explanation.pair, explanation.channels) if explanation else ((), ())
        relation = spoken_relation(part, pair)
        return describe_between([s.info for s in model.streams], relation, channels)
    stream = next(s for s in model.streams if detector in s.detectors)
    name = stream.info.name
    kind = part.partition("/")[2]
    seen = scored.window.slices[name]
    return describe(stream, kind, scored.features[name], scored.places[name], seen)
