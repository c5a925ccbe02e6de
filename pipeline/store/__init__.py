"""What must survive a crash: events, alarm state, resume points, the outbox.

And what people look back on: scores by minute, and what was answered to events.
"""

from pipeline.store.answer_store import Action, Answer, AnswerStore, Verdict, stood_at, verdict_of
from pipeline.store.cluster_store import Sight, Wish
from pipeline.store.commit import Commit, SceneCheckpoint
from pipeline.store.directory import Served, place_of
from pipeline.store.fusion_store import FusionStore
from pipeline.store.held_events import Held
from pipeline.store.leases import Holder
from pipeline.store.outbox_rows import Delivery
from pipeline.store.outbox_store import OutboxStore
from pipeline.store.score_history import ScoreHistory, ScoreMinute, coarser

__all__ = [
    "Action",
    "Answer",
    "AnswerStore",
    "Commit",
    "Delivery",
    "FusionStore",
    "Held",
    "Holder",
    "OutboxStore",
    "SceneCheckpoint",
    "ScoreHistory",
    "ScoreMinute",
    "Served",
    "Sight",
    "Verdict",
    "Wish",
    "coarser",
    "place_of",
    "stood_at",
    "verdict_of",
]
