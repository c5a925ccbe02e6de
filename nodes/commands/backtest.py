"""Replay recordings through another model or configuration: alarms gained and lost."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from nodes.commands._event_files import open_store
from nodes.commands.replay import scene_of
from pipeline.config import load_deployment
from pipeline.core.errors import ConfigError, StoreError
from pipeline.training.report_words import number

if TYPE_CHECKING:
    from nodes.backtest.crews import Crew
    from nodes.backtest.plan import Side
    from nodes.backtest.result import Backtest, MomentRow, SceneResult
    from nodes.backtest.run import Stored
    from pipeline.config.deployment import Deployment

INCOMPLETE = 69
_LISTED = 20


class EngineKind(StrEnum):
    """Who replays."""

    LOCAL = "local"
    RAY = "ray"


def register(app: typer.Typer) -> None:
    """Add ``backtest`` to the command line."""
    app.command(name="backtest")(command)


def command(
    config: Annotated[Path, typer.Argument(help="Deployment file to try.", metavar="CONFIG")],
    recordings: Annotated[
        Path, typer.Option("--recordings", "-r", help="Folder of recordings (*.mcap).")
    ],
    engine: Annotated[
        EngineKind, typer.Option("--engine", help="Processes of this machine, or Ray.")
    ] = EngineKind.LOCAL,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            help="Deployment file or model file replayed too; or a data folder. "
            "Without it: what the deployment has stored live.",
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Model file instead of the deployment's.")
    ] = None,
    scene: Annotated[
        str | None, typer.Option("--scene", help="Only this scene; which one --model is for.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", "-l", help="JSON as `evaluate` and `feedback export` have it."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the report.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Pieces at a time; else one a core.")
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", help="Ray cluster: auto or HOST:PORT; else its own.")
    ] = None,
    piece_h: Annotated[
        float | None,
        typer.Option("--piece", min=0.001, help="Hours in a piece, of every scene."),
    ] = None,
    lead_m: Annotated[
        float | None,
        typer.Option("--lead", min=0.0, help="Minutes replayed before each piece."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Replay recordings through another model or configuration: alarms gained and lost.

    The recordings are cut into pieces that are replayed side by side, each after a lead as long
    as the scene remembers. The exit code is 69 when some of it could not be replayed.
    """
    from nodes.backtest.plan import Cutting, side_of
    from nodes.backtest.report import write_report
    from nodes.backtest.run import NEW, Asked, backtest
    from nodes.backtest.survey import survey

    deployment = load_deployment(config)
    wanted = scene_of(deployment, scene) if scene or model or labels else None
    models = {wanted: model} if model is not None and wanted is not None else None
    only = wanted if scene or model else None
    what = f"{config.name}" if model is None else f"{config.name} with {model.name}"
    new = side_of(NEW, what, deployment, models, only)
    old = _against(config, deployment, against, wanted, only)
    console = Console(stderr=True)
    with _progress(console) as bar:
        found = survey(recordings, _told(bar, "recordings"))
        asked = Asked(new, old, found, Cutting(_ns(piece_h, 3600), _ns(lead_m, 60)), labels,
                      wanted or "")  # fmt: skip
        result = backtest(asked, _crew(engine, address, workers), _told(bar, "pieces"))
    report = write_report(output, result) if output is not None else None
    if as_json:
        typer.echo(result.to_json(), nl=False)
    else:
        tell(Console(), result)
        if report is not None:
            Console().print(f"report: {report}", soft_wrap=True, highlight=False, markup=False)
    if result.given_up:
        raise typer.Exit(INCOMPLETE)


def _against(
    config: Path, deployment: Deployment, against: Path | None, scene: str | None, only: str | None
) -> Side | Stored:
    """What the new side is compared with."""
    from nodes.backtest.plan import side_of
    from nodes.backtest.run import OLD, stored

    if against is None or against.is_dir():
        try:
            store = open_store(config if against is None else against)
        except StoreError as error:
            error.fix += "; --against FILE compares with another deployment or model instead"
            raise
        return stored(store, deployment, f"what was stored live ({against or deployment.data})")
    if against.suffix in (".yaml", ".yml"):
        return side_of(OLD, against.name, load_deployment(against), None, only)
    name = scene or scene_of(deployment, None)
    what = f"{config.name} with {against.name}"
    return side_of(OLD, what, deployment, {name: against}, only or name)


def _crew(engine: EngineKind, address: str | None, workers: int | None) -> Crew:
    if engine is EngineKind.RAY:
        from nodes.backtest.ray_crew import RayCrew

        return RayCrew(address, workers)
    if address is not None:
        raise ConfigError("--address is of Ray", fix="give --engine ray with it")
    from nodes.backtest.crews import LocalCrew

    return LocalCrew(workers)


def _ns(value: float | None, unit_s: int) -> int | None:
    return None if value is None else round(value * unit_s * 1e9)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)


def _told(bar: Progress, what: str) -> Callable[[int, int], None]:
    """Shows how many of what are over."""
    task = bar.add_task(what, total=None, visible=False)

    def told(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total, visible=True)

    return told


def tell(console: Console, found: Backtest) -> None:
    """Print what was gained and lost, the rates beside the budgets, and each day."""
    from nodes.backtest.words import damage, how, span

    console.print(f"{escape(found.new)}, against {escape(found.old)}", highlight=False)
    console.print(span(found), highlight=False)
    console.print(_rates(found))
    for scene in found.scenes:
        console.print(_days(scene))
        for name, moments in (("gained", scene.of("gained")), ("lost", scene.of("lost"))):
            _list(console, scene.scene, name, moments)
    for line in how(found):
        console.print(line, markup=False, highlight=False)
    for line in (*damage(found), *found.warnings):
        mark = "" if line.startswith("  ") else "[yellow]warning:[/] "
        console.print(f"{mark}{escape(line)}", highlight=False, soft_wrap=True)


def _rates(found: Backtest) -> Table:
    table = Table("scene", "", "alarms", "false", "a week", "90 %", "budget a week", "so it is")
    table.caption = "without labels every alarm counts as false"
    for scene in found.scenes:
        gained, lost, kept = (len(scene.of(change)) for change in ("gained", "lost", "kept"))
        for name, rate in (("old", scene.old), ("new", scene.new)):
            first = escape(scene.scene) if name == "old" else f"+{gained} -{lost} ={kept}"
            labels = "" if rate.found is None else f", {rate.found} labels found"
            table.add_row(
                first, name, f"{rate.alarms}{labels}", str(rate.false), number(rate.per_week),
                f"{number(rate.low_per_week)} to {number(rate.high_per_week)}",
                number(rate.budget_per_week), rate.standing,
            )  # fmt: skip
        table.add_section()
    return table


def _days(scene: SceneResult) -> Table:
    from nodes.backtest.words import length

    table = Table("day (UTC)", "judged", "old", "new", "gained", "lost", "kept", title=scene.scene)
    for day in scene.days:
        counts = (day.old, day.new, day.gained, day.lost, day.kept)
        table.add_row(day.day, length(day.watched_s), *map(str, counts))
    return table


def _list(console: Console, scene: str, name: str, moments: list[MomentRow]) -> None:
    from nodes.backtest.words import moment_words

    if not moments:
        return
    console.print(f"[bold]{escape(scene)}: {name} ({len(moments)})[/]", highlight=False)
    for one in moments[:_LISTED]:
        began, lasted, severity, said, label = moment_words(one)
        about = f"  label {label}" if label else ""
        line = f"  {began}  {severity}, {lasted}{about}  {said}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if len(moments) > _LISTED:
        console.print(f"  and {len(moments) - _LISTED} more, see --output or --json")
