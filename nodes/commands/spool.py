"""See what a capture node's disk spool holds, find damage in it, repair it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nodes.links import fusion_endpoint
from nodes.lock import hold
from nodes.places import spool_folder
from nodes.spool_choice import spool_settings
from nodes.spool_report import look_at
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.errors import ConfigError
from pipeline.transport.spool_repair import repair_folder
from pipeline.transport.spool_segment import Damage

group = typer.Typer(help="See what a capture node's disk spool holds.", no_args_is_help=True)

Config = Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")]
Node = Annotated[
    str | None, typer.Option("--node", help="Which capture node; none: all.", metavar="NAME")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
DAMAGED = 1


def register(app: typer.Typer) -> None:
    """Add ``spool`` to the command line."""
    app.add_typer(group, name="spool")


@group.command()
def show(config: Config, node: Node = None, as_json: AsJson = False) -> None:
    """Show per stream what waits on the disk: samples, bytes, the oldest."""
    deployment = load_deployment(config)
    reports = [look_at(name, folder) for name, folder in _folders(deployment, node)]
    if as_json:
        typer.echo(json.dumps([report.as_data() for report in reports], indent=2))
        return
    table = Table("node", "stream", "samples", "MiB", "oldest")
    for report in reports:
        for line in report.streams:
            size = f"{line.size / 2**20:.1f}"
            table.add_row(
                report.node, Text(line.stream), str(line.samples), size, line.oldest or "-"
            )
    kept = any(
        spool_settings(deployment, name, fusion_endpoint(deployment, name))
        for name in deployment.nodes
    )
    nothing = "the spool is empty" + ("" if kept else "; no node has one (nodes.NAME.spool)")
    Console().print(table if table.row_count else nothing, markup=False)
    for report in reports:
        _tell(report.damage)


@group.command()
def check(config: Config, node: Node = None, as_json: AsJson = False) -> None:
    """Look for damage and change nothing; exit code 1 when there is some.

    A node that is running may just be writing its last record: stop it before.
    """
    folders = _folders(load_deployment(config), node)
    reports = [look_at(name, folder, all_of_it=True) for name, folder in folders]
    if as_json:
        typer.echo(json.dumps([report.as_data() for report in reports], indent=2))
    for report in reports:
        if not as_json:
            files = f"{report.segments} file{'s' * (report.segments != 1)}"
            typer.echo(f"{report.node}: {files}, {len(report.damage)} damaged parts")
            _tell(report.damage)
    if any(report.damage for report in reports):
        raise typer.Exit(DAMAGED)


@group.command()
def repair(config: Config, node: Node = None) -> None:
    """Cut torn tails off and put damaged parts into ``quarantine/``; the node must not run."""
    deployment = load_deployment(config)
    for name, folder in _folders(deployment, node):
        with hold(deployment.data, f"capture-{name}"):
            damage = repair_folder(folder)
        typer.echo(f"{name}: {len(damage)} damaged parts repaired")
        _tell(damage)


def _folders(deployment: Deployment, node: str | None) -> Iterator[tuple[str, Path]]:
    if node is not None and node not in deployment.nodes:
        names = ", ".join(deployment.nodes)
        raise ConfigError(f"no capture node {node!r}", fix=f"write one of: {names}")
    for name in deployment.nodes if node is None else (node,):
        yield name, spool_folder(deployment, name)


def _tell(damage: list[Damage]) -> None:
    for part in damage:
        what = "torn tail" if part.torn else "damaged"
        typer.echo(f"  {part.path.name} at {part.offset}: {part.size} bytes {what}")
