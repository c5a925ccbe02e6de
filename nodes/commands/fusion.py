"""Run the fusion node: samples in, windows scored, events out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nodes.fusion import FusionNode
from nodes.logs import configure_logs
from nodes.runner import RunOptions, node_clock, run_node
from pipeline.config import load, require_models


def register(app: typer.Typer) -> None:
    """Add ``fusion`` to the command line."""
    app.command(name="fusion")(command)


def command(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
) -> None:
    """Run the fusion node: samples in, windows scored, events out."""
    loaded = load(config)
    require_models(loaded.deployment, config)
    fusion = FusionNode(loaded.deployment, node_clock())
    configure_logs(fusion.name, secrets=loaded.secrets)
    deployment = loaded.deployment
    options = RunOptions(
        data=deployment.data, http=deployment.fusion.http, outside=deployment.security.http
    )
    raise typer.Exit(run_node(fusion, options))
