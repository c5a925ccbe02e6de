"""See how long data is kept and prove that nothing is older, or remove it now."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nodes.kept_data import kinds
from nodes.places import fusion_store, has_fusion_store, outbox_file
from nodes.retention import KindReport, kept_here, report_on
from pipeline.config import load_deployment
from pipeline.core.retention import Sweeper
from pipeline.core.timestamps import format_iso
from pipeline.store import OutboxStore

group = typer.Typer(
    help="See how long data is kept and prove that nothing is older.", no_args_is_help=True
)

Config = Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
TOO_OLD = 1
SECOND_NS = 10**9
NAMED = 5
LEFT = (
    "still being written, or it cannot be removed; "
    "a node takes a changed limit when it is started again"
)


def register(app: typer.Typer) -> None:
    """Add ``retention`` to the command line."""
    app.add_typer(group, name="retention")


@group.command()
def show(config: Config, as_json: AsJson = False) -> None:
    """Look at everything kept here; exit code 1 when anything is older than its limit.

    What an open alarm needs or a sink was not given may be up to twice as old, and an event whose
    answer holds others back as old as that does; both are counted as held. The age of a spool's
    segment counts from its newest record.
    """
    now_ns = time.time_ns()
    with ExitStack() as stack:
        deployment = load_deployment(config)
        reports = [report_on(kept, now_ns) for kept in kept_here(deployment, stack)]
    if as_json:
        typer.echo(json.dumps([asdict(report) for report in reports], indent=2))
    else:
        Console().print(_table(reports, now_ns) if reports else "nothing is kept here yet")
    overdue = [report for report in reports if report.overdue]
    for report in () if as_json else overdue:
        _tell(report)
    if overdue:
        raise typer.Exit(TOO_OLD)


@group.command()
def sweep(config: Config, as_json: AsJson = False) -> None:
    """Remove now what is too old, as the nodes do while they run, and write the stores anew.

    A spool is left to its capture node, which lets go of what is too old when it starts, and a
    recording to who still writes it. Exit code 1 when anything too old is left.
    """
    with ExitStack() as stack:
        deployment = load_deployment(config)
        kept = list(kept_here(deployment, stack))
        sweeper = Sweeper(kinds(kept))
        now_ns = time.time_ns()
        sweeper.sweep(now_ns)
        reports = [report_on(one, now_ns) for one in kept if not one.own]
        if has_fusion_store(deployment):
            with closing(fusion_store(deployment, create=False)) as store:
                store.database.scrub(compact=True)
        if outbox_file(deployment).exists():
            with closing(OutboxStore(outbox_file(deployment), create=False)) as outbox:
                outbox.database.scrub(compact=True)
    removed = [
        {"kind": kind, "why": why.value, "count": count}
        for (kind, why), count in sorted(sweeper.removed.items())
    ]
    left = [report for report in reports if report.overdue]
    if as_json:
        typer.echo(json.dumps(removed, indent=2))
    else:
        for line in removed:
            typer.echo(f"{line['kind']}: {line['count']} removed ({line['why']})")
        for report in left:
            typer.echo(f"{report.name}: {_names(report)} left: {LEFT}")
        if not removed and not left:
            typer.echo("nothing is too old")
    if left:
        raise typer.Exit(TOO_OLD)


def _table(reports: list[KindReport], now_ns: int) -> Table:
    table = Table("kind", "limit", "items", "oldest", "next goes by", "held", "too old", box=None)
    for report in reports:
        oldest_ns, next_ns = report.oldest_ns, report.next_ns
        table.add_row(
            Text(report.name),
            "none" if report.limit_ns is None else _age(report.limit_ns),
            str(report.items),
            "-" if oldest_ns is None else f"{_age(now_ns - oldest_ns)} old",
            "-" if next_ns is None else format_iso(next_ns // SECOND_NS * SECOND_NS),
            ", ".join(f"{count} {why}" for why, count in report.held.items()) or "-",
            Text(str(len(report.overdue)), "bold red" if report.overdue else ""),
        )
    return table


def _names(report: KindReport) -> str:
    return ", ".join(report.overdue[:NAMED]) + (", ..." if len(report.overdue) > NAMED else "")


def _tell(report: KindReport) -> None:
    names = _names(report)
    fix = "start its capture node" if report.name.startswith("spool ") else "let its node run"
    typer.echo(f"{report.name}: too old: {names}; {fix}, or 'fusewatch retention sweep'")


def _age(age_ns: int) -> str:
    seconds = max(age_ns, 0) / SECOND_NS
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.3g} {unit}"
    return f"{seconds:.3g} s"
