"""Write a recording as Matroska and tables, for people without MCAP tools."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from pipeline.core.timestamps import format_iso
from pipeline.recording.exporting import ExportReport, export_recording


def register(app: typer.Typer) -> None:
    """Add ``export`` to the command line."""
    app.command("export")(export)


def export(
    file: Annotated[Path, typer.Argument(help="Recording (MCAP).", metavar="FILE")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to make.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Write a recording as Matroska (pictures, sound) and tables, for people without MCAP tools.

    Exact times stand in STREAM.times.csv beside it; `fusewatch import` takes all of it back.
    """
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("exporting", total=None)

        def show(done_ns: int, total_ns: int) -> None:
            bar.update(task, completed=done_ns, total=max(total_ns, 1))

        report = export_recording(file, output, show)
    if as_json:
        typer.echo(json.dumps(asdict(report) | {"folder": str(report.folder)}, indent=2))
    else:
        _tell(report)


def _tell(report: ExportReport) -> None:
    console = Console()
    table = Table("stream", "files", "samples", "left out")
    for one in report.streams:
        left = ", ".join(f"{count:,} {why}" for why, count in one.left_out.items()) or "-"
        table.add_row(escape(one.name), escape(", ".join(one.files)), f"{one.samples:,}", left)
    console.print(table)
    for fault in report.faults:
        console.print(f"[yellow]recording:[/] {escape(fault)}")
    events = f", {report.events} events" if report.events else ""
    console.print(
        f"{escape(str(report.folder))}: second 0 is {format_iso(report.start_ns)}{events}",
        soft_wrap=True,
    )
