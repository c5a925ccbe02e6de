"""Watch a running deployment: every stream's account, scenes, sinks, processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from nodes.cluster.showing import GroupsSeen
from nodes.top_model import Status
from nodes.top_reading import places, read_all
from nodes.top_status import status_of
from nodes.top_view import LiveView, view
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.errors import DependencyMissing


def register(app: typer.Typer) -> None:
    """Add ``top`` to the command line."""
    app.command(name="top")(top)


def top(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    once: Annotated[bool, typer.Option("--once", help="Say it once and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON each time.")] = False,
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.1, help="Seconds between two looks.")
    ] = 1.0,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", help="Where a process is asked, NAME=HOST:PORT.", metavar="PLACE"),
    ] = None,
) -> None:
    """Show per stream what was captured, delivered, dropped and why, and what still waits.

    Rates are those between two looks, so that the first comes one interval after the start.
    A process on another machine is asked at its fixed ``http`` address, or at --at; Ctrl-C ends.
    With --once the exit code is 69 when no process answered.
    """
    deployment = load_deployment(config)
    seen = looks(deployment, at or (), interval_s)
    if once:
        found = next(seen)
        _say(found, as_json)
        if not any(one.answers for one in found.processes):
            raise typer.Exit(DependencyMissing.exit_code)
    elif as_json:
        for found in seen:
            _say(found, as_json)
    else:
        with Live(screen=True, auto_refresh=False) as live:
            for found in seen:
                live.update(LiveView(found), refresh=True)


def looks(deployment: Deployment, given: Sequence[str], interval_s: float) -> Iterator[Status]:
    """The deployment as it is, again and again; processes that start meanwhile are found.

    Args:
        deployment: The deployment.
        given: ``NAME=HOST:PORT`` of processes that neither it nor this machine knows.
        interval_s: From one look to the next, seconds.

    Raises:
        ConfigError: One of those given is not such, or names no process.
    """
    before = read_all(places(deployment, given))
    pause = threading.Event()
    with closing(GroupsSeen(deployment)) as groups:
        while True:
            pause.wait(interval_s)
            time_s = time.time()
            now = read_all(places(deployment, given))
            found, trouble = groups.look()
            status = status_of(deployment, now, before, time_s)
            yield replace(status, groups=found, groups_trouble=trouble)
            before = now


def _say(status: Status, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(status).decode())
    else:
        Console().print(view(status))
