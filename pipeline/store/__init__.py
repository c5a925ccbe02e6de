"""What must survive a crash: events, alarm state, resume points, the outbox."""

from pipeline.store.fusion_store import Commit, FusionStore, SceneCheckpoint
from pipeline.store.leases import Holder
from pipeline.store.outbox_store import Delivery, OutboxStore

__all__ = ["Commit", "Delivery", "FusionStore", "Holder", "OutboxStore", "SceneCheckpoint"]
