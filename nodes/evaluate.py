"""Evaluation of a model on a recording, or of scores in a file, against labels.

The recording goes through the very engine that runs live; the threshold is the one that the
model's calibration sets for the alarm's budget. Nothing is taken from the recording judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nodes.assembly import build_engine
from nodes.replay import SECOND_NS, arrivals_of, driven, start_of
from pipeline.config.deployment import Deployment
from pipeline.core.errors import ConfigError, RecordingError
from pipeline.core.window import Window
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import Scorer
from pipeline.models.checkpoint import load_model
from pipeline.models.scene_model import SceneModel
from pipeline.training.evaluation import evaluate
from pipeline.training.evaluation_result import Evaluation, Limit
from pipeline.training.judging import RATES_PER_HOUR
from pipeline.training.labels import read_labels, read_normal
from pipeline.training.levels import levels_of
from pipeline.training.metrics import Floats
from pipeline.training.score_file import read_scores
from pipeline.training.watched import Watched, watch

Progress = Callable[[str, int, int | None], None]


@dataclass(slots=True)
class _Heard:
    """What came of the windows: scores, and plain levels by the window's index."""

    scores: list[WindowScore] = field(default_factory=list)
    levels: dict[int, dict[str, float]] = field(default_factory=dict)

    def take(self, windows: Sequence[Window], scores: Sequence[WindowScore]) -> None:
        self.scores.extend(scores)
        self.levels.update((window.index, levels_of(window)) for window in windows)

    def baselines(self) -> dict[str, Floats]:
        """Each level as a value a scored window, NaN where it is not known."""
        names = {name for levels in self.levels.values() for name in levels}
        found = [self.levels.get(score.index, {}) for score in self.scores]
        return {n: np.array([one.get(n, np.nan) for one in found]) for n in sorted(names)}


def evaluate_recording(
    deployment: Deployment,
    scene: str,
    recordings: Sequence[Path],
    labels: Path,
    *,
    model: Path | None = None,
    from_s: float | None = None,
    to_s: float | None = None,
    budget: str | None = None,
    progress: Progress = lambda *_: None,
) -> tuple[Evaluation, Watched]:
    """Judge a model by recordings of one run.

    Args:
        deployment: The deployment; its scene says the alarm's rules and budget.
        scene: The scene that is judged.
        recordings: Files, in any order; they are read as one.
        labels: Labels file.
        model: Model file instead of the scene's own.
        from_s: Begin at this second of the recording.
        to_s: End at this second of the recording.
        budget: Alarm budget instead of the scene's.
        progress: Told the stage, the windows scored, and how many there are (None: not known).

    Raises:
        ConfigError: There is no model, or the labels are wrong.
        ModelError: The model cannot be used.
        RecordingError: A recording cannot be read, or nothing of it can be scored.
    """
    settings = deployment.scenes[scene]
    file = model or settings.model
    if file is None:
        raise ConfigError("has no model to evaluate", where=f"scene {scene}", fix="give --model")
    alarm = _with_budget(settings.alarm, budget)
    alone = deployment.model_copy(
        update={"scenes": {scene: settings.model_copy(update={"alarm": alarm})}}
    )
    start_ns = start_of(recordings)
    truth, normal = read_labels(labels, start_ns), read_normal(labels, start_ns)
    engine = build_engine(alone, models={scene: file}).engine
    heard = _Heard()
    progress("scoring", 0, None)
    for _, outcome in driven(engine, arrivals_of(recordings, start_ns, from_s, to_s)):
        heard.take(outcome.windows, outcome.scores)
        if outcome.scores:
            progress("scoring", len(heard.scores), None)
    progress("scoring", len(heard.scores), len(heard.scores))
    if not heard.scores:
        where = ", ".join(str(path) for path in recordings)
        fix = "see fusewatch recording info for its streams and its span"
        raise RecordingError(f"no window of scene {scene!r} in it", where=where, fix=fix)
    learnt = load_model(file)
    watched = watch(heard.scores, truth, round(settings.hop_s * SECOND_NS), start_ns)
    limit, *limits = calibrated_limits(learnt, scene, alarm)
    warnings = _learnt_from(learnt, heard.scores)
    baselines = heard.baselines()
    progress("judging", 0, None)
    result = evaluate(
        watched, limit, alarm, limits=limits, levels=baselines, normal=normal, warnings=warnings
    )
    progress("judging", len(heard.scores), len(heard.scores))
    return result, watched


