"""Run one capture node: sources in, samples to the fusion node out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nodes.capture import CaptureNode
from nodes.logs import configure_logs
from nodes.runner import RunOptions, node_clock, run_node
from pipeline.config import load
from pipeline.core.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add ``capture`` to the command line."""
    app.command(name="capture")(command)


def command(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    node: Annotated[
        str | None, typer.Option("--node", help="Which node, if there are several.")
    ] = None,
) -> None:
    """Run one capture node: sources in, samples to the fusion node out."""
    loaded = load(config)
    deployment = loaded.deployment
    name = node or (next(iter(deployment.nodes)) if len(deployment.nodes) == 1 else "")
    if name not in deployment.nodes:
        what = f"no node {name!r}" if name else "name one of the nodes"
        raise ConfigError(what, where=str(config), fix=f"--node {'|'.join(deployment.nodes)}")
    capture = CaptureNode(deployment, name, node_clock())
    configure_logs(capture.name, secrets=loaded.secrets)
    http, outside = deployment.nodes[name].http, deployment.security.http
    options = RunOptions(data=deployment.data, http=http, outside=outside)
    raise typer.Exit(run_node(capture, options))
