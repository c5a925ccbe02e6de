"""Where a deployment keeps what: one folder, the same names everywhere."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.deployment import Deployment
from pipeline.store import FusionStore


def evidence_folder(deployment: Deployment) -> Path:
    """Snapshots, clips and sound of events, by event id."""
    return deployment.data / "evidence"


def spool_folder(deployment: Deployment, node: str) -> Path:
    """The spool of a capture node."""
    spool = deployment.nodes[node].spool
    return (spool.folder if spool else None) or deployment.data / "spool" / node


def fusion_store(deployment: Deployment, *, create: bool = True) -> FusionStore:
    """The fusion node's store: the database it shares with others, or a file beside it."""
    if deployment.fusion.store is not None:
        return FusionStore(deployment.fusion.store.get_secret_value(), create=create)
    path = deployment.data / "fusion.db"
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    return FusionStore(path, create=create)
