"""Train a network by a YAML file; its key ``task`` says which kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ConfigDict
from rich.console import Console

from nodes.commands.commission import Bar
from pipeline.config import load_settings
from pipeline.core.errors import ConfigError
from pipeline.core.settings import Settings

TASKS = ("classifier",)


class AnyTraining(Settings):
    """What the files of all trainings have in common."""

    model_config = ConfigDict(extra="ignore")

    task: str
    """What is trained."""


def register(app: typer.Typer) -> None:
    """Add ``train`` to the command line."""
    app.command(name="train")(command)


def command(
    config: Annotated[
        Path, typer.Argument(help="What to train, as configs/models/classifier.yaml.")
    ],
    data: Annotated[Path, typer.Option("--data", help="Labelled folder: CLASS/SAMPLE.EXT.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The network's file.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was cut off.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Where all that is random comes from.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder of the report; none: beside the file.")
    ] = None,
) -> None:
    """Train a network by a YAML file; its key ``task`` says which kind."""
    task = load_settings(config, AnyTraining).task
    if task not in TASKS:
        raise ConfigError(
            f"no training of the task {task!r}",
            where=str(config),
            fix=f"task: {' or '.join(TASKS)}",
        )
    _classifier(config, data, output, resume, seed, report)


def _classifier(
    config: Path, data: Path, output: Path, resume: bool, seed: int | None, report: Path | None
) -> None:
    from nodes.commands.classify import tell, tell_unusable
    from nodes.train_classifier import train_classifier, warnings_of
    from pipeline.training.classifier import ClassifierSettings

    settings = load_settings(config, ClassifierSettings)
    if seed is not None:
        loop = settings.loop.model_copy(update={"seed": seed})
        settings = settings.model_copy(update={"loop": loop})
    console = Console()
    with Bar(console) as bar:
        found = train_classifier(
            settings, data, output, resume=resume, report=report, progress=bar.tell
        )
    tell_unusable(console, found.unusable)
    tell(console, found.judged, warnings_of(found.judged, found.saved.classes))
    history = found.history
    console.print(
        f"best after {history.best_step} of {history.steps} steps, {history.seconds:.0f} s"
    )
    console.print(f"{output} and {found.report} written", soft_wrap=True)
