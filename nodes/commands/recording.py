"""Look into a recording, repair, cut or merge recordings."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from nodes.commands._options import check_span
from nodes.recording_files import recording_files
from pipeline.core.stamps import STAMPS
from pipeline.core.timestamps import format_iso
from pipeline.recording import Recording, rewrite
from pipeline.recording import repair as repair_file

group = typer.Typer(
    help="Look into a recording, repair, cut or merge recordings.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add ``recording`` to the command line."""
    app.add_typer(group, name="recording")


@group.command()
def info(
    files: Annotated[
        list[Path],
        typer.Argument(help="Recordings (MCAP), or folders of them.", metavar="FILES..."),
    ],
    check: Annotated[bool, typer.Option(help="Read every chunk and check it.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print as JSON; of several a list.")
    ] = False,
) -> None:
    """Tell what a recording holds, and whether it is whole."""
    found = []
    for file in recording_files(files):
        with Recording(file) as recording:
            if check:
                recording.count()
            found.append(describe(recording))
        if not as_json:
            _tell(found[-1])
    if as_json:
        typer.echo(json.dumps(found[0] if len(found) == 1 else found, indent=2))


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


@group.command()
def cut(
    file: Annotated[Path, typer.Argument(help="Recording (MCAP).", metavar="FILE")],
    output: Annotated[Path, typer.Option("-o", "--output", help="New recording to make.")],
    from_s: Annotated[
        float | None, typer.Option("--from", help="Begin at this second of the recording.")
    ] = None,
    to_s: Annotated[
        float | None, typer.Option("--to", help="End at this second of the recording.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Make a recording of a part of another; its second 0 is where it was cut."""
    check_span(from_s, to_s)
    with Recording(file) as recording:
        start_ns = recording.origin_ns
    span = [None if s is None else start_ns + round(s * 1e9) for s in (from_s, to_s)]
    _rewrite([file], output, span[0], span[1], force, as_json)


@group.command()
def merge(
    files: Annotated[
        list[Path],
        typer.Argument(help="Recordings (MCAP), or folders of them.", metavar="FILES..."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="New recording to make.")],
    force: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Make one recording of several: files of one run, or of several nodes."""
    _rewrite(recording_files(files), output, None, None, force, as_json)


def _rewrite(
    files: list[Path],
    output: Path,
    from_ns: int | None,
    to_ns: int | None,
    force: bool,
    as_json: bool,
) -> None:
    made = rewrite(files, output, from_ns=from_ns, to_ns=to_ns, overwrite=force)
    if as_json:
        typer.echo(json.dumps({"output": str(output), **asdict(made)}))
        return
    events = f" and {made.events} events" if made.events else ""
    typer.echo(f"{output}: {made.samples:,} samples{events}")
    for fault in made.faults:
        typer.echo(f"not readable: {fault}")


def describe(recording: Recording) -> dict[str, object]:
    """What a recording holds, for scripts."""
    totals, accounts = recording.totals, recording.accounts
    streams = [
        {
            "name": name,
            "modality": stream.modality.value,
            "rate_hz": stream.rate_hz,
            "shape": list(stream.shape),
            "channels": list(stream.channels),
            "stamp": stream.stamp,
            "usual_latency_ms": _usual_latency(stream.stamp),
            **(asdict(totals[name]) if name in totals else {"samples": 0}),
            "ledger": asdict(accounts[name]) if name in accounts else None,
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


def _usual_latency(stamp: str) -> list[float] | None:
    known = STAMPS.get(stamp)
    return None if known is None else [known.least_ms, known.most_ms]


def _tell(data: dict[str, object]) -> None:
    console = Console()
    table = Table(
        "stream",
        "kind",
        "node",
        "samples",
        "rate",
        "stamp",
        "size",
        title=escape(str(data["file"])),
    )
    streams = data["streams"] if isinstance(data["streams"], list) else []
    for stream in streams:
        rate = stream["rate_hz"]
        table.add_row(
            escape(stream["name"]),
            stream["modality"],
            escape(stream.get("node", "-")),
            f"{stream['samples']:,}",
            f"{rate:g} Hz" if rate else "-",
            escape(stream["stamp"]),
            decimal(stream.get("nbytes", 0)),
        )
    console.print(table)
    for stream in streams:
        if (account := stream["ledger"]) and account["dropped"]:
            why = ", ".join(f"{count:,} {reason}" for reason, count in account["dropped"].items())
            said = f"{stream['name']}: {account['captured']:,} captured, dropped {why}"
            console.print(escape(said))
    if any(stream["samples"] for stream in streams):
        console.print(f"{data['seconds']:.1f} s from {data['start']}, {data['events']} events")
    else:
        console.print("no samples")
    if data["truncated"]:
        console.print(
            f"[yellow]{escape(str(data['truncated']))}[/]; see fusewatch recording repair"
        )
    faults = data["faults"]
    for fault in faults if isinstance(faults, list) else ():
        console.print(f"[yellow]{escape(fault)}[/]")
