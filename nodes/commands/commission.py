"""Learn what is normal for a scene from its recordings, and write its model file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from nodes.budget_words import budget_table, budget_words
from nodes.commands.replay import scene_of
from nodes.recording_files import recording_files
from nodes.stage_bar import StageBar
from pipeline.config import load_deployment, load_settings
from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.training.commissioning_report import CommissioningReport


def register(app: typer.Typer) -> None:
    """Add ``commission`` to the command line."""
    app.command(name="commission")(command)


def command(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    recordings: Annotated[
        list[Path] | None,
        typer.Option(
            "--recording", "-r", help="Recording of normal time, or a folder of such; repeatable."
        ),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Record now, until there is enough normal.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Model file; none: the scene's own.")
    ] = None,
    scene: Annotated[
        str | None, typer.Option("--scene", help="Which scene, if there are several.")
    ] = None,
    detector: Annotated[
        Path | None,
        typer.Option("--detector", help="Options of the detector, as in configs/models/*.yaml."),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(
            "--network", help="Network of the scene from `fusewatch train`; none: without."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            "-l",
            help="JSON: [{start_s, end_s, kind}] of what is no normal: not learnt, but tried.",
        ),
    ] = None,
    answers: Annotated[
        bool,
        typer.Option(
            "--answers",
            help="Take what was answered to the scene's alarms: what was called real or a fault is "
            "not learnt, but tried, and what nobody answered is not learnt.",
        ),
    ] = False,
    report_folder: Annotated[
        Path | None,
        typer.Option("--report", help="Folder for the plot; none: that of the model file."),
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            "--calibrate",
            help="Recording of normal time, made apart, that is not learnt and says how far "
            "normal goes (other people, another day); repeatable; none: parts of the others do.",
        ),
    ] = None,
    from_s: Annotated[
        float | None, typer.Option("--from", help="Begin at this second of each that is learnt.")
    ] = None,
    to_s: Annotated[
        float | None, typer.Option("--to", help="End at this second of each that is learnt.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option("--into", help="With --live: the recording; none: by time.")
    ] = None,
    lengths: Annotated[
        str | None,
        typer.Option(
            "--lengths", help="With --live: minutes at which it is judged, such as 5,7,10,14,20."
        ),
    ] = None,
    at_most: Annotated[
        float | None, typer.Option("--at-most", help="With --live: end after these minutes (60).")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", help="With --live: the site's, as Europe/Berlin; none: here."),
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="With --live: read the sources of a running one too.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --live: write JSON lines, for scripts.")
    ] = False,
) -> None:
    """Learn what is normal for a scene from its recordings, and write its model file.

    Tells, before anything goes live, what the scene's budget of false alarms and others would
    have done on the recordings: alarms raised over normal time, and known events missed.

    With --live it records the scene's normal itself, checks picture, sound, sensors and clocks
    meanwhile, and ends when twice as much normal taught nothing more and the budget can be counted.
    """
    from nodes.commission import commission_scene
    from pipeline.models.settings import DetectorSettings

    of_live = {
        "--into": into, "--lengths": lengths, "--at-most": at_most, "--timezone": timezone,
        "--direct": direct or None, "--json": as_json or None,
    }  # fmt: skip
    of_files = {
        "--recording": recordings, "--network": network, "--labels": labels,
        "--answers": answers or None, "--from": from_s, "--to": to_s, "--calibrate": calibrate,
    }  # fmt: skip
    _see_that_they_go_together(live, of_live, of_files)

    deployment = load_deployment(config)
    name = scene_of(deployment, scene)
    target = output or deployment.scenes[name].model
    if target is None:
        raise ConfigError("nowhere to write the model", where=f"scene {name}", fix="give -o FILE")
    settings = None if detector is None else load_settings(detector, DetectorSettings)
    console = Console()
    begun = time.monotonic()
    if live:
        from nodes.commands._commission_live import LiveOptions, commission_live

        options = LiveOptions(into, lengths, at_most, timezone, direct, as_json)
        quiet = Console(stderr=True) if as_json else console
        report = commission_live(
            config, deployment, name, target, settings or DetectorSettings(), options, tell
        )
        _draw(quiet, report, (report_folder or target.parent) / f"{name}-budget.png")
        quiet.print(f"{target} written", soft_wrap=True, markup=False)
        return
    with StageBar(console) as bar:
        report = commission_scene(
            deployment,
            name,
            recording_files(recordings or []),
            target,
            from_s=from_s,
            to_s=to_s,
            settings=settings,
            network=network,
            labels=labels,
            answers=answers,
            calibrate=recording_files(calibrate or ()),
            progress=bar.tell,
        )
    tell(console, report)
    _draw(console, report, (report_folder or target.parent) / f"{name}-budget.png")
    console.print(f"{escape(str(target))} written, {time.monotonic() - begun:.0f} s")


def _draw(console: Console, report: CommissioningReport, plot: Path) -> None:
    from nodes.budget_plot import draw

    draw(report.preview, plot)
    console.print(f"{plot}: the budgets drawn", soft_wrap=True, highlight=False, markup=False)


def _see_that_they_go_together(
    live: bool, of_live: Mapping[str, object], of_files: Mapping[str, object]
) -> None:
    """See that there is either something to record or something recorded.

    Raises:
        BadParameter: There is both or neither, or an option of the one given with the other.
    """
    if not live and not of_files["--recording"]:
        raise typer.BadParameter(
            "give a recording of normal time, or --live to record it now", param_hint="--recording"
        )
    wrong = [name for name, value in (of_files if live else of_live).items() if value is not None]
    if wrong:
        with_what = "recordings that are there already" if live else "--live"
        raise typer.BadParameter(f"goes with {with_what}", param_hint=", ".join(wrong))


def tell(console: Console, report: CommissioningReport) -> None:
    """Print what was learnt, what the budgets mean, and what is doubtful."""
    console.print(
        f"scene {report.scene}: {report.windows} windows, {report.seconds / 60:.1f} minutes"
    )
    if report.calibrated_s is not None:
        console.print(f"calibrated by {report.calibrated_s / 60:.1f} minutes that were not learnt")
    if report.answered is not None:
        console.print(f"alarms of this time, by what they were called: {report.answered}")
    console.print(budget_table(report.preview))
    for line in budget_words(report.preview):
        console.print(line, highlight=False, markup=False)
    for line in report.abilities.can:
        console.print(f"[green]finds:[/] {escape(line)}", highlight=False)
    for line in report.abilities.cannot:
        console.print(f"[yellow]does not:[/] {escape(line)}", highlight=False)
    for warning in report.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")
