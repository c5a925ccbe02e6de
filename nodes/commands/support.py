"""Put what a helper from afar needs to know into one file, without secrets."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from nodes.support import bundle
from pipeline.core.errors import ConfigError

group = typer.Typer(help="Put what a helper needs to know into one file.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add ``support`` to the command line."""
    app.add_typer(group, name="support")


@group.callback()
def _group() -> None:
    """Put what a helper from afar needs to know into one file, without secrets."""


@group.command(name="bundle")
def make(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to make.")] = Path(
        "fusewatch-support.zip"
    ),
    log: Annotated[
        Path | None,
        typer.Option("--log", help="A log to add the end of: journalctl -u fusewatch@site > log"),
    ] = None,
) -> None:
    """Make the file: versions, settings, health, metrics, what is kept; no pictures, no secrets."""
    try:
        names = bundle(config, log, time.time_ns(), output)
    except OSError as error:
        raise ConfigError(f"{error.strerror}", where=str(error.filename)) from error
    typer.echo(f"{output}: {', '.join(names)}")
    typer.echo("No pictures, sound, readings, events or secrets. Look it through all the same.")
