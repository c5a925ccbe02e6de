"""Judge a trained classifier by a folder of labelled samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nodes.stage_bar import StageBar
from pipeline.training.report_words import share

if TYPE_CHECKING:
    from pipeline.training.classifier_report import Judged
    from pipeline.training.labelled_folder import Unusable

_WIDEST = 12  # classes of a confusion matrix that is shown


def register(app: typer.Typer) -> None:
    """Add ``classify`` to the command line."""
    app.command(name="classify")(command)


def command(
    file: Annotated[Path, typer.Argument(help="Network from `fusewatch train`.", metavar="FILE")],
    data: Annotated[Path, typer.Option("--data", help="Labelled folder: CLASS/SAMPLE.EXT.")],
    report: Annotated[
        Path | None, typer.Option("--report", help="JSON file: figures, and what each is told as.")
    ] = None,
) -> None:
    """Judge a trained classifier by a folder of labelled samples.

    Of a folder with a part ``test`` only that part is looked at.
    """
    from nodes.train_classifier import TASK, classify, warnings_of, write_judgement
    from pipeline.models.network_file import load_network

    known = load_network(file, TASK).classes
    console = Console()
    with StageBar(console) as bar:
        judged, unusable = classify(file, data, bar.tell)
    tell_unusable(console, unusable)
    tell(console, judged, warnings_of(judged, known))
    if report is not None:
        write_judgement(report, judged, unusable)
        console.print(f"{report} written", soft_wrap=True, markup=False)


def tell(console: Console, judged: Judged, warnings: Sequence[str]) -> None:
    """Print how well classes were told."""
    result = judged.result
    table = Table("class", "samples", "precision", "recall", "F1")
    for row, name in enumerate(result.classes):
        table.add_row(
            escape(str(name)),
            str(int(result.confusion[row].sum())),
            *(share(float(column[row])) for column in (result.precision, result.recall, result.f1)),
        )
    macro = (result.macro_precision, result.macro_recall, result.macro_f1)
    table.add_row("mean", str(len(judged.names)), *(share(value) for value in macro), style="bold")
    console.print(table)
    if len(result.classes) <= _WIDEST:
        console.print(_confusion(judged))
    console.print(f"accuracy {share(result.accuracy)} of {len(judged.names)} samples")
    for name, accuracy in judged.alone.items():
        console.print(f"with {escape(name)} alone {share(accuracy)}")
    for name, figures in judged.further.items():
        said = ", ".join(f"{what} {value:.3g}" for what, value in figures.items())
        console.print(f"head {escape(name)}: {escape(said)}")
    for warning in warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")


def tell_unusable(console: Console, unusable: Sequence[Unusable]) -> None:
    """Print what could not be used, by reason."""
    reasons: dict[str, list[str]] = {}
    for one in unusable:
        reasons.setdefault(one.reason, []).append(one.path)
    for reason, paths in reasons.items():
        shown = ", ".join(paths[:3]) + (" ..." if len(paths) > 3 else "")
        console.print(
            f"[yellow]not used:[/] {escape(reason)}, {len(paths)} of them: {escape(shown)}"
        )


def _confusion(judged: Judged) -> Table:
    classes = [escape(str(name)) for name in judged.result.classes]
    table = Table("true \\ told", *classes, title="how often each class was told as each")
    for name, counts in zip(classes, judged.result.confusion.tolist(), strict=True):
        table.add_row(name, *(str(count) if count else "·" for count in counts))
    return table
