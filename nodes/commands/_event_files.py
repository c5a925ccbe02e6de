"""Take the evidence of an event away, and see whether evidence is as it was."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nodes.event_bundle import Verified, verify, zip_of
from nodes.event_choice import one_event
from nodes.places import answer_store, evidence_folder, fusion_store, has_answers
from pipeline.config import load_deployment
from pipeline.config.retention import age_ns
from pipeline.core.errors import StoreError
from pipeline.store import AnswerStore, FusionStore
from pipeline.store.evidence_manifest import Standing

BAD = 1

Config = Annotated[
    Path, typer.Argument(help="Deployment file, or its data folder.", metavar="CONFIG")
]


def add_to(group: typer.Typer) -> None:
    """Add the commands to ``events``."""
    group.command("export")(export)
    group.command("verify")(verify_)


def export(
    config: Config,
    event: Annotated[str, typer.Argument(help="Id of the event, or how it begins.")],
    to: Annotated[Path, typer.Option("--to", help="ZIP file to write.")],
) -> None:
    """Write everything of an event into one ZIP: evidence, manifest, all phases."""
    with closing(open_store(config)) as store:
        phases = one_event(store, event)
    draft = to.with_name(f".{to.name}.draft")
    try:
        with draft.open("wb") as out:
            out.writelines(zip_of(evidence_of(config) / phases[0].id, phases))
        draft.replace(to)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(to)) from error
    finally:
        draft.unlink(missing_ok=True)
    typer.echo(f"{to}: {to.stat().st_size:,} bytes")


def verify_(
    config: Config,
    event: Annotated[
        str | None, typer.Argument(help="Id of one event, or how it begins; else all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether evidence is as it was; exit code 1 when anything is altered, added or missing.

    What retention has removed is expired. With a data folder instead of a deployment file nobody
    knows of retention, and it is missing.
    """
    with closing(open_store(config)) as store:
        events = store.events() if event is None else one_event(store, event)[-1:]
        found = verify(store, evidence_of(config), events, _expired_ns(config))
    if as_json:
        plain = [{"event": f.event, "scene": f.scene, "files": f.files} for f in found]
        typer.echo(msgspec.json.format(msgspec.json.encode(plain), indent=2))
    else:
        _print(found, everything=event is not None)
    if any(one.bad for one in found):
        raise typer.Exit(BAD)


def data_folder(config: Path) -> Path:
    """The data folder that an argument means: itself, or the one its deployment names."""
    return config if config.is_dir() else load_deployment(config).data


def evidence_of(config: Path) -> Path:
    """Where events have a folder of evidence each."""
    if config.is_dir():
        return config / "evidence"
    return evidence_folder(load_deployment(config))


@contextmanager
def answers_of(config: Path) -> Iterator[AnswerStore | None]:
    """What people answered; None where nobody ever did."""
    found = None
    if config.is_dir():
        file = config / "answers.db"
        found = AnswerStore(file, create=False) if file.exists() else None
    elif has_answers(deployment := load_deployment(config)):
        found = answer_store(deployment, create=False)
    with closing(found) if found is not None else nullcontext():
        yield found


def open_store(config: Path) -> FusionStore:
    """The fusion node's store, wherever the deployment keeps it."""
    if config.is_dir():
        return FusionStore(config / "fusion.db", create=False)
    return fusion_store(load_deployment(config), create=False)


def _expired_ns(config: Path) -> int | None:
    """Evidence of events that ended before is removed; None: none is."""
    limit = None if config.is_dir() else load_deployment(config).retention.evidence
    return None if limit is None else time.time_ns() - age_ns(limit)


def _print(found: list[Verified], *, everything: bool) -> None:
    """All files, or those that are not good; and how many are how."""
    table = Table("event", "scene", "file", "standing", box=None)
    for one in found:
        for file in one.files:
            if everything or file.standing is not Standing.GOOD:
                name = escape(file.name)
                table.add_row(one.event[:8], escape(one.scene), name, file.standing.value)
    if table.row_count:
        Console().print(table)
    counts = Counter(file.standing.value for one in found for file in one.files)
    told = ", ".join(f"{count} {standing}" for standing, count in sorted(counts.items()))
    events = "1 event" if len(found) == 1 else f"{len(found)} events"
    typer.echo(f"{events}; files: {told or 'none'}")
