"""Look into a recording, or repair one that is cut off or damaged."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.core.timestamps import format_iso
from pipeline.recording import Recording
from pipeline.recording import repair as repair_file

group = typer.Typer(
    help="Look into a recording, or repair one that is cut off or damaged.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add ``recording`` to the command line."""
    app.add_typer(group, name="recording")


@group.command()
def info(
    file: Annotated[Path, typer.Argument(help="Recording (MCAP).", metavar="FILE")],
    check: Annotated[bool, typer.Option(help="Read every chunk and check it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Tell what a recording holds, and whether it is whole."""
    with Recording(file) as recording:
        if check:
            recording.count()
        data = describe(recording)
    typer.echo(json.dumps(data, indent=2)) if as_json else _tell(data)


@group.command()
def repair(
    file: Annotated[Path, typer.Argument(help="Recording that is cut off.", metavar="FILE")],
    output: Annotated[Path, typer.Option("-o", "--output", help="New recording to make.")],
    force: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Copy everything that is readable into a new, whole recording with an index."""
    result = repair_file(file, output, overwrite=force)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "output": str(output), **asdict(result)}))
        return
    if result.was_whole:
        typer.echo(f"{file} was whole; {output} is a copy of its {result.messages:,} messages")
        return
    typer.echo(f"{output}: {result.messages:,} messages saved")
    if result.truncated:
        typer.echo(f"{file}: {result.truncated}")
    if result.lost_bytes or result.orphans:
        typer.echo(
            f"left out: {result.lost_bytes:,} bytes ({result.damaged_chunks} damaged chunks) "
            f"and {result.orphans} messages of unknown channels"
        )


def describe(recording: Recording) -> dict[str, object]:
    """What a recording holds, for scripts."""
    totals = recording.totals
    streams = [
        {
            "name": name,
            "modality": stream.modality.value,
            "rate_hz": stream.rate_hz,
            "shape": list(stream.shape),
            "channels": list(stream.channels),
            **(asdict(totals[name]) if name in totals else {"samples": 0}),
        }
        for name, stream in recording.streams.items()
    ]
    return {
        "file": str(recording.path),
        "size_bytes": recording.path.stat().st_size,
        "deployment": recording.deployment,
        "scenes": {name: list(members) for name, members in recording.scenes.items()},
        "nodes": list(recording.nodes),
        "start": format_iso(recording.start_ns),
        "start_ns": recording.start_ns,
        "end_ns": recording.end_ns,
        "seconds": (recording.end_ns - recording.start_ns) / 1e9,
        "events": len({event.id for _, event in recording.events()}),
        "streams": streams,
        "truncated": recording.truncated,
        "faults": list(recording.faults),
    }


def _tell(data: dict[str, object]) -> None:
    console = Console()
    table = Table("stream", "kind", "node", "samples", "rate", "MB", title=str(data["file"]))
    streams = data["streams"] if isinstance(data["streams"], list) else []
    for stream in streams:
        rate = stream["rate_hz"]
        table.add_row(
            stream["name"],
            stream["modality"],
            stream.get("node", "-"),
            f"{stream['samples']:,}",
            f"{rate:g} Hz" if rate else "-",
            f"{stream.get('nbytes', 0) / 1e6:,.1f}",
        )
    console.print(table)
    if any(stream["samples"] for stream in streams):
        console.print(f"{data['seconds']:.1f} s from {data['start']}, {data['events']} events")
    else:
        console.print("no samples")
    if data["truncated"]:
        console.print(f"[yellow]{data['truncated']}[/]; see fusewatch recording repair")
    faults = data["faults"]
    for fault in faults if isinstance(faults, list) else ():
        console.print(f"[yellow]{fault}[/]")
