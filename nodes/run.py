"""A whole deployment on one machine: one process per node, kept running by a supervisor."""

from __future__ import annotations

from pathlib import Path

import structlog

from nodes.supervisor import ALERT, CAPTURE, FUSION, Child, Supervisor, fusewatch_command
from pipeline.config import Deployment, load, require_models

log = structlog.get_logger(__name__)


def run_deployment(config: Path) -> int:
    """Run every node of a deployment here until it is stopped or has nothing more to do.

    Returns:
        The exit code: 0 after an orderly end, 69 when a node was given up.

    Raises:
        ConfigError: The deployment is wrong, or a model file it names is not there.
    """
    loaded = load(config)
    for warning in loaded.warnings:
        log.warning("deployment", problem=str(warning))
    require_models(loaded.deployment)
    return Supervisor(children(config, loaded.deployment)).run()


def children(config: Path, deployment: Deployment) -> list[Child]:
    """The processes of a deployment."""
    path = str(config.resolve())
    captures = [
        Child(f"capture-{name}", fusewatch_command("capture", path, "--node", name), CAPTURE)
        for name in deployment.nodes
    ]
    fusion = Child("fusion", fusewatch_command("fusion", path), FUSION)
    alert = Child("alert", fusewatch_command("alert", path), ALERT)
    return [*captures, fusion, alert]
