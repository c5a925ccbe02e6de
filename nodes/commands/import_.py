"""Make a recording of footage, sound, sensor tables and text that were made elsewhere."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from nodes.commands._options import zone_option
from pipeline.core.errors import ConfigError
from pipeline.core.timestamps import format_iso, iso_ns
from pipeline.recording.import_names import named_files, prefixed_files, times_files
from pipeline.recording.import_report import InputReport
from pipeline.recording.importing import ImportedLabel, ImportPlan, ImportReport, run_import

SCENE = re.compile(r"^[a-z0-9][a-z0-9_-]{0,50}$")
Files = list[str] | None


def register(app: typer.Typer) -> None:
    """Add ``import`` to the command line."""
    app.command("import")(import_)


def import_(
    scene: Annotated[str, typer.Option(help="Scene the streams belong to.", metavar="NAME")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Recording to make (MCAP).")],
    video: Annotated[
        Files,
        typer.Option(
            help="Footage: FILE, a folder of clips or of still pictures, or NAME=FILE; repeatable."
        ),
    ] = None,
    audio: Annotated[
        Files, typer.Option(help="Sound: FILE, a folder of clips, or NAME=FILE; repeatable.")
    ] = None,
    sensors: Annotated[
        Files, typer.Option(help="CSV: FILE, a folder of such, or NAME=FILE; repeatable.")
    ] = None,
    text: Annotated[
        Files, typer.Option(help="Lines: FILE, a folder of such, or NAME=FILE; repeatable.")
    ] = None,
    xdf: Annotated[
        Files,
        typer.Option(help="LSL recording, all its streams: FILE or PREFIX=FILE; repeatable."),
    ] = None,
    video_times: Annotated[
        Files, typer.Option(help="When each frame happened (CSV: index, seconds, present).")
    ] = None,
    audio_times: Annotated[
        Files, typer.Option(help="When each block of sound happened (CSV, the same).")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Time of second 0, ISO 8601. Default: the earliest time of day in the inputs, "
            "else a day made of what is in them."
        ),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="Zone of times that name none, as Europe/Berlin; none: UTC."),
    ] = None,
    video_size: Annotated[
        str | None, typer.Option(help="Scale pictures to this size.", metavar="WxH")
    ] = None,
    video_hz: Annotated[
        float | None, typer.Option(help="Keep at most this many pictures a second.", min=0.01)
    ] = None,
    still_hz: Annotated[
        float | None,
        typer.Option(
            help="Still pictures a second, of folders of such. Default: when they were taken by "
            "their names, else 10.",
            min=1e-4,
        ),
    ] = None,
    audio_hz: Annotated[
        int | None, typer.Option(help="Resample sound to this rate.", min=1000, max=384_000)
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Column of a CSV that is no channel; repeatable.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="Column of a CSV that says where something was wrong, by numbers or words.",
            metavar="COLUMN",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Write labels here, JSON: what --label says, and what the clips of folders show, "
            "by the folders within that they lie in (normal/03.wav, leak/07.wav).",
            metavar="FILE",
        ),
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace an existing recording.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Make a recording of footage, sound, sensor tables and text that were made elsewhere.

    A folder is a stream of clips: its files one after the other, with pauses of five seconds;
    clips of the same name, in a folder of sounds and in one of footage, are of the same time.
    """
    if not SCENE.match(scene):
        raise typer.BadParameter("may hold a-z, 0-9, '-' and '_' only", param_hint="--scene")
    if not any((video, audio, sensors, text, xdf)):
        raise typer.BadParameter(
            "nothing to import: name --video, --audio, --sensors, --text or --xdf"
        )
    if label is not None and labels is None:
        raise typer.BadParameter("say where the labels go by --labels FILE", param_hint="--label")
    if labels is not None and label is None:
        _see_folders_within(
            [path for named in (video, audio, sensors, text) for path in named or ()]
        )
    zone = zone_option(timezone)
    videos = _named(video, f"{scene}-video", "--video")
    sounds = _named(audio, f"{scene}-audio", "--audio")
    plan = ImportPlan(
        scene=scene,
        output=output,
        video=videos,
        audio=sounds,
        sensors=_named(sensors, f"{scene}-sensors", "--sensors"),
        text=_named(text, f"{scene}-text", "--text"),
        xdf=prefixed_files(xdf or ()),
        video_times=_times(video_times, videos, "--video-times"),
        audio_times=_times(audio_times, sounds, "--audio-times"),
        start_ns=_start_ns(start, zone or UTC),
        video_size=_size(video_size),
        video_hz=video_hz,
        still_hz=still_hz,
        audio_hz=audio_hz,
        exclude=exclude or (),
        label=label,
        zone=zone,
        overwrite=force,
    )
    report = _run(plan)
    if labels is not None:
        _write_labels(labels, report.labels)
    typer.echo(json.dumps(as_data(report), indent=2)) if as_json else _tell(report, labels)


