"""What a cluster told of the hall, beside what a run told that nothing happened to."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from nodes.dashboard.records import Records
from nodes.dashboard.views import AnswerGiven
from nodes.places import evidence_folder
from pipeline.config import load_deployment
from pipeline.core.clock import NodeClock
from pipeline.detection.kept_scoring import watched_in
from pipeline.store import Action, FusionStore
from tests.crash import hall
from tests.crash.world import plain
from tests.system.cluster_run import ClusterRun

DAY_NS = 86_400 * 10**9


@dataclass
class Undisturbed:
    """What a run told that nothing happened to.

    Attributes:
        events: Every phase.
        next_window: Where it ended.
        watched: When the scene was watched, as spans without a gap.
    """

    events: list[bytes]
    next_window: int
    watched: list[tuple[int, int]]

    def is_told_by(self, store: FusionStore) -> None:
        """See that a store tells the same of the hall."""
        assert told_of_samples(store) == self.events
        at = store.checkpoint("hall")
        assert at is not None
        assert at.next_window == self.next_window
        assert watched_in("hall", at.scoring).spans == self.watched, "no window was passed over"


def told_of_samples(store: FusionStore) -> list[bytes]:
    """Every event of the hall that is of the script's time.

    That nothing comes is told by the clock on the wall, as it is while the script is held or over.
    """
    told = store.events("hall", all_phases=True)
    return [plain(event) for event in told if event.start_ns < hall.START_NS + DAY_NS]


def is_shown(run: ClusterRun) -> None:
    """See that the page has the evidence that several workers made, whole, and takes answers."""
    assert run.run("events:verify").returncode == 0
    deployment = load_deployment(run.config)
    with closing(Records(deployment, NodeClock())) as page:
        rows = [row for row in page.events("hall", None, None, 100) if not row.health]
        assert rows
        for row in rows:
            shown = page.event(row.id)
            assert shown is not None
            assert {"snapshot", "clip"} <= shown.evidence.keys()
            assert all((evidence_folder(deployment) / p).is_file() for p in shown.evidence.values())
        assert page.answer(rows[0].id, AnswerGiven(action=Action.SEEN), "Ada") is not None
        assert [group.owner != "" for group in page.groups()] == [True, True]
