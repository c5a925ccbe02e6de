"""A whole deployment on one machine: one process per node, kept running by a supervisor."""

from __future__ import annotations

from pathlib import Path

import structlog

from nodes.lock import hold, wait_until_free
from nodes.logs import configure_logs
from nodes.supervisor import ALERT, CAPTURE, FUSION, PAGE, Child, Supervisor, fusewatch_command
from pipeline.config import Deployment, load, require_models
from pipeline.core.errors import ConfigError

LEFTOVERS_S = 15.0
"""Longest wait at the start for nodes of an earlier run that still drain, seconds."""

log = structlog.get_logger(__name__)


def run_deployment(config: Path, *, learning: bool = False) -> int:
    """Run every node of a deployment here until it is stopped or has nothing more to do.

    Args:
        config: The deployment file.
        learning: Start though models are missing; what their scenes receive is only recorded.

    Returns:
        The exit code: 0 after an orderly end, 69 when a node was not well at the end.

    Raises:
        ConfigError: The deployment is wrong, or a model file it names is not there.
        AlreadyRunning: It, or one of its nodes, runs already.
    """
    loaded = load(config)
    configure_logs("fusewatch", secrets=loaded.secrets)
    for warning in loaded.warnings:
        log.warning("deployment", problem=str(warning))
    deployment = loaded.deployment
    if deployment.engine.is_ray:
        raise ConfigError(
            "the scenes of this deployment are fused by a cluster",
            where=str(config),
            fix="fusewatch cluster up, and 'capture' and 'alert' where they belong; or write "
            "'engine: {kind: local}'",
        )
    if not learning:
        require_models(deployment, config)
    everyone = children(config, deployment, learning=learning)
    with hold(deployment.data, "run"):
        wait_until_free(deployment.data, [child.name for child in everyone], LEFTOVERS_S)
        return Supervisor(everyone).run()


def children(config: Path, deployment: Deployment, *, learning: bool = False) -> list[Child]:
    """The processes of a deployment."""
    path = str(config.resolve())
    captures = [
        Child(f"capture-{name}", fusewatch_command("capture", path, "--node", name), CAPTURE)
        for name in deployment.nodes
    ]
    fusion = Child("fusion", fusewatch_command("fusion", path, *["--learning"] * learning), FUSION)
    alert = Child("alert", fusewatch_command("alert", path), ALERT)
    if deployment.dashboard is None:
        return [*captures, fusion, alert]
    page = Child("dashboard", fusewatch_command("dashboard", path), PAGE)
    return [*captures, fusion, alert, page]
