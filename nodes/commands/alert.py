"""Run the alert node: events in, to the sinks out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from nodes.alert import AlertNode
from nodes.links import event_receiver
from nodes.logs import configure_logs
from nodes.runner import RunOptions, node_clock, run_node
from nodes.sink_trial import try_sinks
from pipeline.config import Deployment, load
from pipeline.core.errors import ConfigError

UNAVAILABLE = 69
TEST = "test"


def register(app: typer.Typer) -> None:
    """Add ``alert`` to the command line."""
    app.command(name="alert")(command)


def command(
    words: Annotated[list[str], typer.Argument(help="Deployment file.", metavar="[test] CONFIG")],
) -> None:
    """Run the alert node: events in, to the sinks out.

    With the word *test* before the file: send a marked test event to every sink, and end.
    """
    *before, config = words
    if before not in ([], [TEST]):
        raise ConfigError(f"{before[0]!r} is not known here", fix=f"fusewatch alert [{TEST}] FILE")
    loaded = load(Path(config))
    deployment = loaded.deployment
    if before:
        _test(deployment)
    alert = AlertNode(deployment, node_clock(), lambda: event_receiver(deployment))
    configure_logs(alert.name, secrets=loaded.secrets)
    options = RunOptions(
        data=deployment.data, http=deployment.alert.http, outside=deployment.security.http
    )
    raise typer.Exit(run_node(alert, options))


def _test(deployment: Deployment) -> None:
    """Try every sink, say what became of it, and end; 69 when one did not take the event.

    Raises:
        ConfigError: There is no sink.
    """
    console = Console()
    if not deployment.alert.sinks:
        raise ConfigError("no sinks are configured", fix="list some under alert: sinks:")
    failed = 0
    for tried in try_sinks(deployment, node_clock()):
        failed += bool(tried.error)
        verdict = f"[red]failed[/]  {escape(tried.error)}" if tried.error else "[green]taken[/]"
        console.print(f"{escape(f'{tried.sink:20}')} {verdict}", soft_wrap=True, highlight=False)
    raise typer.Exit(UNAVAILABLE if failed else 0)