def as_data(report: ImportReport) -> dict[str, object]:
    """The summary for scripts."""
    return {
        "output": str(report.output),
        "start": format_iso(report.start_ns),
        "start_ns": report.start_ns,
        "dated": report.dated,
        "size_bytes": report.size_bytes,
        "inputs": [asdict(item) for item in report.inputs],
        "clips": [asdict(clip) for clip in report.clips],
    }


def _see_folders_within(named: Sequence[str]) -> None:
    """See that something says what the clips show.

    Raises:
        BadParameter: No folder of clips has folders within.
    """
    folders = [Path(one.rpartition("=")[2]) for one in named]
    if not any(one.is_dir() and any(part.is_dir() for part in one.iterdir()) for one in folders):
        what = (
            "nothing says what is labelled: no clip lies in a folder within, as leak/07.wav, and "
            "no column is named by --label"
        )
        raise typer.BadParameter(what, param_hint="--labels")


def _write_labels(file: Path, labels: Sequence[ImportedLabel]) -> None:
    found = [{k: v for k, v in asdict(label).items() if v != ""} for label in labels]
    try:
        file.write_text(f"{json.dumps(found, indent=1)}\n", "utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(file)) from error


def _run(plan: ImportPlan) -> ImportReport:
    console = Console(stderr=True)
    columns = (
        TextColumn("importing"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("import", total=None)

        def show(done_ns: int, total_ns: int) -> None:
            bar.update(task, completed=done_ns, total=max(total_ns, 1))

        return run_import(plan, show)


def _tell(report: ImportReport, labels: Path | None) -> None:
    console = Console()
    table = Table("stream", "from", "samples", "seconds", "left out", "found wrong")
    for item in report.inputs:
        table.add_row(
            escape(item.stream),
            escape(Path(item.path).name),
            f"{item.samples:,}",
            f"{(item.end_ns - item.start_ns) / 1e9:,.1f}",
            escape(_counts(item.dropped)),
            escape(_counts(item.faults)),
        )
    console.print(table)
    for item in report.inputs:
        _tell_notes(console, item)
    if report.clips:
        count = len(report.clips)
        console.print(f"{count} clips one after the other; --json tells when each is")
    if labels is not None:
        kinds = Counter(label.kind for label in report.labels)
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none"
        console.print(f"labels: {told}", highlight=False, markup=False)
    size = report.size_bytes / 1e6
    output = escape(str(report.output))
    console.print(f"{output}: {size:,.1f} MB, starts at {format_iso(report.start_ns)}")
    if not report.dated:
        console.print(
            "nothing says when that was, so it has a day of its own; --start DATE says when, or "
            "puts together what was recorded together"
        )
    command = f"fusewatch init --recording {shlex.quote(str(report.output))}"
    typer.echo(f"a deployment file that fits it: {command}")


def _tell_notes(console: Console, item: InputReport) -> None:
    for note in item.notes:
        console.print(f"{item.stream}: {note}", highlight=False, markup=False)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items()) or "-"


def _named(values: Sequence[str] | None, default: str, option: str) -> dict[str, Path]:
    try:
        return named_files(values or (), default)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _times(values: Sequence[str] | None, media: dict[str, Path], option: str) -> dict[str, Path]:
    try:
        files = times_files(values or (), media)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
    for name in files:
        if name not in media:
            known = ", ".join(media) or "none"
            raise typer.BadParameter(f"no stream {name!r}; there is {known}", param_hint=option)
    return files


def _start_ns(start: str | None, zone: tzinfo) -> int | None:
    if start is None:
        return None
    try:
        return iso_ns(start, zone)
    except ValueError as error:
        raise typer.BadParameter(
            f"{start!r} is not ISO 8601, as 2024-05-01T12:00:00Z is", param_hint="--start"
        ) from error


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.match(r"^(\d{1,5})[xX](\d{1,5})$", text)
    if match is None or 0 in (size := (int(match[1]), int(match[2]))):
        raise typer.BadParameter(f"{text!r} is not WIDTHxHEIGHT", param_hint="--video-size")
    return size
