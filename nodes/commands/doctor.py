"""See what this machine has: cameras, sound inputs, codecs, extras, clock, ports."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nodes import doctor_site as site
from nodes.doctor import Finding, Level, examine
from pipeline.config import Deployment, load
from pipeline.core.errors import DependencyMissing

STYLES = {Level.OK: "green", Level.NOTE: "yellow", Level.PROBLEM: "bold red"}


def register(app: typer.Typer) -> None:
    """Add ``doctor`` to the command line."""
    app.command(name="doctor")(doctor)


def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(help="Deployment file: its ports, disk and models too.", metavar="CONFIG"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """List cameras, sound inputs, codecs, extras, clock, ports, each with what to do about it."""
    deployment = None if config is None else load(config).deployment
    findings = [*examine(_addresses(deployment)), *site.clock(), *site.gpu()]
    if deployment is not None:
        findings += [*site.disk(deployment), *site.models(deployment)]
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(f) for f in findings], indent=2))
    else:
        Console().print(_table(findings))
    if any(finding.level is Level.PROBLEM for finding in findings):
        raise typer.Exit(DependencyMissing.exit_code)


def _addresses(deployment: Deployment | None) -> dict[str, str] | None:
    if deployment is None:
        return None
    found = {"fusion": deployment.fusion.listen, "alert": deployment.alert.listen}
    if deployment.dashboard is not None:
        found["dashboard"] = deployment.dashboard.listen
    return found


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        mark = Text(finding.level.value, STYLES[finding.level])
        # Text, not markup: names of devices and extras hold square brackets.
        table.add_row(mark, Text(finding.about), Text(finding.text), Text(finding.fix))
    return table
