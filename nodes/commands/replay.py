"""Replay a recording through the engine: the same windows, scores and events as live."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from nodes.commands._options import check_span
from nodes.recording_files import recording_files
from nodes.replay import SECOND_NS, Replayed, replay, write_events, write_scores
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.errors import ConfigError, RecordingError
from pipeline.core.event import Phase
from pipeline.core.timestamps import format_iso
from pipeline.recording.reader import Recording


def register(app: typer.Typer) -> None:
    """Add ``replay`` to the command line."""
    app.command(name="replay")(command)


def command(
    recordings: Annotated[
        list[Path],
        typer.Argument(help="Recordings of one run, or their folder.", metavar="F.mcap..."),
    ],
    config: Annotated[Path, typer.Option("--config", "-c", help="Deployment file.")],
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Model file instead of the deployment's.")
    ] = None,
    scene: Annotated[
        str | None, typer.Option("--scene", help="Scene that --model is for, if there are several.")
    ] = None,
    speed: Annotated[str, typer.Option("--speed", help="Times real time, or max.")] = "max",
    events: Annotated[
        Path | None, typer.Option("--events", help="Write events here, one JSON a line.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", help="Write a CSV here, one row a window.")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", help="Write snapshots, clips and sound here.")
    ] = None,
    from_s: Annotated[
        float | None, typer.Option("--from", help="Begin at this second of the recording.")
    ] = None,
    to_s: Annotated[
        float | None, typer.Option("--to", help="End at this second of the recording.")
    ] = None,
) -> None:
    """Replay a recording through the engine: the same windows, scores and events as live."""
    from pipeline.detection.evidence_files import EvidenceFiles

    check_span(from_s, to_s)
    deployment = load_deployment(config)
    recordings = recording_files(recordings)
    require_streams(deployment, recordings)
    models = {scene_of(deployment, scene): model} if model is not None else None
    writer = EvidenceFiles(evidence) if evidence is not None else None
    result = replay(
        recordings,
        deployment,
        models=models,
        from_s=from_s,
        to_s=to_s,
        writer=writer,
        pace=pace_of(speed),
    )
    if writer is not None:
        writer.close()
    if events is not None:
        write_events(events, result.events)
    if scores is not None:
        write_scores(scores, result.scores, result.start_ns)
    _tell(result)


def scene_of(deployment: Deployment, wanted: str | None) -> str:
    """The scene that was meant.

    Raises:
        ConfigError: There is no such scene, or several and none was named.
    """
    names = list(deployment.scenes)
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted in names:
        return str(wanted)
    what = "name one of the scenes" if wanted is None else f"no scene {wanted!r}"
    raise ConfigError(what, where=deployment.name, fix=f"--scene {'|'.join(names)}")


def require_streams(deployment: Deployment, recordings: Sequence[Path]) -> None:
    """Make sure that the recordings hold something for the deployment.

    Raises:
        RecordingError: They hold no stream of any scene, or one cannot be read.
    """
    known: set[str] = set()
    for path in recordings:
        with Recording(path) as recording:
            known.update(recording.streams)
    wanted = {stream for scene in deployment.scenes.values() for stream in scene.streams}
    if not known & wanted:
        there = f"are {', '.join(sorted(known))}" if known else "is none at all"
        raise RecordingError(
            f"no stream of the deployment is recorded; there {there}",
            where=", ".join(str(path) for path in recordings),
            fix=f"its scenes have {', '.join(sorted(wanted))}: make the names agree",
        )


def pace_of(speed: str) -> Callable[[int], None] | None:
    """Waits until an arrival is due at this speed; None for ``max``.

    Raises:
        typer.BadParameter: Neither a number above zero nor ``max``.
    """
    if speed == "max":
        return None
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise typer.BadParameter("write a number above 0, or max", param_hint="--speed")
    origin: list[tuple[int, int]] = []

    def wait(arrival_ns: int) -> None:
        if not origin:
            origin.append((arrival_ns, time.monotonic_ns()))
        first_ns, begun_ns = origin[0]
        due_ns = begun_ns + int((arrival_ns - first_ns) / factor)
        time.sleep(max(0, due_ns - time.monotonic_ns()) / SECOND_NS)

    return wait


def _tell(result: Replayed) -> None:
    console = Console()
    raised = [e for e in result.events if e.phase is Phase.RAISED]
    console.print(f"{result.windows} windows, {len(result.scores)} scored, {len(raised)} events")
    if not result.windows:
        console.print(
            "nothing in this span is as long as a window (see --from, --to), "
            "or no stream fits the model (told above)"
        )
    elif not result.scores:
        console.print("none was scored: there is no model; name one with --model")
    for event in raised:
        at_s = (event.start_ns - result.start_ns) / SECOND_NS
        console.print(f"  {at_s:9.1f} s  {format_iso(event.start_ns)}  {escape(event.summary)}")
