"""Train a network by a YAML file; its key ``task`` says which kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import ConfigDict
from rich.console import Console

from nodes.commands._options import check_span
from nodes.commands.replay import scene_of
from nodes.recording_files import recording_files
from nodes.stage_bar import StageBar
from pipeline.config import load_deployment, load_settings
from pipeline.core.errors import ConfigError
from pipeline.core.settings import Settings

Given = TypeVar("Given")

TASKS = ("classifier", "scene")


class AnyTraining(Settings):
    """What the files of all trainings have in common."""

    model_config = ConfigDict(extra="ignore")

    task: str
    """What is trained."""


def register(app: typer.Typer) -> None:
    """Add ``train`` to the command line."""
    app.command(name="train")(command)


def command(
    training: Annotated[
        Path,
        typer.Argument(
            help="What to train and how: configs/models/classifier.yaml, scene-network.yaml.",
            metavar="TRAINING",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The network's file.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Classifier: labelled folder, CLASS/SAMPLE.EXT.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Scene: deployment file.")
    ] = None,
    recordings: Annotated[
        list[Path] | None,
        typer.Option(
            "--recording", "-r", help="Scene: recording of normal time, or folder; repeatable."
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", "-l", help="Scene: JSON as for evaluate.")
    ] = None,
    labelled: Annotated[
        list[Path] | None,
        typer.Option(
            "--labelled", help="Scene: recording that the labels are of, or folder; repeatable."
        ),
    ] = None,
    scene: Annotated[
        str | None, typer.Option("--scene", help="Which scene, if there are several.")
    ] = None,
    from_s: Annotated[
        float | None, typer.Option("--from", help="Scene: begin at this second of the normal.")
    ] = None,
    to_s: Annotated[
        float | None, typer.Option("--to", help="Scene: end at this second of the normal.")
    ] = None,
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
    """Train a network by a YAML file; its key ``task`` says which kind.

    A classifier learns from a folder of labelled samples, the network of a scene from recordings
    of normal time, and from labelled events if there are any.
    """
    task = load_settings(training, AnyTraining).task
    if task not in TASKS:
        raise ConfigError(
            f"no training of the task {task!r}",
            where=str(training),
            fix=f"task: {' or '.join(TASKS)}",
        )
    if task == "classifier":
        folder = _given(data, "--data", "a classifier is trained on a labelled folder")
        _classifier(training, folder, output, resume, seed, report)
        return
    check_span(from_s, to_s)
    deployment = load_deployment(_given(config, "--config", "a scene is one of a deployment"))
    normal = _given(recordings, "--recording", "a scene is trained on recordings of normal time")
    if labelled and labels is None:
        raise typer.BadParameter("nothing says what is labelled", param_hint="--labels")
    from nodes.commands._train_scene import train
    from nodes.train_scene import SceneRecordings

    name = scene_of(deployment, scene)
    known = recording_files(labelled or ())
    given = SceneRecordings(deployment, name, recording_files(normal), labels, known, from_s, to_s)
    folder = report or output.with_name(f"{output.name}.report")
    train(training, given, output, folder, resume=resume, seed=seed)


def _given(value: Given | None, option: str, why: str) -> Given:
    if not value:
        raise typer.BadParameter(why, param_hint=option)
    return value


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
    with StageBar(console) as bar:
        found = train_classifier(
            settings, data, output, resume=resume, report=report, progress=bar.tell
        )
    tell_unusable(console, found.unusable)
    tell(console, found.judged, warnings_of(found.judged, found.saved.classes))
    history = found.history
    console.print(
        f"windows of {found.reading.window_s:g} s; best after {history.best_step} of "
        f"{history.steps} steps, {history.seconds:.0f} s"
    )
    console.print(f"{output} and {found.report} written", soft_wrap=True, markup=False)
