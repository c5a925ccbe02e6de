"""Where the last fusion node of a deployment stopped, for the next one to go on from."""

from __future__ import annotations

import structlog

from nodes.assembly import Assembly
from pipeline.config.deployment import Deployment
from pipeline.core.event import HEALTH_PREFIX
from pipeline.detection.outcome import SceneState
from pipeline.store import FusionStore

log = structlog.get_logger(__name__)

SECOND_NS = 1_000_000_000
SET_BACK_S = 60
STANDING = 500
"""An event that stands is looked for among the newest so many."""


def restore(deployment: Deployment, assembly: Assembly, store: FusionStore, now_ns: int) -> None:
    """Put the engine where the last commit left it.

    Args:
        deployment: The deployment.
        assembly: Its engine, as new.
        store: What was committed.
        now_ns: Node time.

    Raises:
        StoreError: It cannot be read, or is not of this deployment.
    """
    states = {}
    for scene, settings in deployment.scenes.items():
        at = store.checkpoint(scene)
        if at is not None:
            hop_ns = at.hop_ns or round(settings.hop_s * SECOND_NS)
            _tell_if_set_back(scene, at.next_window * hop_ns // SECOND_NS, now_ns)
            kept = (at.alarm, at.scoring, at.sight, at.evidence)
            states[scene] = SceneState(at.next_window, *kept, at.hop_ns)
    engine = assembly.engine
    engine.restore(states, now_ns)
    engine.health.restore(store.phases(HEALTH_PREFIX))
    engine.incidents.restore(store.events(limit=STANDING))
    for scene, budget in assembly.budgets.items():
        log.info("alarm threshold", scene=scene, score=round(budget.threshold, 2))


def _tell_if_set_back(scene: str, committed_s: int, now_ns: int) -> None:
    ahead_s = committed_s - now_ns // SECOND_NS
    if ahead_s > SET_BACK_S:
        log.error(
            "the clock was set back: samples are let go until it is where it was",
            scene=scene,
            for_s=ahead_s,
            counted="resumed",
        )
