"""List what people answered to events, or take an answer back."""

from __future__ import annotations

import getpass
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from nodes.places import answer_store
from pipeline.config import load_deployment
from pipeline.core.timestamps import format_iso

group = typer.Typer(
    help="List what people answered to events, or take an answer back.", no_args_is_help=True
)

Config = Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")]


def register(app: typer.Typer) -> None:
    """Add ``feedback`` to the command line."""
    app.add_typer(group, name="feedback")


@group.command("list")
def list_(
    config: Config,
    scene: Annotated[str | None, typer.Option(help="Only of this scene.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List all answers, also those taken back, with their numbers."""
    with closing(answer_store(load_deployment(config), create=False)) as store:
        answers = store.all(scene)
    console = Console()
    if as_json:
        console.print_json(data=[asdict(answer) for answer in answers])
        return
    table = Table("number", "when", "who", "scene", "event", "answer", "note", box=None)
    for one in answers:
        back = f" (taken back by {one.withdrawn_by})" if one.withdrawn_ns else ""
        said = f"{one.value or one.action.value}{back}"
        row = one.position, format_iso(one.at_ns), one.who, one.scene, one.event, said, one.note
        table.add_row(*map(str, row))
    console.print(table)


@group.command()
def undo(
    config: Config,
    number: Annotated[int, typer.Argument(help="Number of the answer, see 'list'.")],
) -> None:
    """Take an answer back: what it did ends with the next event."""
    with closing(answer_store(load_deployment(config), create=False)) as store:
        answer = store.withdraw(number, getpass.getuser(), time.time_ns())
    said = answer.value or answer.action.value
    Console().print(f"taken back: {said} to event {answer.event} of {answer.scene}")
