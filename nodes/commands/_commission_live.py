"""The command line of commissioning live."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console

from nodes.commands._options import zone_option
from nodes.commands.record import account_lines, await_begin, is_running
from nodes.commissioning.live import Capture, FromRunning, FromSources, LiveCommissioning
from nodes.commissioning.messages import Job
from nodes.commissioning.telling import JsonLines, Report, Screen, Teller
from nodes.record import DirectRecorder
from nodes.record_request import RecordRequest
from nodes.recorder import scenes_of
from nodes.runner import node_clock
from pipeline.config.deployment import Deployment
from pipeline.core.errors import FusewatchError, RecordingError
from pipeline.models.settings import DetectorSettings
from pipeline.recording.writer import RecordingWriter
from pipeline.training.commissioning_report import CommissioningReport
from pipeline.training.enough import EnoughSettings


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What was typed.

    Attributes:
        into: Where to record; None: named by time.
        lengths: Minutes at which to look, with commas; None: as usual.
        at_most: Minutes after which it ends; None: as usual.
        timezone: The site's; None: this machine's.
        direct: Read the sources even if the deployment is running.
        as_json: Write JSON lines.
    """

    into: Path | None = None
    lengths: str | None = None
    at_most: float | None = None
    timezone: str | None = None
    direct: bool = False
    as_json: bool = False

    def enough(self) -> EnoughSettings:
        """When to look and when to end."""
        given: dict[str, Any] = {}
        if self.lengths is not None:
            given["lengths_min"] = [part.strip() for part in self.lengths.split(",")]
        if self.at_most is not None:
            given["at_most_min"] = self.at_most
        try:
            return EnoughSettings(**given)
        except ValidationError as error:
            hint = " and ".join(
                "--" + name.removesuffix("_min").replace("_", "-") for name in given
            )
            raise typer.BadParameter(
                error.errors()[0]["msg"].removeprefix("Value error, "), param_hint=hint
            ) from error

    def zone(self) -> str | None:
        """The time zone, which is there."""
        zone_option(self.timezone)
        return self.timezone


def commission_live(
    config: Path,
    deployment: Deployment,
    scene: str,
    model: Path,
    settings: DetectorSettings,
    options: LiveOptions,
    report: Report,
) -> CommissioningReport:
    """Record a scene's normal until it is enough, and write its model.

    Args:
        config: The deployment file.
        deployment: What it says.
        scene: Which scene.
        model: The model file.
        settings: Options of the detector.
        options: What was typed.
        report: Prints the report of commissioning.

    Raises:
        FusewatchError: Nothing could be recorded or learnt.
    """
    target = options.into or Path(f"{deployment.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.mcap")
    _see_places(target, model)
    again = f"fusewatch commission {config} --recording {target}"
    if len(deployment.scenes) > 1:
        again += f" --scene {scene}"
    if model != deployment.scenes[scene].model:
        again += f" -o {model}"
    job = Job(config, scene, target, model, settings, options.enough(), again, options.zone())
    alarm = deployment.scenes[scene].alarm
    teller: Teller = (
        JsonLines(job, alarm, typer.echo)
        if options.as_json
        else Screen(Console(), job, alarm, report)
    )
    capture = _capture(deployment, target, direct=options.direct)
    live = LiveCommissioning(capture, job, node_clock(), tell=teller.told, ending=teller.ending)
    teller.begin()
    try:
        outcome = live.run()
    except (FusewatchError, KeyboardInterrupt):
        teller.kept()
        raise
    teller.end(outcome, _given(capture))
    return outcome.learnt.report


def _see_places(target: Path, model: Path) -> None:
    """See, before an hour is recorded, that what comes of it can be written.

    Raises:
        RecordingError: It cannot.
    """
    if target.exists():
        raise RecordingError("exists already", where=str(target), fix="choose another name")
    if not target.absolute().parent.is_dir():
        raise RecordingError("its folder is not there", where=str(target), fix="make it first")
    model.absolute().parent.mkdir(parents=True, exist_ok=True)


def _capture(deployment: Deployment, target: Path, *, direct: bool) -> Capture:
    if is_running(deployment) and not direct:
        request = RecordRequest(deployment.data)
        await_begin(request, target)
        return FromRunning(request, target)
    writer = RecordingWriter(target, deployment=deployment.name, scenes=scenes_of(deployment))
    return FromSources(DirectRecorder(deployment, writer, node_clock()), target)


def _given(capture: Capture) -> Iterable[str]:
    return account_lines(capture.accounts())
