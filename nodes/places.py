"""Where a deployment keeps what: one folder, the same names everywhere.

Stores are imported where one is opened: a capture node has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.deployment import Deployment

if TYPE_CHECKING:
    from pipeline.store import AnswerStore, FusionStore, ScoreHistory


def evidence_folder(deployment: Deployment) -> Path:
    """Snapshots, clips and sound of events, by event id."""
    return deployment.data / "evidence"


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

    path = deployment.data / "history.db"
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    return ScoreHistory(path, create=create)


def has_answers(deployment: Deployment) -> bool:
    """Whether anything was ever answered here."""
    return (deployment.data / "answers.db").exists()


def answer_store(deployment: Deployment, *, create: bool = True) -> AnswerStore:
    """What people answered to events."""
    from pipeline.store import AnswerStore

    path = deployment.data / "answers.db"
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    return AnswerStore(path, create=create)
