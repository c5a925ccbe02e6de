"""See whether the streams of a scene agree on when things happen, by a clap, a flash or a knock."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nodes.commands.record import ASK_EVERY_S, record_to
from nodes.commands.replay import scene_of
from nodes.run_files import read_run_files
from nodes.sync import MILLISECOND_NS, SyncFinding, sync_of
from nodes.sync_request import SyncRequest
from nodes.sync_watching import offset_data
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.errors import TransportError
from pipeline.core.stamps import STAMPS

group = typer.Typer(
    help="See whether the streams of a scene agree on when things happen.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add ``sync`` to the command line."""
    app.add_typer(group, name="sync")


@group.command()
def test(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    recording: Annotated[
        Path | None,
        typer.Option("--recording", "-r", help="Use this one instead of recording now."),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=15, help="How long to record, seconds.")
    ] = 40,
    scene: Annotated[
        str | None, typer.Option("--scene", help="Which scene, if there are several.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="Stream to compare with; none: the sound.")
    ] = None,
    span: Annotated[
        float, typer.Option("--span", min=0.05, max=10, help="Largest offset looked for, seconds.")
    ] = 1.0,
    plot: Annotated[Path | None, typer.Option("--plot", help="PNG to draw.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Find by how much the streams of a scene differ, and what latency_ms would mend it.

    While it records, do something that several of them notice: clap where the camera sees it,
    switch a lamp, knock on the machine; ten times, at uneven intervals. A recording of ordinary
    life does as well if it is long enough.
    """
    deployment = load_deployment(config)
    name = scene_of(deployment, scene)
    if recording is not None:
        finding = sync_of(deployment, name, recording, reference=reference, span_s=span)
    else:
        finding = _now(deployment, name, seconds, reference, span, quiet=as_json)
    if plot is not None:
        from nodes.sync_plot import draw

        draw(finding, plot)
    if as_json:
        typer.echo(json.dumps(as_data(finding), indent=2))
    else:
        _tell(finding, config, plot)


@group.command()
def watch(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Stop after this long; none: Ctrl-C.")
    ] = None,
    window: Annotated[
        float,
        typer.Option("--window", min=30, help="How much of the past is compared, seconds."),
    ] = 120,
    as_json: Annotated[bool, typer.Option("--json", help="Print each look as JSON.")] = False,
) -> None:
    """Follow how well the streams of a running deployment agree on when things happen.

    The fusion node looks at the last two minutes (or --window) once a minute, so the first answer
    takes as long; a scene with sync_watch has its own window and its answer ready. Only what
    several streams notice sharply tells anything: where nothing does, it says so.
    """
    deployment = load_deployment(config)
    if not any(found.name == "fusion" for found in read_run_files(deployment.data)):
        raise TransportError(
            "its fusion node is not running here",
            where=str(config),
            fix="start it with 'fusewatch run', or use 'fusewatch sync test'",
        )
    request = SyncRequest(deployment.data)
    request.withdraw()  # of one who was killed, and what he was answered
    until_s = float("inf") if seconds is None else time.monotonic() + seconds
    told: dict[str, str] = {}
    try:
        while (left_s := until_s - time.monotonic()) > 0:
            request.ask(window)
            for line in news(request.read(), told, as_json=as_json):
                typer.echo(line)
            time.sleep(min(ASK_EVERY_S, left_s))
    except KeyboardInterrupt:
        typer.echo("ending", err=True)
    finally:
        request.withdraw()


def news(answer: Mapping[str, Any], told: dict[str, str], *, as_json: bool) -> Iterator[str]:
    """A line per scene that was looked at again; `told` remembers when each was last."""
    for scene, found in answer.items():
        looked = found.get("looked")
        if looked is None or told.get(scene) == looked:
            continue
        told[scene] = looked
        yield json.dumps({"scene": scene, **found}) if as_json else _line(scene, found)


def _line(scene: str, found: Mapping[str, Any]) -> str:
    reference = found["reference"]
    parts = [
        f"{stream} {_against(offset, found['certain_last'].get(stream))}"
        for stream, offset in found["streams"].items()
    ]
    parts += [f"{stream}: {why}" for stream, why in found["unusable"].items()]
    against = f" against {reference}" if reference else ""
    return f"{found['looked']} {scene}{against}: {'; '.join(parts) or 'nothing to compare'}"


def _against(offset: Mapping[str, Any], last: Mapping[str, Any] | None) -> str:
    """The offset if it is certain, else when it last was."""
    if offset["certain"]:
        return _signed(offset)
    known = f", {_signed(last)} at {last['at']}" if last is not None else ""
    return f"nothing in common{known}"


def _signed(offset: Mapping[str, Any]) -> str:
    return f"{offset['offset_ms']:+.0f} ± {offset['uncertainty_ms']:.0f} ms"


def as_data(finding: SyncFinding) -> dict[str, Any]:
    """The finding for scripts."""
    return {
        "scene": finding.scene,
        "reference": finding.reference,
        "streams": {one.second: offset_data(one) for one in finding.offsets},
        "unusable": dict(finding.unusable),
        "stamps": {name: list(stamps) for name, stamps in finding.stamps.items()},
        "latency_ms": dict(finding.latencies_ms),
        "late_ms": dict(finding.late_ms),
    }


def _stamps(stamps: Sequence[str]) -> str:
    """What stamps mean and how late they usually are."""
    if len(stamps) > 1:
        told = " then ".join(stamps)
        return f"its stamps changed ({told}); only what came after that was compared"
    known = STAMPS.get(stamps[0])
    return f"stamp {stamps[0]}" + (f", {known.meaning}; {known.usual}" if known else "")


def _now(
    deployment: Deployment,
    scene: str,
    seconds: float,
    reference: str | None,
    span: float,
    *,
    quiet: bool,
) -> SyncFinding:
    console = Console(stderr=quiet)
    console.print(
        f"recording for {seconds:.0f} s: clap, switch a lamp or knock, ten times, unevenly"
    )
    with tempfile.TemporaryDirectory(prefix="fusewatch-sync-") as folder:
        target = Path(folder) / "sync.mcap"
        record_to(console, deployment, target, seconds)
        return sync_of(deployment, scene, target, reference=reference, span_s=span)


def _tell(finding: SyncFinding, config: Path, plot: Path | None) -> None:
    console = Console()
    table = Table("stream", f"later than {escape(finding.reference)}", "agreement", "by chance")
    for one in finding.offsets:
        middle, off = one.offset_ns / MILLISECOND_NS, one.uncertainty_ns / MILLISECOND_NS
        said = f"{middle:+.0f} ± {off:.0f} ms" if one.sure else "nothing in common"
        table.add_row(escape(one.second), said, f"{one.agreement:.2f}", f"{one.wrong:.2f}")
    console.print(table)
    for name, why in finding.unusable.items():
        console.print(f"{escape(name)}: {escape(why)}")
    for name, stamps in finding.stamps.items():
        console.print(f"{escape(name)}: {escape(_stamps(stamps))}")
    if finding.latencies_ms:
        console.print(f"to mend it, write into {config}:\n", soft_wrap=True, markup=False)
        lines = [f"  {name}: {{latency_ms: {ms:g}}}" for name, ms in finding.latencies_ms.items()]
        console.print("\n".join(["streams:", *lines]), highlight=False, markup=False)
    for name, ms in finding.late_ms.items():
        console.print(
            f"{name}: times of its own are taken as they are, and are {ms:g} ms late: mend what "
            "writes them; an import comes by itself with an earlier --start, to be merged",
            soft_wrap=True, highlight=False, markup=False,
        )  # fmt: skip
    if not finding.latencies_ms and not finding.late_ms and any(o.sure for o in finding.offsets):
        console.print("they agree as far as this can tell")
    if plot is not None:
        console.print(f"{plot} written", soft_wrap=True, markup=False)
