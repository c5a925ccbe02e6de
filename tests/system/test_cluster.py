"""Workers on a Ray cluster are killed, cut off, moved, started anew, and lost with their machine.

Nodes of Ray on this machine, a real PostgreSQL, ``fusewatch cluster up``, and capture nodes that
ask the directory. Whatever happens, the events are those of an undisturbed run and the ledger adds
up. Recovery is measured and told. One cluster of Ray serves all tests; each has a deployment and a
database of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nodes.dashboard.records import Records
from nodes.dashboard.views import AnswerGiven
from nodes.places import evidence_folder, fusion_store
from pipeline.config import load_deployment
from pipeline.core.clock import NodeClock
from pipeline.detection.kept_scoring import watched_in
from pipeline.models.checkpoint import load_model, save_model
from pipeline.store import Action, FusionStore
from tests.crash import hall
from tests.crash.kills import Kills
from tests.crash.world import plain
from tests.system.cluster_run import (
    UP_S,
    Capture,
    ClusterRun,
    first_start_s,
    lives,
    recovered,
    tokens,
)
from tests.system.postgres import Postgres
from tests.system.ray_site import RaySite, is_running
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.alone, pytest.mark.timeout(400)]

DAY_NS = 86_400 * 10**9
KILLED_S, LOST_S, UPGRADED_S = 8.0, 13.0, 36.0


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return hall.model_file(folder)


@pytest.fixture(scope="module")
def undisturbed(folder: Path, model: Path) -> Undisturbed:
    world = hall.hall(folder / "whole", model)
    world.run(hall.script(), Kills())
    with closing(fusion_store(world.deployment, create=False)) as store:
        at = store.checkpoint("hall")
        assert at is not None
        return Undisturbed(
            told_of_samples(store), at.next_window, watched_in("hall", at.scoring).spans
        )


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    place = Path(tempfile.mkdtemp(prefix="fusewatch-postgres-"))
    try:
        with Postgres(place / "server") as server:
            yield server
    finally:
        shutil.rmtree(place)


@pytest.fixture(scope="module")
def site(folder: Path, postgres: Postgres) -> Iterator[RaySite]:
    with RaySite(folder / "machines", postgres.port) as made:
        yield made


def test_events_are_those_of_an_undisturbed_run_whatever_happens_to_the_workers(
    site: RaySite, postgres: Postgres, folder: Path, model: Path, undisturbed: Undisturbed
) -> None:
    postgres.database("lost")
    site.add("one")
    site.add("two")
    with ClusterRun(site, folder, "lost", model) as run, closing(run.store()) as store:
        start_s = first_start_s(store, "hall")
        capture = Capture(run.config)
        capture.wait_for(KILLED_S)
        wait_until(store.events, UP_S)  # an alarm stands
        first = lives(store)
        where, pid = run.worker("hall")
        os.kill(pid, signal.SIGKILL)
        recovered(store, first, "worker killed", start_s, capture)
        assert run.worker("hall")[0] == where, "it is started again where it was"

        capture.wait_for(LOST_S)
        second = lives(store)
        where, pid = run.worker("hall")
        os.kill(pid, signal.SIGSTOP)  # it believes that it has the hall, and cannot be told
        site.remove(where)
        recovered(store, second, "machine lost, its worker cut off", start_s, capture)
        third = lives(store)
        assert third["hall"].address != second["hall"].address
        os.kill(pid, signal.SIGCONT)

        site.lose_head()
        site.restart_head()
        assert lives(store) == third, "without Ray nothing is placed, and all is fused"
        where, _ = run.worker("hall")
        site.rejoin(where)
        recovered(store, third, "Ray's head and then its node are back", start_s, capture)
        fourth = lives(store)
        capture.end()
        wait_until(lambda: not is_running(pid), UP_S)
        undisturbed.is_told_by(store)
        assert tokens(store) == {"hall": fourth["hall"].token}, (
            "the one that woke up took nothing back"
        )

        down = run.run("down")
        assert down.returncode == 0, down.stderr
        assert lives(store) == {}
    for name in tuple(site.nodes):
        site.remove(name)


def test_groups_move_are_cut_off_and_get_another_model_and_nothing_is_lost(
    site: RaySite, postgres: Postgres, folder: Path, model: Path, undisturbed: Undisturbed
) -> None:
    postgres.database("moved")
    own = folder / "moved.model"
    shutil.copy(model, own)
    site.add("three")
    with (
        ClusterRun(site, folder, "moved", own, shed=True) as run,
        closing(run.store()) as store,
    ):
        start_s = first_start_s(store, "hall", "shed")
        capture = Capture(run.config, hold_s=UPGRADED_S)
        wait_until(store.events, UP_S)  # an alarm stands
        before = lives(store)
        site.add("four")
        recovered(store, before, "moved to the machine that joined", start_s, capture)
        assert sorted(run.worker(group)[0] for group in before) == ["four", "three"]

        where, _ = run.worker("hall")
        (other,) = {"three", "four"} - {where}
        second = tokens(store)
        asked = run.run("move", "hall", site.addresses[other])
        assert asked.returncode == 0, asked.stderr
        third = lives(store)
        assert third["hall"].token == second["hall"] + 1
        assert run.worker("hall")[0] == other

        pid = run.worker("hall")[1]
        site.lines[
            other
        ].cut()  # it has its capture nodes and Ray, and believes that it has the hall
        recovered(store, {"hall": third["hall"]}, "worker cut off from the store", start_s, capture)
        fourth = tokens(store)
        assert run.worker("hall") != (other, pid)
        site.lines[other].mend()
        wait_until(lambda: not is_running(pid), UP_S)
        assert tokens(store)["hall"] == fourth["hall"], "it took nothing back"

        capture.wait_for(UPGRADED_S)
        after = save_model(replace(load_model(own), created_by="the next version"), own)
        upgraded = run.run("upgrade", "hall")
        assert upgraded.returncode == 0, upgraded.stderr
        assert tokens(store)["hall"] > fourth["hall"]
        capture.go_on()
        capture.end()
        undisturbed.is_told_by(store)
        at = store.checkpoint("hall")
        assert at is not None
        assert after.digest.encode() in at.scoring, "the windows since were scored by it"

        told = json.loads(run.run("status", "--json").stdout)
        assert {one["group"]: one["token"] for one in told["groups"]} == tokens(store)
        is_shown(run)


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