def evaluate_scores(
    file: Path,
    labels: Path,
    *,
    scene: str | None = None,
    alarm: AlarmSettings | None = None,
    model: Path | None = None,
    recordings: Sequence[Path] = (),
    from_s: float | None = None,
    to_s: float | None = None,
    budget: str | None = None,
) -> tuple[Evaluation, Watched]:
    """Judge scores that were written before.

    Args:
        file: CSV of scores, see `pipeline.training.score_file`.
        labels: Labels file.
        scene: Which scene of the file, if there are several.
        alarm: Rules of the alarm; None: the default.
        model: Model whose calibration sets the threshold; None: the p-values do.
        recordings: Recordings of the run, which place absolute times of labels.
        from_s: Leave out windows that start before this second.
        to_s: Leave out windows that end after this second.
        budget: Alarm budget instead of the alarm's own.

    Raises:
        ConfigError: The scores or the labels are wrong.
        ModelError: The model cannot be used.
    """
    scores, hop_ns = read_scores(file, scene)
    start_ns = start_of(recordings) if recordings else None
    truth, normal = read_labels(labels, start_ns), read_normal(labels, start_ns)
    kept = [score for score in scores if _within(score, from_s, to_s)]
    if not kept:
        raise ConfigError("no window lies between --from and --to", where=str(file))
    rules = _with_budget(alarm or AlarmSettings(), budget)
    if model is not None:
        learnt = load_model(model)
        limit, *limits = calibrated_limits(learnt, learnt.scene, rules)
    else:
        limit, *limits = [Limit.of_p_values(r, hop_ns / SECOND_NS) for r in _budgets(rules)]
    watched = watch(kept, truth, hop_ns)
    return evaluate(watched, limit, rules, limits=limits, normal=normal), watched


def calibrated_limits(model: SceneModel, scene: str, alarm: AlarmSettings) -> list[Limit]:
    """The limit of an alarm's budget, then those of other budgets, by a model's calibration."""
    scorer = Scorer({scene: model}, "cpu")
    return [Limit.calibrated(a.budget, scorer.budget(scene, a)) for a in _budgets(alarm)]


def _budgets(alarm: AlarmSettings) -> list[AlarmSettings]:
    """The alarm as it is, then with each of the usual budgets that is not its own."""
    usual = [_with_budget(alarm, f"{rate:g}/hour") for rate in RATES_PER_HOUR]
    own_hz = alarm.false_alarms_hz
    return [alarm, *(a for a in usual if abs(a.false_alarms_hz / own_hz - 1) > 1e-9)]


def _with_budget(alarm: AlarmSettings, budget: str | None) -> AlarmSettings:
    return alarm if budget is None else alarm.model_copy(update={"budget": budget})


def _within(score: WindowScore, from_s: float | None, to_s: float | None) -> bool:
    early = from_s is not None and score.start_ns < from_s * SECOND_NS
    late = to_s is not None and score.end_ns > to_s * SECOND_NS
    return not (early or late)


def _learnt_from(model: SceneModel, scores: Sequence[WindowScore]) -> list[str]:
    """Say so when the model was learnt or calibrated from the very time that it is judged on."""
    same = np.isin([score.end_ns for score in scores], model.known_end_ns).sum()
    if not same:
        return []
    return [
        f"{same} of the {len(scores)} windows are of a time that the model learnt from: "
        "the figures flatter it; judge a time after it (--from)"
    ]
