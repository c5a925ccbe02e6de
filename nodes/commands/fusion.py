"""Run the fusion node: samples in, windows scored, events out."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path
from typing import Annotated

import structlog
import typer

from nodes.cluster.narrowing import for_group, reachable_at, worker_name
from nodes.cluster.wanted import placed_elsewhere
from nodes.commands._options import WithoutModel
from nodes.fusion import FusionNode
from nodes.logs import configure_logs
from nodes.runner import RunOptions, node_clock, run_node
from pipeline.config import load, require_models, without_missing_models
from pipeline.core.errors import ConfigError

log = structlog.get_logger(__name__)

WORKER_DRAIN_S = 5.0
"""What a worker still waits for when it ends, such as the alert node: the next one hands it on."""


def register(app: typer.Typer) -> None:
    """Add ``fusion`` to the command line."""
    app.command(name="fusion")(command)


def command(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    group: Annotated[
        str | None, typer.Option("--group", help="Of a cluster: which group of scenes.")
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Of a cluster: this machine's address for others.")
    ] = None,
    without_model: WithoutModel = False,
) -> None:
    """Run the fusion node: samples in, windows scored, events out."""
    loaded = load(config)
    if group is None and loaded.deployment.engine.is_ray:
        raise ConfigError(
            "the scenes are fused by the workers of a cluster",
            where=str(config),
            fix="fusewatch cluster up; or 'engine: {kind: local}'; or one worker, with --group",
        )
    deployment = loaded.deployment if group is None else for_group(loaded.deployment, group)
    unlearnt: tuple[str, ...] = ()
    if without_model:
        deployment, unlearnt = without_missing_models(deployment)
    require_models(deployment, config)
    fusion = FusionNode(deployment, node_clock())
    if group is not None:
        host = host or socket.gethostname()
        fusion = FusionNode(
            deployment,
            node_clock(),
            name=worker_name(group),
            reachable=partial(reachable_at, loaded.deployment, host=host),
            elsewhere=partial(placed_elsewhere, group=group, host=host),
        )
    configure_logs(fusion.name, secrets=loaded.secrets)
    for scene in unlearnt:
        fix = f"fusewatch commission --live {config}, then start this again"
        log.warning("no model yet, aligned and recorded only", scene=scene, fix=fix)
    options = RunOptions(
        data=deployment.data, http=deployment.fusion.http, outside=deployment.security.http
    )
    if group is not None:
        options.drain_s = WORKER_DRAIN_S
    raise typer.Exit(run_node(fusion, options))
