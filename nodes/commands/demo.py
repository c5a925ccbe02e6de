"""See it work: a synthetic site is learnt, watched live for a minute, and alarmed on."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nodes.lock import holders
from pipeline.core.errors import AlreadyRunning

DEPLOYMENT = "demo.yaml"


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

    check_start(start)
    check_folder(out)
    raise typer.Exit(run_demo(DemoOptions(out, seconds, learn, start), Console()))


def check_start(start: str) -> None:
    """Make sure that ``--start`` is a time.

    Raises:
        typer.BadParameter: It is not.
    """
    if start == "now":
        return
    with suppress(ValueError):
        if datetime.fromisoformat(start).tzinfo is not None:
            return
    raise typer.BadParameter(
        f"{start!r} is neither 'now' nor ISO 8601 with its zone, as 2024-05-01T12:00:00Z is",
        param_hint="--start",
    )


def check_folder(out: Path) -> None:
    """Make sure that a folder may be emptied: that it is new, empty, or an earlier demo's.

    Raises:
        typer.BadParameter: Something else is in it, or it cannot be made.
        AlreadyRunning: A demo runs in it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        strange = any(out.iterdir()) and not (out / DEPLOYMENT).is_file()
    except OSError as error:
        raise typer.BadParameter(
            f"{out} cannot be made: {error.strerror}", param_hint="--out"
        ) from error
    if strange:
        raise typer.BadParameter(
            f"{out} is emptied first, and holds what no demo made; name another folder",
            param_hint="--out",
        )
    for name, pid in holders(out).items():
        raise AlreadyRunning(
            f"process {pid} runs {name} of another demo here",
            where=str(out),
            fix="wait for it, or name another folder with --out",
        )
