"""Record a deployment: what a running one receives, or its sources directly."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from nodes.interruption import Interruption
from nodes.record import DirectRecorder, nothing_given
from nodes.record_request import RecordRequest
from nodes.recorder import open_folder, scenes_of
from nodes.run_files import read_run_files
from nodes.runner import node_clock
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.config.fusion_settings import RecordSettings
from pipeline.core.errors import RecordingError
from pipeline.core.ledger import StreamAccount
from pipeline.recording.writer import RecordingWriter

ASK_EVERY_S = 1.0
LOOK_EVERY_S = 0.2
STEP_S = 0.25
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
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Record without end into files in this folder."),
    ] = None,
    max_file_mb: Annotated[
        float | None,
        typer.Option(help="With --folder: a new file at this size, MiB, or a third of the total."),
    ] = None,
    max_file_s: Annotated[
        float | None, typer.Option(help="With --folder: a new file after this many seconds.")
    ] = None,
    max_total_gb: Annotated[
        float | None, typer.Option(help="With --folder: delete the oldest beyond this, GiB.")
    ] = None,
    max_age_days: Annotated[
        float | None, typer.Option(help="With --folder: delete files older than this, days.")
    ] = None,
) -> None:
    """Record a deployment: what a running one receives, or its sources directly."""
    deployment = load_deployment(config)
    limits = {
        "max_file_mb": max_file_mb,
        "max_file_s": max_file_s,
        "max_total_gb": max_total_gb,
        "max_age_days": max_age_days,
    }
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if folder is None and given:
        raise typer.BadParameter(
            "is for a folder: say which with --folder", param_hint=_flag(given)
        )
    if folder is not None:
        _record_folder(Console(), deployment, folder, given, seconds, output, direct=direct)
        return
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
    if is_running(deployment) and not direct:
        _ask(console, deployment, target, seconds)
    else:
        _record(console, deployment, target, seconds)


def is_running(deployment: Deployment) -> bool:
    """Whether its fusion node runs on this machine."""
    return any(found.name == "fusion" for found in read_run_files(deployment.data))


def _record(console: Console, deployment: Deployment, target: Path, seconds: float | None) -> None:
    writer = RecordingWriter(target, deployment=deployment.name, scenes=scenes_of(deployment))
    recorder = DirectRecorder(deployment, writer, node_clock())
    _run(console, recorder, seconds)
    accounts = recorder.ledger.snapshot()
    if not any(account.delivered for account in accounts.values()):
        target.unlink()
    _tell(console, accounts, target)
    console.print(f"{escape(str(target))}: {target.stat().st_size / 1e6:.1f} MB")


def _run(console: Console, recorder: DirectRecorder, seconds: float | None) -> None:
    until_s = float("inf") if seconds is None else time.monotonic() + seconds
    with (
        Interruption() as interruption,
        console.status("recording from the sources; Ctrl-C ends it"),
    ):
        recorder.start()
        while not interruption.asked and recorder.step(STEP_S) and time.monotonic() < until_s:
            pass
    if interruption.asked:
        console.print("ending")
    recorder.close()


def _tell(console: Console, accounts: Mapping[str, StreamAccount], target: Path) -> None:
    """Say what each stream gave.

    Raises:
        RecordingError: None gave anything.
    """
    if not any(account.delivered for account in accounts.values()):
        raise nothing_given(target)
    for line in account_lines(accounts):
        console.print(escape(line))


def account_lines(accounts: Mapping[str, StreamAccount]) -> Iterator[str]:
    """What each stream gave, a line each."""
    for stream, account in accounts.items():
        lost = ", ".join(f"{n} {reason}" for reason, n in account.dropped.items())
        yield f"{stream}: {account.delivered} samples" + (f", lost {lost}" if lost else "")


def _record_folder(
    console: Console,
    deployment: Deployment,
    folder: Path,
    limits: Mapping[str, float],
    seconds: float | None,
    output: Path | None,
    *,
    direct: bool,
) -> None:
    """Record from the sources into files of bounded size, until interrupted."""
    if output is not None:
        raise typer.BadParameter("names one file, --folder many", param_hint="--output")
    if is_running(deployment) and not direct:
        raise RecordingError(
            "the deployment is running, and its fusion node alone knows what it receives",
            where=deployment.name,
            fix="set fusion.record in its file, or read the sources beside it with --direct",
        )
    try:
        settings = RecordSettings(folder=folder, **limits)
    except ValidationError as error:
        first = error.errors()[0]
        named = [str(name) for name in first["loc"]] or list(limits)
        raise typer.BadParameter(first["msg"], param_hint=_flag(named)) from error
    files = open_folder(deployment, settings)
    recorder = DirectRecorder(deployment, files, node_clock())
    _run(console, recorder, seconds)
    _tell(console, recorder.ledger.snapshot(), folder)
    size = sum(path.stat().st_size for path in files.files())
    told = f"{folder}: {len(files.files())} files of {deployment.name}, {size / 1e6:.1f} MB"
    console.print(escape(told))
    for reason, count in files.removed.items():
        if count:
            console.print(f"removed by {reason.value}: {count} files")
    if files.lost:
        console.print(f"[yellow]the disk refused {files.lost} messages[/]")


def _flag(names: Iterable[str]) -> str:
    """The options of these settings."""
    return ", ".join("--" + name.replace("_", "-") for name in names)


def _ask(console: Console, deployment: Deployment, target: Path, seconds: float | None) -> None:
    request = RecordRequest(deployment.data)
    try:
        with console.status("asking the fusion node to record"):
            await_begin(request, target)
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
        size = target.stat().st_size / 1e6
        console.print(f"{escape(str(target))}: {size:.1f} MB and being finished")


def await_begin(request: RecordRequest, target: Path) -> None:
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
