"""See what this machine has: devices, codecs, extras, GPU, disk, clock, ports."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nodes.doctor import Finding, Level, examine
from nodes.doctor_machine import clock, disk, gpu
from nodes.doctor_site import examine_site
from pipeline.config import load_deployment
from pipeline.core.errors import DependencyMissing

STYLES = {Level.OK: "green", Level.NOTE: "yellow", Level.PROBLEM: "bold red"}


def register(app: typer.Typer) -> None:
    """Add ``doctor`` to the command line."""
    app.command(name="doctor")(doctor)


def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(help="Deployment file: see what it needs here too.", metavar="[CONFIG]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """List devices, codecs, extras, GPU, disk, clock and ports, each with what to do about it.

    With a deployment: its ports, its disk, its GPU, and whether models know their scenes' streams.
    """
    deployment = None if config is None else load_deployment(config)
    findings = examine(everywhere=deployment is None)
    findings.extend(clock())
    if deployment is None:
        findings += [*gpu(), *disk(Path.cwd())]
    else:
        findings += examine_site(deployment)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(f) for f in findings], indent=2))
    else:
        Console().print(_table(findings))
    if any(finding.level is Level.PROBLEM for finding in findings):
        raise typer.Exit(DependencyMissing.exit_code)


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        mark = Text(finding.level.value, STYLES[finding.level])
        # Text, not markup: names of devices and extras hold square brackets.
        table.add_row(mark, Text(finding.about), Text(finding.text), Text(finding.fix))
    return table
