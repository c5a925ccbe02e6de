"""See whether the streams of a scene agree on when things happen, by a clap, a flash or a knock."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nodes.commands.record import record_to
from nodes.commands.replay import scene_of
from nodes.sync import MILLISECOND_NS, SyncFinding, sync_of
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment

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


def as_data(finding: SyncFinding) -> dict[str, Any]:
    """The finding for scripts."""
    return {
        "scene": finding.scene,
        "reference": finding.reference,
        "streams": {
            one.second: {
                "offset_ms": one.offset_ns / MILLISECOND_NS,
                "uncertainty_ms": one.uncertainty_ns / MILLISECOND_NS,
                "agreement": round(one.agreement, 3),
                "agreement_by_chance": round(one.wrong, 3),
                "sure": one.sure,
            }
            for one in finding.offsets
        },
        "unusable": dict(finding.unusable),
        "latency_ms": dict(finding.latencies_ms),
    }


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
    if finding.latencies_ms:
        console.print(f"to mend it, write into {config}:\n", soft_wrap=True)
        lines = [f"  {name}: {{latency_ms: {ms:g}}}" for name, ms in finding.latencies_ms.items()]
        console.print("\n".join(["streams:", *lines]), highlight=False, markup=False)
    elif any(one.sure for one in finding.offsets):
        console.print("they agree as far as this can tell")
    if plot is not None:
        console.print(f"{plot} written", soft_wrap=True)
