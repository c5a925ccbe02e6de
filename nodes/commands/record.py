"""Record a deployment: what a running one receives, or its sources directly."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nodes.record import DirectRecorder
from nodes.record_request import RecordRequest
from nodes.runner import node_clock, read_run_files
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.errors import RecordingError

ASK_EVERY_S = 1.0
LOOK_EVERY_S = 0.2
BEGIN_S = 15.0


def register(app: typer.Typer) -> None:
    """Add ``record`` to the command line."""
    app.command(name="record")(command)


def command(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The recording; none: named by time.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Stop after this long; none: Ctrl-C.")
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="Read the sources even if the deployment is running.")
    ] = False,
) -> None:
    """Record a deployment: what a running one receives, or its sources directly."""
    deployment = load_deployment(config)
    target = output or Path(f"{deployment.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.mcap")
    if target.exists():
        raise RecordingError("exists already", where=str(target), fix="choose another name")
    if not target.absolute().parent.is_dir():
        raise RecordingError("its folder is not there", where=str(target), fix="make it first")
    record_to(Console(), deployment, target, seconds, direct=direct)


def record_to(
    console: Console,
    deployment: Deployment,
    target: Path,
    seconds: float | None,
    *,
    direct: bool = False,
) -> None:
    """Record a deployment into a file that is not there yet.

    Args:
        console: Told how it goes.
        deployment: The deployment; its fusion node records if it is running here.
        target: The recording.
        seconds: Stop after this long; None: when interrupted.
        direct: Read the sources even if it is running.

    Raises:
        RecordingError: Nothing could be recorded.
    """
    running = any(found.name == "fusion" for found in read_run_files(deployment.data))
    if running and not direct:
        _ask(console, deployment, target, seconds)
    else:
        _record(console, deployment, target, seconds)


def _record(console: Console, deployment: Deployment, target: Path, seconds: float | None) -> None:
    recorder = DirectRecorder(deployment, target, node_clock())
    recorder.start()
    until_s = None if seconds is None else time.monotonic() + seconds
    try:
        with console.status("recording from the sources; Ctrl-C ends it"):
            while recorder.step(0.25) and (until_s is None or time.monotonic() < until_s):
                pass
    except KeyboardInterrupt:
        console.print("ending")
    recorder.close()
    accounts = recorder.ledger.snapshot()
    if not any(account.delivered for account in accounts.values()):
        target.unlink()
        raise RecordingError(
            "no source gave anything, so nothing was kept",
            where=str(target),
            fix="see why above; 'fusewatch doctor' lists the devices that are here",
        )
    for stream, account in accounts.items():
        lost = ", ".join(f"{n} {reason}" for reason, n in account.dropped.items())
        console.print(f"{stream}: {account.delivered} samples" + (f", lost {lost}" if lost else ""))
    console.print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def _ask(console: Console, deployment: Deployment, target: Path, seconds: float | None) -> None:
    request = RecordRequest(deployment.data)
    try:
        with console.status("asking the fusion node to record"):
            _await_begin(request, target)
        until_s = float("inf") if seconds is None else time.monotonic() + seconds
        with console.status("the fusion node records; Ctrl-C ends it"):
            while (left_s := until_s - time.monotonic()) > 0:
                request.ask(target)
                time.sleep(min(ASK_EVERY_S, left_s))
    except KeyboardInterrupt:
        console.print("ending")
    finally:
        request.withdraw()
    if target.exists():
        console.print(f"{target}: {target.stat().st_size / 1e6:.1f} MB and being finished")


def _await_begin(request: RecordRequest, target: Path) -> None:
    """Ask until the recording has begun.

    Raises:
        RecordingError: The fusion node does not begin.
    """
    until_s = time.monotonic() + BEGIN_S
    while not target.exists():
        if time.monotonic() > until_s:
            raise RecordingError(
                f"the fusion node has not begun to record within {BEGIN_S:.0f} s",
                where=str(target),
                fix="see its log; is another recording asked for?",
            )
        request.ask(target)
        time.sleep(LOOK_EVERY_S)
