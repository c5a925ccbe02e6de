"""Several detectors learnt from the same normal time and judged by the same labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodes.commission import commission_scene
from nodes.evaluate import evaluate_recording
from pipeline.config.deployment import Deployment
from pipeline.models.settings import DetectorSettings
from pipeline.training.evaluation_result import Evaluation
from pipeline.training.watched import Watched

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds of a recording, from its beginning; None: its beginning, its end."""

    from_s: float | None = None
    to_s: float | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """One detector of a comparison.

    Attributes:
        name: What it is called, the name of its file.
        model: The model that was learnt.
        learnt_s: Processor time that learning took, seconds.
        evaluation: What it found.
        watched: Its scores beside the labels.
    """

    name: str
    model: Path
    learnt_s: float
    evaluation: Evaluation
    watched: Watched


@dataclass(frozen=True, slots=True)
class Comparison:
    """What detectors are compared on.

    Attributes:
        deployment: The deployment; its scene says the alarm's rules and budget.
        scene: The scene.
        normal: Recordings of normal time, one run each, oldest first.
        normal_span: What of each of them is learnt from.
        judged: Recordings of the run that is judged.
        judged_span: What of it is judged.
        labels: What is wrong in it.
        folder: Where models go.
        calibrate: Recordings of normal time that calibrate and are not learnt.
    """

    deployment: Deployment
    scene: str
    normal: Sequence[Path]
    normal_span: Span
    judged: Sequence[Path]
    judged_span: Span
    labels: Path
    folder: Path
    calibrate: Sequence[Path] = ()

    def run(
        self, detectors: Sequence[tuple[str, DetectorSettings]], progress: Progress
    ) -> Iterator[Compared]:
        """Learn and judge one detector after the other.

        Args:
            detectors: Name and options of each.
            progress: Told the stages of each, with its name before them.

        Raises:
            FusewatchError: See `commission_scene` and `evaluate_recording`.
        """
        for name, settings in detectors:
            yield self._one(name, settings, progress)

    def _one(self, name: str, settings: DetectorSettings, progress: Progress) -> Compared:
        model = self.folder / f"{name}.model"

        def told(stage: str, done: int, total: int | None) -> None:
            progress(f"{name}: {stage}", done, total)

        began = time.process_time()
        commission_scene(
            self.deployment,
            self.scene,
            self.normal,
            model,
            from_s=self.normal_span.from_s,
            to_s=self.normal_span.to_s,
            settings=settings,
            calibrate=self.calibrate,
            progress=told,
        )
        learnt_s = time.process_time() - began
        evaluation, watched = evaluate_recording(
            self.deployment,
            self.scene,
            self.judged,
            self.labels,
            model=model,
            from_s=self.judged_span.from_s,
            to_s=self.judged_span.to_s,
            progress=told,
        )
        return Compared(name, model, learnt_s, evaluation, watched)
