"""Show a deployment in the browser: live, its events, and answering back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nodes.logs import configure_logs
from nodes.runner import RunOptions, node_clock, run_node
from pipeline.config import load
from pipeline.config.deployment import DashboardSettings
from pipeline.core.errors import DependencyMissing
from pipeline.core.extras import installing


def register(app: typer.Typer) -> None:
    """Add ``dashboard`` to the command line."""
    app.command(name="dashboard")(command)


def command(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
) -> None:
    """Show a deployment in the browser: live, its events, and answering back.

    The page asks for the token in the file dashboard-token of the data folder.
    """
    try:
        from nodes.dashboard.node import DashboardNode
    except ModuleNotFoundError as error:
        raise DependencyMissing(
            f"{error.name} is not installed", fix=installing("dashboard")
        ) from error
    loaded = load(config)
    node = DashboardNode(loaded.deployment, node_clock())
    configure_logs(node.name, secrets=loaded.secrets)
    settings = loaded.deployment.dashboard or DashboardSettings()
    raise typer.Exit(run_node(node, RunOptions(data=loaded.deployment.data, http=settings.http)))
