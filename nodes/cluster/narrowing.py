"""The part of a deployment that one worker of a cluster fuses: a deployment of its own.

What a worker keeps lies in ``<data>/groups/<group>``, as two processes must not share a data
folder; the store is the one that all share. It listens on any free port of the interface that
``fusion.listen`` names, stands by while another process still has its scenes, and serves its
health on any free port.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.config.addresses import host_of, is_this_machine
from pipeline.config.deployment import Deployment
from pipeline.config.groups import group_of, scenes_of_node
from pipeline.core.errors import ConfigError

LOOPBACK = "127.0.0.1"


def worker_name(group: str) -> str:
    """Name of the process that fuses a group."""
    return f"fusion-{group}"


def data_of(deployment: Deployment, group: str) -> Path:
    """Data folder of a group's worker."""
    return deployment.data / "groups" / group


def for_group(deployment: Deployment, group: str) -> Deployment:
    """What the worker of one group runs.

    Raises:
        ConfigError: There is no such group, or the engine is no cluster.
    """
    if not deployment.engine.is_ray:
        raise ConfigError("this deployment has no cluster", fix="write 'engine: {kind: ray, ...}'")
    scenes = group_of(deployment, group)
    fusion = deployment.fusion
    changed: dict[str, object] = {
        "listen": f"tcp://{_bracketed(host_of(fusion.listen))}:0",
        "standby": True,
        "http": None if fusion.http is None else f"{fusion.http.rpartition(':')[0]}:0",
    }
    if fusion.record is not None:
        folder = fusion.record.folder / group
        changed["record"] = fusion.record.model_copy(update={"folder": folder})
    own = {n for n in deployment.nodes if set(scenes_of_node(deployment, n)) & set(scenes)}
    return deployment.model_copy(
        update={
            "data": data_of(deployment, group),
            "scenes": {name: deployment.scenes[name] for name in scenes},
            "nodes": {name: deployment.nodes[name] for name in deployment.nodes if name in own},
            "fusion": fusion.model_copy(update=changed),
        }
    )


def reachable_at(deployment: Deployment, address: str, host: str) -> str:
    """Where capture nodes reach a worker.

    Args:
        deployment: The whole deployment.
        address: Where the worker listens, with its port.
        host: Address of its machine.
    """
    at = LOOPBACK if is_this_machine(deployment.fusion.listen) else host
    return f"tcp://{_bracketed(at)}:{address.rpartition(':')[2]}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
