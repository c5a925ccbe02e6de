"""Workers on a Ray cluster are killed, cut off, moved, started anew, and lost with their machine.

Nodes of Ray, a real PostgreSQL, ``fusewatch cluster up`` and ``alert``, and capture nodes that ask
the directory, on machines of their own (network namespaces) that reach each other through an
exchange. Whatever happens, the events are those of an undisturbed run, each is told, and the ledger
adds up. Recovery is measured. As starts take most of the time, one deployment goes through it all.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nodes.places import fusion_store
from pipeline.config.addresses import host_of
from pipeline.detection.kept_scoring import watched_in
from pipeline.models.checkpoint import load_model, save_model
from pipeline.store import FusionStore
from tests.crash import hall
from tests.crash.kills import Kills
from tests.system.cluster_capture import UP_S, Capture
from tests.system.cluster_run import ClusterRun, Fault, first_start_s, lives, next_window, tokens
from tests.system.cluster_told import Undisturbed, is_shown, told_of_samples
from tests.system.exchange import Exchange
from tests.system.lines import require_lines
from tests.system.postgres import Postgres
from tests.system.ray_site import HUB, RaySite, is_running
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.alone, pytest.mark.timeout(600)]

FAULTS = 4
ALARM_S = 8.0
"""Seconds into the script, at which an alarm stands."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return hall.model_file(folder)


@pytest.fixture(scope="module")
def undisturbed(folder: Path, model: Path) -> Undisturbed:
    world = hall.hall(folder / "whole", model, sight_s=hall.PATIENT_S)
    world.run(hall.script(), Kills())
    with closing(fusion_store(world.deployment, create=False)) as store:
        at = store.checkpoint("hall")
        assert at is not None
        return Undisturbed(
            told_of_samples(store), at.next_window, watched_in("hall", at.scoring).spans
        )


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    require_lines()
    with Exchange() as made:
        made.connect(HUB)
        yield made


@pytest.fixture(scope="module")
def postgres(exchange: Exchange) -> Iterator[Postgres]:
    place = Path(tempfile.mkdtemp(prefix="fusewatch-postgres-"))
    try:
        with Postgres(place / "server", exchange.machines[HUB]) as server:
            yield server
    finally:
        shutil.rmtree(place)


@pytest.fixture(scope="module")
def site(folder: Path, exchange: Exchange, postgres: Postgres) -> Iterator[RaySite]:
    with RaySite(folder / "machines", exchange, postgres) as made:
        yield made


@dataclass(frozen=True)
class Cluster:
    """A deployment that runs on two machines.

    Attributes:
        site: The machines.
        run: Its processes on the hub.
        store: Its store.
        capture: Its capture nodes.
        start_s: What the first start of its workers took.
    """

    site: RaySite
    run: ClusterRun
    store: FusionStore
    capture: Capture
    start_s: float

    def fault(self, what: str) -> Fault:
        """Something is about to happen."""
        return Fault(what, self.store, self.capture, self.start_s)

    def gives_up(self, pid: int, token: int) -> None:
        """See that a worker whose token is not the newest ends, and takes nothing back."""
        newest = tokens(self.store)["hall"]
        assert newest > token
        wait_until(lambda: not is_running(pid), UP_S)
        assert tokens(self.store)["hall"] == newest, "it took nothing back"


def test_events_are_those_of_an_undisturbed_run_whatever_happens(
    site: RaySite, postgres: Postgres, folder: Path, model: Path, undisturbed: Undisturbed
) -> None:
    steps = Steps()
    postgres.database("plant")
    own = folder / "own.model"
    shutil.copy(model, own)
    site.add("one")
    site.add("two")
    with (
        ClusterRun(site, folder, "plant", own) as run,
        closing(run.store()) as store,
        Capture(site, run.config) as capture,
    ):
        capture.until(ALARM_S)
        start_s = first_start_s(store, "hall", "shed")
        wait_until(store.events, UP_S)  # an alarm stands
        cluster = Cluster(site, run, store, capture, start_s)
        steps.done("start")
        worker_is_killed(cluster)
        steps.done("kill")
        away = machine_is_cut_off(cluster)
        steps.done("cut off")
        head_is_restarted(cluster)
        steps.done("head")
        machine_is_back(cluster, away)
        steps.done("return and move")
        machine_is_lost(cluster)
        steps.done("loss")
        model_is_another(cluster, own)
        steps.done("upgrade")
        capture.end()
        undisturbed.is_told_by(store)
        is_known(cluster)
        is_shown(run)
        steps.done("what was told")
        down = run.run("down")
        assert down.returncode == 0, down.stderr
        assert lives(store) == {}
    steps.done("end")


