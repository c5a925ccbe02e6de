"""What must survive a crash: events, alarm state, resume points, the outbox."""

from pipeline.store.fusion_store import Commit, FusionStore, SceneCheckpoint
from pipeline.store.outbox_rows import Delivery
from pipeline.store.outbox_store import OutboxStore

__all__ = ["Commit", "Delivery", "FusionStore", "OutboxStore", "SceneCheckpoint"]
