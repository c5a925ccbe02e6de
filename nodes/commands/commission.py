"""Learn what is normal for a scene from its recordings, and write its model file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from nodes.budget_words import budget_table, budget_words
from nodes.commands.replay import scene_of
from pipeline.config import load_deployment, load_settings
from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.training.commissioning_report import CommissioningReport


def register(app: typer.Typer) -> None:
    """Add ``commission`` to the command line."""
    app.command(name="commission")(command)


def command(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    recordings: Annotated[
        list[Path], typer.Option("--recording", "-r", help="Recording of normal time; repeatable.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Model file; none: the scene's own.")
    ] = None,
    scene: Annotated[
        str | None, typer.Option("--scene", help="Which scene, if there are several.")
    ] = None,
    detector: Annotated[
        Path | None,
        typer.Option("--detector", help="Options of the detector, as in configs/models/*.yaml."),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(
            "--network", help="Network of the scene from `fusewatch train`; none: without."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            "-l",
            help="JSON: [{start_s, end_s, kind}] of what is no normal: not learnt, but tried.",
        ),
    ] = None,
    report_folder: Annotated[
        Path | None,
        typer.Option("--report", help="Folder for the plot; none: that of the model file."),
    ] = None,
    from_s: Annotated[
        float | None, typer.Option("--from", help="Begin at this second of each recording.")
    ] = None,
    to_s: Annotated[
        float | None, typer.Option("--to", help="End at this second of each recording.")
    ] = None,
) -> None:
    """Learn what is normal for a scene from its recordings, and write its model file.

    Tells, before anything goes live, what the scene's budget of false alarms and others would
    have done on the recordings: alarms raised over normal time, and known events missed.
    """
    from nodes.budget_plot import draw
    from nodes.commission import commission_scene
    from pipeline.models.settings import DetectorSettings

    deployment = load_deployment(config)
    name = scene_of(deployment, scene)
    target = output or deployment.scenes[name].model
    if target is None:
        raise ConfigError("nowhere to write the model", where=f"scene {name}", fix="give -o FILE")
    settings = None if detector is None else load_settings(detector, DetectorSettings)
    console = Console()
    begun = time.monotonic()
    with Bar(console) as bar:
        report = commission_scene(
            deployment,
            name,
            recordings,
            target,
            from_s=from_s,
            to_s=to_s,
            settings=settings,
            network=network,
            labels=labels,
            progress=bar.tell,
        )
    tell(console, report)
    plot = (report_folder or target.parent) / f"{name}-budget.png"
    draw(report.preview, plot)
    console.print(f"{plot}: the budgets drawn", soft_wrap=True, highlight=False)
    console.print(f"{target} written, {time.monotonic() - begun:.0f} s")


class Bar:
    """A progress bar that follows the stages of commissioning."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, stage: str, done: int, total: int | None) -> None:
        """Show how far a stage is."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)


def tell(console: Console, report: CommissioningReport) -> None:
    """Print what was learnt, what the budgets mean, and what is doubtful."""
    console.print(
        f"scene {report.scene}: {report.windows} windows, {report.seconds / 60:.1f} minutes"
    )
    console.print(budget_table(report.preview))
    for line in budget_words(report.preview):
        console.print(line, highlight=False)
    for line in report.abilities.can:
        console.print(f"[green]finds:[/] {escape(line)}", highlight=False)
    for line in report.abilities.cannot:
        console.print(f"[yellow]does not:[/] {escape(line)}", highlight=False)
    for warning in report.warnings:
        console.print(f"[yellow]warning:[/] {warning}")
