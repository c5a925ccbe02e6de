"""Judge a model by a recording with labels: what was found, how late, how many false alarms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nodes.commands._options import check_span
from nodes.commands.replay import scene_of
from nodes.recording_files import recording_files
from nodes.replay import write_scores
from nodes.stage_bar import StageBar
from pipeline.config import load_deployment
from pipeline.detection.alarm import AlarmSettings
from pipeline.training.labels import NORMAL
from pipeline.training.report_words import number, seconds, share, short

if TYPE_CHECKING:
    from pipeline.config.deployment import Deployment
    from pipeline.training.evaluation_result import Evaluation
    from pipeline.training.event_metrics import Recall
    from pipeline.training.stretches import StretchFigures


def register(app: typer.Typer) -> None:
    """Add ``evaluate`` to the command line."""
    app.command(name="evaluate")(command)


def command(
    labels: Annotated[
        Path,
        typer.Option(
            "--labels",
            "-l",
            help="JSON: [{start_s, end_s, kind, modalities}], or of feedback export.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.")],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Deployment file.")] = None,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Model file instead of the deployment's.")
    ] = None,
    recordings: Annotated[
        list[Path] | None,
        typer.Option("--recording", "-r", help="Recording of one run, or folder; repeatable."),
    ] = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", help="CSV of `replay --scores` instead of replaying.")
    ] = None,
    scene: Annotated[
        str | None, typer.Option("--scene", help="Which scene, if there are several.")
    ] = None,
    from_s: Annotated[
        float | None, typer.Option("--from", help="Begin at this second of the recording.")
    ] = None,
    to_s: Annotated[
        float | None, typer.Option("--to", help="End at this second of the recording.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Alarm budget instead of the scene's: 6/hour.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the evaluation as JSON, and nothing else.")
    ] = False,
) -> None:
    """Judge a model by a recording with labels: what was found, how late, how many false alarms.

    The threshold is what the model's calibration sets for the scene's alarm budget, never taken
    from the recording that is judged.
    """
    from nodes.evaluate import evaluate_recording, evaluate_scores
    from pipeline.training.evaluation_report import write_report

    _check(budget, from_s, to_s)
    deployment = load_deployment(config) if config is not None else None
    span = {"from_s": from_s, "to_s": to_s}
    files = recording_files(recordings or ())
    with StageBar(Console(stderr=True)) as bar:
        if scores is not None:
            alarm = _alarm(deployment, scene)
            evaluation, watched = evaluate_scores(
                scores, labels, scene=scene, alarm=alarm, model=model, budget=budget,
                recordings=files, **span,
            )  # fmt: skip
        else:
            if deployment is None or not files:
                what = "give --config and --recording, or --scores"
                raise typer.BadParameter(what, param_hint="--recording")
            evaluation, watched = evaluate_recording(
                deployment, scene_of(deployment, scene), files, labels,
                model=model, budget=budget, progress=bar.tell, **span,
            )  # fmt: skip
        report = write_report(output, evaluation, watched)
        write_scores(output / "scores.csv", watched.scores, watched.start_ns)
    if as_json:
        typer.echo(evaluation.to_json(), nl=False)
    else:
        tell(Console(), evaluation)
        Console().print(f"report: {report}", soft_wrap=True, highlight=False, markup=False)


def _check(budget: str | None, from_s: float | None, to_s: float | None) -> None:
    check_span(from_s, to_s)
    try:
        AlarmSettings() if budget is None else AlarmSettings(budget=budget)
    except ValueError as error:
        what = "write COUNT/PERIOD, as in 6/hour"
        raise typer.BadParameter(what, param_hint="--budget") from error


def _alarm(deployment: Deployment | None, scene: str | None) -> AlarmSettings | None:
    """Rules of the scene's alarm, if a deployment was given."""
    if deployment is None:
        return None
    return deployment.scenes[scene_of(deployment, scene)].alarm


def tell(console: Console, evaluation: Evaluation) -> None:
    """Print the figures that matter, by kind and by budget."""
    console.print(_kinds(evaluation))
    if evaluation.stretches is not None:
        console.print(_stretches(evaluation.stretches))
    console.print(_budgets(evaluation))
    console.print(_comparison(evaluation))
    limit = evaluation.headline.limit
    console.print(f"threshold {limit.threshold:.2f} by {escape(limit.basis)}", highlight=False)
    for warning in evaluation.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False)


def _kinds(evaluation: Evaluation) -> Table:
    events, windows = evaluation.headline.events, evaluation.windows
    title = f"{evaluation.scene}: at a budget of {evaluation.headline.limit.budget}"
    table = Table("kind", "found", "90 %", "delay", "AUROC", "AP", "VUS-PR", title=title)
    for group in evaluation.kinds:
        marks = (group.auroc, group.auprc, group.vus_pr)
        table.add_row(escape(group.name), *_recall(group.recall), *map(short, marks))
    table.add_section()
    marks = (windows.auroc, windows.auprc, windows.vus_pr)
    table.add_row("all", *_recall(events.recall), *map(short, marks))
    table.caption = f"event precision {short(events.precision)}, F1 {short(events.f1)}"
    return table


def _recall(recall: Recall) -> tuple[str, str, str]:
    span = f"{share(recall.low)} to {share(recall.high)}"
    return f"{recall.found} of {recall.labels}", span, seconds(recall.delay_median_s)


def _stretches(figures: StretchFigures) -> Table:
    head = ("kind", "with an alarm", "AUROC", "to 10 %", "by the mean", "to 10 %")
    table = Table(*head, title="labelled stretches, each as a whole")
    for group in (*figures.kinds, figures.every):
        marks = (group.auroc, group.partial, group.auroc_mean, group.partial_mean)
        alarms = f"{group.alarms} of {group.stretches}"
        table.add_row(escape(group.name), alarms, *map(short, marks))
    table.add_section()
    table.add_row(NORMAL, f"{figures.false} of {figures.normal}")
    table.caption = (
        "by a stretch's highest score and by its mean one; to 10 %: where at most a tenth of the "
        "normal ones is hit, .50 by chance"
    )
    return table


def _budgets(evaluation: Evaluation) -> Table:
    title = "thresholds set before, by budget"
    table = Table("budget", "threshold", "false alarms an hour", "90 %", "found", "F1", title=title)
    for one in (evaluation.headline, *evaluation.limits):
        events = one.events
        span = f"{number(events.low_per_hour)} to {number(events.high_per_hour)}"
        found = f"{events.recall.found} of {events.recall.labels}"
        rate = number(events.per_hour)
        table.add_row(
            one.limit.budget, f"{events.threshold:.2f}", rate, span, found, short(events.f1)
        )
    return table


def _comparison(evaluation: Evaluation) -> Table:
    rates = list(evaluation.rows[0].found)
    found = (f"{rate}/h" for rate in rates)
    table = Table("score", "AUROC", "AP", "VUS-PR", *found, title="beside others")
    table.caption = "N/h: labels found at best within N false alarms an hour; uses the labels"
    for row in evaluation.rows:
        marks = map(short, (row.auroc, row.auprc, row.vus_pr))
        table.add_row(escape(row.name), *marks, *(share(row.found[rate]) for rate in rates))
    return table
