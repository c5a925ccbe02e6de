"""See it work: a synthetic site is learnt, watched live for a minute, and alarmed on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add ``demo`` to the command line."""
    app.command(name="demo")(command)


def command(
    out: Annotated[
        Path, typer.Option("--out", help="Folder for what it makes; emptied first.")
    ] = Path("demo-out"),
    seconds: Annotated[float, typer.Option("--seconds", min=20, help="Seconds watched live.")] = 60,
    learn: Annotated[float, typer.Option("--learn", min=120, help="Seconds learnt first.")] = 300,
    start: Annotated[
        str, typer.Option("--start", help="Site time of the first second: ISO 8601, or now.")
    ] = "now",
) -> None:
    """See it work: a synthetic site is learnt, watched live for a minute, and alarmed on."""
    from nodes.demo import DemoOptions, run_demo

    raise typer.Exit(run_demo(DemoOptions(out, seconds, learn, start), Console()))
