"""The report of training a scene: JSON for programs, one HTML page for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from pipeline.core.errors import ModelError
from pipeline.training.evaluation_plots import BLUE, ORANGE, curves
from pipeline.training.report_page import page, table
from pipeline.training.report_words import number, seconds, short
from pipeline.training.retrieval import Retrieval
from pipeline.training.scene_training import PhaseOutcome, SceneTraining

_NAMES = {
    "self_supervision": "Each stream by itself (self-supervision)",
    "alignment": "Streams with each other (alignment)",
    "normality": "Do the streams belong together? (normality)",
    "fine_tune": "Labelled events (fine-tuning)",
}


def write_report(training: SceneTraining, scene: str, folder: Path) -> Path:
    """Write ``training.json`` and ``training.html``.

    Returns:
        The page.

    Raises:
        ModelError: The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        told = json.dumps(as_json(training, scene), indent=1)
        (folder / "training.json").write_text(told + "\n", "utf-8")
        path = folder / "training.html"
        path.write_text(page(f"Training of scene {scene}", _parts(training)), "utf-8")
    except OSError as error:
        raise ModelError(f"cannot be written: {error.strerror}", where=str(folder)) from error
    return path


def as_json(training: SceneTraining, scene: str) -> dict[str, Any]:
    """Everything that is known, in JSON's types."""
    learnt, held, labelled = training.windows
    return {
        "scene": scene,
        "windows": {"learnt_from": learnt, "held_out": held, "labelled": labelled},
        "parameters": training.parameters,
        "phases": [_phase_json(phase) for phase in training.phases],
        "retrieval": {
            "before": [asdict(one) for one in training.retrieval_before],
            "after": [asdict(one) for one in training.retrieval],
        },
    }


def _phase_json(phase: PhaseOutcome) -> dict[str, Any]:
    looks = phase.history.evaluations
    return {
        "phase": phase.kind,
        "held_out_before": phase.before,
        "held_out_after": phase.after,
        "best_step": phase.history.best_step,
        "steps": phase.history.steps,
        "seconds": round(phase.history.seconds, 3),
        "figures_before": phase.figures_before,
        "figures_after": phase.figures,
        "looks": [{"step": e.step, "loss": e.loss, "held_out": e.held_out} for e in looks],
    }


def _parts(training: SceneTraining) -> Iterator[str]:
    learnt, held, labelled = training.windows
    total = sum(phase.history.seconds for phase in training.phases)
    yield (
        f"<p class=lead>{learnt} windows learnt from, {held} held out"
        + (f", {labelled} with labels" if labelled else "")
        + f"; {training.parameters:,} parameters; {seconds(total)}.</p>"
    )
    yield "<h2>Phases</h2>"
    head = ("phase", "held-out loss before", "after", "best step", "of", "time")
    yield table(head, [_row(phase) for phase in training.phases])
    yield from (part for phase in training.phases for part in _phase(phase))
    if training.retrieval:
        yield from _retrieval(training.retrieval_before, training.retrieval)


def _row(phase: PhaseOutcome) -> list[str]:
    history = phase.history
    losses = f"{phase.before:.3f}", f"{phase.after:.3f}"
    steps = str(history.best_step), str(history.steps)
    return [_NAMES.get(phase.kind, phase.kind), *losses, *steps, seconds(phase.history.seconds)]


def _phase(phase: PhaseOutcome) -> Iterator[str]:
    looks = phase.history.evaluations
    learnt = [(look.step, look.loss) for look in looks if look.loss is not None]
    held = [(look.step, look.held_out) for look in looks if look.held_out is not None]
    lines = [
        (name, [step for step, _ in values], [loss for _, loss in values], colour)
        for name, values, colour in (("training", learnt, BLUE), ("held out", held, ORANGE))
    ]
    title = _NAMES.get(phase.kind, phase.kind)
    yield f"<h3>{escape(title)}</h3>"
    drawing = curves(lines, x="steps", y="loss", title=f"Losses of {phase.kind}")
    yield f"<div class=plot>{drawing}</div>"
    if phase.figures:
        before = phase.figures_before
        rows = [[name, short(before[name]), short(now)] for name, now in phase.figures.items()]
        yield table(("on held-out time", "before", "after"), rows)


def _retrieval(before: Sequence[Retrieval], after: Sequence[Retrieval]) -> Iterator[str]:
    yield "<h2>Do the streams find each other?</h2>"
    yield (
        "<p class=note>For each held-out window, the other stream's windows in order of "
        "likeness: how often its own comes first or among the first five, and its median rank. "
        "Moments in which nothing happens look alike, so no training reaches 1.</p>"
    )
    head = ("from, to", "windows", "first", "before", "by chance", "first five", "before",
            "median rank", "before", "by chance")  # fmt: skip
    rows = []
    for old, new in zip(before, after, strict=True):
        rows.append(
            [
                f"{new.asked}, {new.found}",
                str(new.windows),
                *(_share(r) for r in (new.recall_1, old.recall_1, new.chance_1)),
                *(_share(r) for r in (new.recall_5, old.recall_5)),
                *(number(r) for r in (new.median_rank, old.median_rank, new.chance_rank)),
            ]
        )
    yield table(head, rows)


def _share(value: float) -> str:
    return f"{value:.1%}"
