"""Learn several detectors from the same normal time and judge them by the same labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nodes.commands.replay import scene_of
from nodes.recording_files import recording_files
from nodes.stage_bar import StageBar
from pipeline.config import load_deployment, load_settings
from pipeline.training.report_words import number, seconds, share, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nodes.compare import Compared
    from pipeline.training.evaluation_result import Group


_ANY_WIDTH = 10_000  # columns of a console
_FOUND = "found of each kind"


def register(app: typer.Typer) -> None:
    """Add ``compare`` to the command line."""
    app.command(name="compare")(command)


def command(
    detectors: Annotated[
        list[Path],
        typer.Argument(
            help="Options of each detector, as in configs/models/*.yaml.", metavar="A B"
        ),
    ],
    config: Annotated[Path, typer.Option("--config", "-c", help="Deployment file.")],
    normal: Annotated[
        list[Path],
        typer.Option("--normal", "-n", help="Recording of normal time, or folder; repeatable."),
    ],
    recordings: Annotated[
        list[Path],
        typer.Option("--recording", "-r", help="Recording to judge, or folder; repeatable."),
    ],
    labels: Annotated[
        Path, typer.Option("--labels", "-l", help="JSON: [{start_s, end_s, kind, modalities}].")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for models and reports.")],
    scene: Annotated[
        str | None, typer.Option("--scene", help="Which scene, if there are several.")
    ] = None,
    normal_to_s: Annotated[
        float | None, typer.Option("--normal-to", help="Learn up to this second of each.")
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            "--calibrate", help="Normal made apart that calibrates and is not learnt; repeatable."
        ),
    ] = None,
    from_s: Annotated[
        float | None, typer.Option("--from", help="Judge from this second of the recording.")
    ] = None,
) -> None:
    """Learn several detectors from the same normal time and judge them by the same labels.

    This is how to choose one. Each keeps its model and its report in a folder of its name.
    """
    from nodes.compare import Comparison, Span
    from pipeline.models.settings import DetectorSettings
    from pipeline.training.evaluation_report import write_report

    names = [file.stem for file in detectors]
    if len(set(names)) < len(names):
        raise typer.BadParameter("give files of different names", param_hint="A B")
    deployment = load_deployment(config)
    wanted = [(file.stem, load_settings(file, DetectorSettings)) for file in detectors]
    comparison = Comparison(
        deployment, scene_of(deployment, scene), recording_files(normal), Span(to_s=normal_to_s),
        recording_files(recordings), Span(from_s=from_s), labels, output,
        recording_files(calibrate or ()),
    )  # fmt: skip
    found: list[Compared] = []
    with StageBar(Console()) as bar:
        for one in comparison.run(wanted, bar.tell):
            write_report(output / one.name, one.evaluation, one.watched)
            found.append(one)
    bodies = {one.name: json.loads(one.evaluation.to_json()) for one in found}
    (output / "comparison.json").write_text(json.dumps(bodies, indent=1) + "\n")
    console = Console()
    tell(console, found)
    console.print(f"models, reports and comparison.json: {escape(str(output))}", soft_wrap=True)


def tell(console: Console, found: Sequence[Compared]) -> None:
    """Print the figures of each detector, and what each found of each kind."""
    budget = found[0].evaluation.headline.limit.budget
    title = f"at a budget of {budget}, threshold by each one's own calibration"
    console.print(_figures(found, title))
    rows, columns = _kinds(found), _kinds_down(found)
    unbound = console.options.update(max_width=_ANY_WIDTH)
    fits = console.measure(rows, options=unbound).maximum <= console.width
    console.print(rows if fits else columns)


def _figures(found: Sequence[Compared], title: str) -> Table:
    heads = ("detector", "found", "delay", "false/h", "AUROC", "VUS-PR", "CPU s")
    table = Table(*heads, title=title)
    table.caption = "false/h: false alarms an hour; CPU s: processor time of learning"
    for one in found:
        events, windows = one.evaluation.headline.events, one.evaluation.windows
        table.add_row(
            escape(one.name),
            share(events.recall.found / max(1, events.recall.labels)),
            seconds(events.recall.delay_median_s),
            number(events.per_hour),
            short(windows.auroc),
            short(windows.vus_pr),
            f"{one.learnt_s:.0f}",
        )
    return table


def _kinds(found: Sequence[Compared]) -> Table:
    """What each found of each kind, a row a detector."""
    kinds = (escape(group.name) for group in found[0].evaluation.kinds)
    table = Table("detector", *kinds, title=_FOUND)
    for one in found:
        table.add_row(escape(one.name), *map(_count, one.evaluation.kinds))
    return table


def _kinds_down(found: Sequence[Compared]) -> Table:
    """The same, a row a kind: for many kinds, or kinds of long names."""
    table = Table("kind", *(escape(one.name) for one in found), title=_FOUND)
    for groups in zip(*(one.evaluation.kinds for one in found), strict=True):
        table.add_row(escape(groups[0].name), *map(_count, groups))
    return table


def _count(group: Group) -> str:
    return f"{group.recall.found}/{group.recall.labels}"
