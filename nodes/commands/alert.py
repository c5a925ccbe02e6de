"""Run the alert node: events in, to the sinks out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nodes.alert import AlertNode
from nodes.links import event_receiver
from nodes.logs import configure_logs
from nodes.runner import RunOptions, node_clock, run_node
from pipeline.config import load


def register(app: typer.Typer) -> None:
    """Add ``alert`` to the command line."""
    app.command(name="alert")(command)


def command(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
) -> None:
    """Run the alert node: events in, to the sinks out."""
    loaded = load(config)
    deployment = loaded.deployment
    alert = AlertNode(deployment, node_clock(), lambda: event_receiver(deployment))
    configure_logs(alert.name, secrets=loaded.secrets)
    options = RunOptions(
        data=deployment.data, http=deployment.alert.http, outside=deployment.security.http
    )
    raise typer.Exit(run_node(alert, options))
