"""See of which version the databases are, back them up, bring them to today's version."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nodes.lock import holders
from nodes.stores import StoreReport, back_up, report_on, stores_here
from pipeline.config import load_deployment
from pipeline.core.errors import AlreadyRunning, StoreError
from pipeline.store.database import Database
from pipeline.store.schema import Standing

group = typer.Typer(
    help="See of which version the databases are, back them up, upgrade them.",
    no_args_is_help=True,
)

Config = Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
NOT_CURRENT = 1
_FIXES = {
    Standing.OLDER: "upgraded when its node starts, or by 'fusewatch store upgrade'",
    Standing.NEWER: "a newer fusewatch wrote it: upgrade fusewatch",
    Standing.UNMARKED: "its tables have no version: they are checked when its node starts",
    Standing.ABSENT: "not a store of fusewatch: give it a 'data' folder of its own",
}


def register(app: typer.Typer) -> None:
    """Add ``store`` to the command line."""
    app.add_typer(group, name="store")


@group.command()
def show(config: Config, as_json: AsJson = False) -> None:
    """Show the version of each database; exit code 1 when one is not of today's."""
    reports = [report_on(kept) for kept in stores_here(load_deployment(config))]
    if as_json:
        typer.echo(json.dumps([asdict(report) for report in reports], indent=2))
    elif reports:
        _print(reports)
    else:
        typer.echo("nothing is kept here yet")
    if any(report.standing in _FIXES for report in reports):
        raise typer.Exit(NOT_CURRENT)


@group.command()
def upgrade(config: Config) -> None:
    """Bring every database to today's version, as its node does when it starts.

    A file is copied beside itself first. Nothing of the deployment may run.
    """
    deployment = load_deployment(config)
    running = holders(deployment.data)
    if running:
        named = ", ".join(f"{name} (process {pid})" for name, pid in running.items())
        raise AlreadyRunning(f"{named} still run", where=str(deployment.data), fix="stop them")
    for kept in stores_here(deployment):
        before = report_on(kept)
        with closing(Database(kept.target, kept.schema)) as opened:
            if before.standing not in _FIXES:
                typer.echo(f"{kept.name}: is of version {before.reads}")
            else:
                was = f"; as it was: {opened.copy}" if opened.copy else ""
                typer.echo(f"{kept.name}: version {before.version} to {before.reads}{was}")


@group.command()
def backup(
    config: Config,
    folder: Annotated[Path, typer.Argument(help="Where the copies go.", metavar="FOLDER")],
) -> None:
    """Copy every database whole, one after the other, while the nodes may run.

    Restored into the data folder of a deployment that is stopped, they go on from there.
    """
    failed: list[StoreError] = []
    stores = list(stores_here(load_deployment(config)))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for kept in stores:
        try:
            typer.echo(f"{kept.name}: {back_up(kept, folder)}")
        except StoreError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    if not stores:
        typer.echo("nothing is kept here yet")


def _print(reports: list[StoreReport]) -> None:
    table = Table("store", "version", "read here", "state", "MiB", "where", box=None)
    for report in reports:
        version = "-" if report.version is None else str(report.version)
        state = "current" if report.standing not in _FIXES else report.standing.value
        size = "" if report.size is None else f"{report.size / 2**20:.1f}"
        where = Text(report.where, overflow="fold")
        table.add_row(report.store, version, str(report.reads), state, size, where)
    Console().print(table)
    for report in reports:
        if report.standing in _FIXES:
            typer.echo(f"{report.store}: {_FIXES[report.standing]}")
