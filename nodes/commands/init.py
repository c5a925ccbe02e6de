"""Write a first deployment file from what this machine has and what you answer."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from nodes.init.asking import Asking
from nodes.init.gathering import Given, gather
from nodes.init.plan import SitePlan
from nodes.init.writing import write
from nodes.recording_files import recording_files
from pipeline.config import check_file
from pipeline.core.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add ``init`` to the command line."""
    app.command(name="init")(init)


def init(
    file: Annotated[Path, typer.Argument(help="File to write.", metavar="FILE")] = Path(
        "site.yaml"
    ),
    scene: Annotated[str | None, typer.Option("--scene", help="Name of the place.")] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(
            "--address",
            metavar="[PLACE=]URL",
            help="Address of a network camera (rtsp://...); several. Each PLACE is a scene of its "
            "own, and has the MQTT topics with its name in them.",
        ),
    ] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option("--camera", help="Camera of this machine (/dev/video0); several."),
    ] = None,
    microphone: Annotated[
        bool | None,
        typer.Option("--microphone/--no-microphone", help="Hear the default sound input."),
    ] = None,
    broker: Annotated[
        str | None, typer.Option("--broker", help="MQTT broker, HOST or HOST:PORT.")
    ] = None,
    user: Annotated[str | None, typer.Option("--broker-user", help="User of the broker.")] = None,
    password_file: Annotated[
        Path | None,
        typer.Option("--broker-password-file", help="File with its password; none: asked for."),
    ] = None,
    topic: Annotated[
        str, typer.Option("--topic", help="Topics to listen to; + and # are wildcards.")
    ] = "#",
    listen_s: Annotated[
        float, typer.Option("--listen", help="How long to listen to the broker, seconds.")
    ] = 15.0,
    recording: Annotated[
        list[Path] | None,
        typer.Option(
            "--recording",
            "-r",
            help="Write it for what this recording holds, or a folder of such; repeatable.",
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="False alarms you can live with, as 2/day.")
    ] = None,
    webhook: Annotated[
        str | None, typer.Option("--webhook", help="Address that events are sent to.")
    ] = None,
    home_assistant: Annotated[
        bool | None,
        typer.Option(
            "--home-assistant/--no-home-assistant",
            help="Tell Home Assistant of alarms, over the broker.",
        ),
    ] = None,
    data: Annotated[Path, typer.Option("--data", help="Folder for all that is kept.")] = Path(
        "data"
    ),
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing, take what is found.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over the file.")] = False,
) -> None:
    """Write a first deployment file from what this machine has and what you answer.

    Passwords are asked for, or taken from addresses, and go to files of their own beside it. With
    --recording it is for what was recorded or imported, and nothing is asked.
    """
    if file.exists() and not force:
        raise ConfigError(
            "the file exists already", where=str(file), fix="name another, or --force"
        )
    if recording:
        devices = {
            "--address": address, "--camera": camera, "--microphone": microphone,
            "--broker": broker, "--broker-user": user, "--broker-password-file": password_file,
            "--webhook": webhook, "--home-assistant": home_assistant,
        }  # fmt: skip
        if wrong := [name for name, value in devices.items() if value is not None]:
            raise typer.BadParameter(
                "is of devices, and the file is to be for --recording", param_hint=", ".join(wrong)
            )
        _for_recordings(recording_files(recording), file, scene, data, budget)
        return
    ask = Asking(silent=yes or not sys.stdin.isatty())
    given = Given(
        scene=scene,
        addresses=address,
        devices=camera,
        microphone=microphone,
        broker=broker,
        user=user,
        password=None if password_file is None else _read(password_file),
        topic=topic,
        listen_s=listen_s,
        budget=budget,
        webhook=webhook,
        home_assistant=home_assistant,
        data=data,
    )
    _finish(gather(given, ask), file)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"cannot be read: {error}", where=f"--broker-password-file {file}"
        ) from error


def _for_recordings(
    recordings: Sequence[Path], file: Path, scene: str | None, data: Path, budget: str | None
) -> None:
    from nodes.init.recorded import recorded_in, write_recorded

    recorded = recorded_in(recordings, scene)
    try:
        write_recorded(recorded, file, data, budget)
    except OSError as error:
        raise ConfigError(f"cannot write: {error.strerror}", where=str(file)) from error
    _checked(file)
    typer.echo("\n".join(recorded.next_steps(file)))


def _checked(file: Path) -> list[str]:
    """Check what was written, and say so; the scenes in it."""
    report = check_file(file)
    for problem in report.problems:
        typer.echo(str(problem), err=True)
    if report.problems:
        raise typer.Exit(ConfigError.exit_code)
    typer.echo(f"{file} is written and checks green.")
    return list(report.loaded.deployment.scenes) if report.loaded else []


def _finish(plan: SitePlan, file: Path) -> None:
    try:
        secrets = write(plan, file)
    except OSError as error:
        raise ConfigError(f"cannot write: {error.strerror}", where=str(file)) from error
    scenes, named = _checked(file), shlex.quote(str(file))
    if secrets:
        typer.echo(f"Passwords and addresses are in {secrets[0].parent}, readable by you alone.")
    if len(scenes) > 1:
        typer.echo(
            f"Next, record the ordinary of all {len(scenes)} scenes and learn each, then watch:\n"
            f"  fusewatch record {named} --seconds 1800 -o normal.mcap"
        )
        for scene in scenes:
            typer.echo(f"  fusewatch commission {named} -r normal.mcap --scene {scene}")
        typer.echo(f"  fusewatch run {named}")
        return
    typer.echo(
        "Next, record the ordinary and learn it (half an hour to an hour), then watch:\n"
        f"  fusewatch commission --live {named}\n"
        f"  fusewatch run {named}"
    )