class Steps:
    """Tells how long each part took."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def done(self, what: str) -> None:
        """It is over."""
        now_s = time.monotonic()
        print(f"took {now_s - self._began_s:.1f} s: {what}")
        self._began_s = now_s


def worker_is_killed(cluster: Cluster) -> None:
    fault = cluster.fault("worker killed")
    where, pid = cluster.run.worker(fault.before["hall"])
    os.kill(pid, signal.SIGKILL)
    after = fault.recovered("hall")["hall"]
    assert cluster.run.worker(after)[0] == where, "it is started again where it was"


def machine_is_cut_off(cluster: Cluster) -> str:
    """Nothing passes between it and the database, Ray and capture nodes; it believes on."""
    fault = cluster.fault("machine cut off")
    before = fault.before["hall"]
    where, pid = cluster.run.worker(before)
    with cluster.site.cut_off(where, cluster.store):
        after = fault.recovered("hall")["hall"]
        assert cluster.run.worker(after)[0] != where
        assert is_running(pid), "two believe that they have the hall"
        assert cluster.site.refused("hall", before.token) == []
    wait_until(lambda: cluster.site.refused("hall", before.token), UP_S)
    cluster.gives_up(pid, before.token)
    cluster.site.remove(where)
    return where


def machine_is_lost(cluster: Cluster) -> None:
    """Its worker of the hall lives on, cannot be told, and wakes up when another has the hall."""
    fault = cluster.fault("machine lost")
    before = fault.before["hall"]
    where, pid = cluster.run.worker(before)
    with cluster.site.stopped(pid, where, cluster.store):
        cluster.site.remove(where)
        after = fault.recovered("hall")["hall"]
        assert cluster.run.worker(after)[0] != where
    cluster.gives_up(pid, before.token)


def head_is_restarted(cluster: Cluster) -> None:
    wait_until(lambda: lives(cluster.store).keys() == {"hall", "shed"}, UP_S)
    fault = cluster.fault("Ray's head restarted")
    cluster.site.lose_head()
    committed = next_window(cluster.store, "hall")
    cluster.capture.until(cluster.capture.captured_s + 1.0)
    wait_until(lambda: next_window(cluster.store, "hall") > committed, UP_S)
    assert lives(cluster.store) == fault.before, "without Ray nothing is placed, and all is fused"
    cluster.site.restart_head()
    (where,) = cluster.site.nodes
    cluster.site.rejoin(where)
    fault.recovered("hall")


def machine_is_back(cluster: Cluster, where: str) -> None:
    """It gets its share, the group that it is asked for."""
    site, run, store = cluster.site, cluster.run, cluster.store
    (other,) = site.nodes
    before = tokens(store)["hall"]
    site.add(where)
    asked = run.run("move", "hall", site.exchange.addresses[where])
    assert asked.returncode == 0, asked.stderr
    after = lives(store)
    assert after["hall"].token == before + 1
    assert {scene: run.worker(one)[0] for scene, one in after.items()} == {
        "hall": where,
        "shed": other,
    }


def model_is_another(cluster: Cluster, own: Path) -> None:
    before = tokens(cluster.store)["hall"]
    save_model(replace(load_model(own), created_by="the next version"), own)
    upgraded = cluster.run.run("upgrade", "hall")
    assert upgraded.returncode == 0, upgraded.stderr
    assert tokens(cluster.store)["hall"] > before


def is_known(cluster: Cluster) -> None:
    """See that all know what they should: the store, ``status``, alert and capture nodes."""
    store, run = cluster.store, cluster.run
    newest = lives(store)["hall"]
    for node in hall.NODES:
        told = cluster.capture.told(node)
        assert told[newest.token] == newest.address, "it asked again, over its line"
        assert len(told) > FAULTS
        assert {host_of(at) for at in told.values()} == set(cluster.site.workplaces.values())
    at = store.checkpoint("hall")
    assert at is not None
    digest = load_model(run.folder / "own.model").digest
    assert digest.encode() in at.scoring, "the windows since were scored by it"
    status = json.loads(run.run("status", "--json").stdout)
    assert {one["group"]: one["token"] for one in status["groups"]} == tokens(store)
    wait_until(lambda: not store.unforwarded(), UP_S)
    events = [event.key for event in store.events(all_phases=True)]
    assert sorted(run.heard()) == sorted(events), "each once"
