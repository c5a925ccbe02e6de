"""Where a deployment keeps what: one folder, the same names everywhere.

What the workers of a cluster, the page and commands must all find is where all of them reach it:
answers and scores in the database of the events, evidence in ``engine.evidence``.

Stores are imported where one is opened: a capture node has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.deployment import Deployment

if TYPE_CHECKING:
    from pipeline.store import AnswerStore, FusionStore, ScoreHistory

ANSWERS, HISTORY = "answers.db", "history.db"


def evidence_folder(deployment: Deployment) -> Path:
    """Snapshots, clips and sound of events, by event id."""
    shared = deployment.engine.evidence if deployment.engine.is_ray else None
    return shared or deployment.data / "evidence"


def spool_folder(deployment: Deployment, node: str) -> Path:
    """The spool of a capture node."""
    spool = deployment.nodes[node].spool
    return (spool.folder if spool else None) or deployment.data / "spool" / node


def outbox_file(deployment: Deployment) -> Path:
    """The alert node's outbox."""
    return deployment.data / "alert.db"


def has_fusion_store(deployment: Deployment) -> bool:
    """Whether there is something to open: a shared database is taken to be there."""
    return deployment.fusion.store is not None or (deployment.data / "fusion.db").exists()


def fusion_store(deployment: Deployment, *, create: bool = True) -> FusionStore:
    """The fusion node's store: the database it shares with others, or a file beside it."""
    from pipeline.store import FusionStore

    if deployment.fusion.store is not None:
        return FusionStore(deployment.fusion.store.get_secret_value(), create=create)
    path = deployment.data / "fusion.db"
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    return FusionStore(path, create=create)


def score_history(deployment: Deployment, *, create: bool = True) -> ScoreHistory:
    """Scores by minute, for looking back."""
    from pipeline.store import ScoreHistory

    return ScoreHistory(_place(deployment, HISTORY, create), create=create)


def has_answers(deployment: Deployment) -> bool:
    """Whether anything was ever answered here."""
    return shared_by_workers(deployment) is not None or (deployment.data / ANSWERS).exists()


def answer_store(deployment: Deployment, *, create: bool = True) -> AnswerStore:
    """What people answered to events."""
    from pipeline.store import AnswerStore

    return AnswerStore(_place(deployment, ANSWERS, create), create=create)


def shared_by_workers(deployment: Deployment) -> str | None:
    """URL of the database that all workers of a cluster share; None: this is no cluster."""
    store = deployment.fusion.store
    return store.get_secret_value() if deployment.engine.is_ray and store is not None else None


def _place(deployment: Deployment, name: str, create: bool) -> str | Path:
    """The shared database of a cluster, or else a file."""
    shared = shared_by_workers(deployment)
    if shared is not None:
        return shared
    if create:
        deployment.data.mkdir(parents=True, exist_ok=True)
    return deployment.data / name
