"""A worker and its directory, and what operators ask of a cluster and how they are told."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from nodes.cli import run
from nodes.cluster.directory import READ_NS, DirectoryNode, listens_at
from nodes.cluster.narrowing import data_of, for_group, reachable_at
from nodes.cluster.operating import Operator, placer_is_there, statuses
from nodes.cluster.placer_node import PLACER
from nodes.commands.top import looks
from nodes.dashboard.records import Records
from nodes.fusion_metrics import FusionMetrics
from nodes.health import Health, HealthServer
from nodes.places import answer_store, evidence_folder, fusion_store, score_history
from nodes.run import run_deployment
from nodes.runner import RunFile, write_run_file
from nodes.stores import stores_here
from nodes.top_view import view
from pipeline.config import Deployment, load_deployment
from pipeline.config.engine_settings import EngineSettings
from pipeline.core.clock import ManualClock
from pipeline.core.errors import ClusterError, ConfigError, DependencyMissing
from pipeline.detection.stream_books import StreamBooks
from pipeline.store import Action, Answer, FusionStore, Holder, ScoreMinute, Sight, Wish
from pipeline.transport.directory_messages import Here, Nowhere

SITE = """
name: site
nodes:
  a: {sources: [{type: csv_file, stream: a1, path: a}]}
  b: {sources: [{type: csv_file, stream: b1, path: b}]}
scenes: {hall: {streams: [a1]}, shed: {streams: [b1]}}
incidents: {groups: []}
engine: {kind: ray, directory: [tcp://127.0.0.1:7712]}
fusion: {store: "sqlite:///shared.db", record: {folder: recordings}, http: "127.0.0.1:9100"}
"""
WORKER = Holder("fusion of site", "one", 11, "one /data")


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    (tmp_path / "d.yaml").write_text(SITE)
    return load_deployment(tmp_path / "d.yaml")


@pytest.fixture
def store(deployment: Deployment) -> Iterator[FusionStore]:
    with closing(fusion_store(deployment)) as opened:
        yield opened


def serve(deployment: Deployment, group: str, address: str) -> FusionStore:
    """The worker of a group serves at an address."""
    worker = fusion_store(deployment)
    worker.leases.claim([group], WORKER)
    worker.directory.publish(address, "")
    return worker


def test_a_worker_has_its_scenes_and_a_place_of_its_own(
    deployment: Deployment, tmp_path: Path
) -> None:
    own = for_group(deployment, "shed")
    assert list(own.scenes) == ["shed"]
    assert list(own.nodes) == ["b"]
    assert own.data == tmp_path / "data" / "groups" / "shed"
    assert own.fusion.record.folder == tmp_path / "recordings" / "shed"
    assert (own.fusion.listen, own.fusion.http) == ("tcp://127.0.0.1:0", "127.0.0.1:0")
    assert own.fusion.standby
    assert own.fusion.store == deployment.fusion.store
    with pytest.raises(ConfigError, match="no group 'barn'"):
        for_group(deployment, "barn")


def test_what_runs_on_one_machine_sends_to_the_cluster(
    deployment: Deployment, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"fused by a cluster.*fusewatch cluster up"):
        run_deployment(tmp_path / "d.yaml")
    local = deployment.model_copy(update={"engine": EngineSettings()})
    with pytest.raises(ConfigError, match="this deployment has no cluster"):
        for_group(local, "hall")


def test_a_worker_is_reached_at_its_machine_unless_all_is_on_one(deployment: Deployment) -> None:
    assert reachable_at(deployment, "tcp://127.0.0.1:40", "10.0.0.1") == "tcp://127.0.0.1:40"
    wide = deployment.fusion.model_copy(update={"listen": "tcp://0.0.0.0:7710"})
    apart = deployment.model_copy(update={"fusion": wide})
    assert reachable_at(apart, "tcp://0.0.0.0:40", "10.0.0.1") == "tcp://10.0.0.1:40"
    assert for_group(apart, "hall").fusion.listen == "tcp://0.0.0.0:0"
    assert listens_at("tcp://hub.example.org:7712") == "tcp://0.0.0.0:7712"
    assert listens_at("tcp://127.0.0.1:7712") == "tcp://127.0.0.1:7712"


def test_the_directory_tells_each_node_of_its_own_worker(deployment: Deployment) -> None:
    clock = ManualClock(10**18)
    with pytest.raises(ConfigError, match="is no directory of this deployment"):
        DirectoryNode(deployment, clock, "tcp://127.0.0.1:1")
    node, health = DirectoryNode(deployment, clock), Health()
    node.register(health, health.registry)
    node._store = fusion_store(deployment)
    worker = serve(deployment, "hall", "tcp://127.0.0.1:40")
    try:
        assert node.where("a") == Here("tcp://127.0.0.1:40", "", 1)
        assert node.where("b") == Nowhere("nobody fuses shed now")
        assert isinstance(node.where("nobody"), Nowhere)
        worker.leases.release()
        clock.advance(READ_NS)
        assert node.where("a") == Nowhere("nobody fuses hall now")
    finally:
        worker.close()
        node.close()


def test_the_status_is_of_the_leases_and_not_of_what_the_placer_believes(
    deployment: Deployment, store: FusionStore
) -> None:
    assert [s.state for s in statuses(deployment, store)] == ["never placed", "never placed"]
    store.cluster.see([Sight("hall", "10.0.0.1", "serving"), Sight("shed", "", "unplaced", "full")])
    hall, shed = statuses(deployment, store)
    assert (hall.state, hall.machine) == ("not serving", "10.0.0.1")
    assert (shed.state, shed.detail, shed.age_s < 60) == ("unplaced", "full", True)
    with closing(serve(deployment, "hall", "tcp://10.0.0.1:40")) as worker:
        hall, _ = statuses(deployment, store)
        assert (hall.state, hall.address, hall.token) == ("serving", "tcp://10.0.0.1:40", 1)
        assert (hall.owner, shed.owner) == ("one (process 11)", "")
        worker.leases.release()
        hall, _ = statuses(deployment, store)
        assert (hall.owner, hall.token) == ("", 1), "nobody has it, and the token never goes back"


def test_the_groups_and_who_owns_them_are_shown_by_top_and_on_the_page(
    deployment: Deployment, store: FusionStore
) -> None:
    store.cluster.see([Sight("hall", "10.0.0.1", "serving"), Sight("shed", "", "unplaced", "full")])
    place = data_of(deployment, "hall") / "run" / "fusion-hall.json"
    health = Health()
    health.ready("node", True)
    server = HealthServer("127.0.0.1:0", health)
    metrics = FusionMetrics(health.registry)
    metrics.equipment.books({"a1": StreamBooks("a", last_ns=time.time_ns())})
    write_run_file(place, RunFile("fusion-hall", 1, server.start(), 0))
    with (
        closing(serve(deployment, "hall", "tcp://10.0.0.1:40")),
        closing(server),
        closing(Records(deployment, ManualClock(10**18))) as records,
    ):
        status = next(looks(deployment, [], 0.0))
        assert [(g.group, g.state, g.owner, g.token) for g in status.groups] == [
            ("hall", "serving", "one (process 11)", 1),
            ("shed", "unplaced", "", 0),
        ]
        names = [one.name for one in status.processes]
        assert "fusion-hall" in names and "fusion-shed" not in names, "only what runs here is asked"
        a1, b1 = status.streams
        assert a1.age_s is not None and b1.age_s is None
        hall, shed = records.groups()
        assert (hall.state, hall.owner, shed.detail) == ("serving", "one (process 11)", "full")
        console = Console(width=140, file=io.StringIO(), record=True)
        console.print(view(status))
        said = console.export_text()
        assert "not fused: shed" in said
        assert "one (process 11)" in said


def test_answers_scores_and_evidence_are_where_the_page_and_every_worker_find_them(
    tmp_path: Path,
) -> None:
    text = SITE.replace("7712]}", "7712], evidence: shared}")
    (tmp_path / "d.yaml").write_text(text)
    deployment = load_deployment(tmp_path / "d.yaml")
    here, there = for_group(deployment, "hall"), for_group(deployment, "shed")
    assert evidence_folder(deployment) == evidence_folder(here) == tmp_path / "shared"
    answer = Answer("e1", "hall", Action.NOTE, "", "", "Ada", 7)
    with closing(answer_store(deployment)) as page, closing(answer_store(there)) as worker:
        page.add(answer)
        assert [one.event for one in worker.all()] == ["e1"]
    with closing(score_history(here)) as written, closing(score_history(deployment)) as page:
        written.put("hall", [ScoreMinute(5, 60, 0, 1.0)])
        assert [one.windows for one in page.between("hall", 0, 9)] == [60]
    assert {kept.name for kept in stores_here(deployment)} == {"fusion", "answers", "history"}


def test_orders_need_a_placer_and_are_withdrawn_when_they_are_not_carried_out(
    deployment: Deployment, store: FusionStore
) -> None:
    operator = Operator(deployment, store)
    assert not placer_is_there(store)
    with pytest.raises(ClusterError, match="no placer works"):
        operator.move("hall", "10.0.0.1", 1.0)
    with closing(fusion_store(deployment)) as placer:
        placer.leases.claim([PLACER], WORKER)
        assert placer_is_there(store)
        with pytest.raises(ClusterError, match="hall is not back after 0 s"):
            list(operator.upgrade(["hall", "shed"], 0.0))
        assert store.cluster.wishes() == [], "and the second was never asked for"
        with pytest.raises(ConfigError, match="no group 'barn'"):
            operator.move("barn", "10.0.0.1", 1.0)


def test_a_move_to_no_machine_of_the_cluster_ends_with_what_the_placer_said(
    deployment: Deployment, store: FusionStore
) -> None:
    with closing(fusion_store(deployment)) as placer:
        placer.leases.claim([PLACER], WORKER)

        class Refusing(Operator):
            def _need_placer(self) -> None:
                placer.cluster.see(
                    [Sight("hall", "", "serving", "cannot move to 10.9.9.9, machines are: none")]
                )

            def _wished(self, kind: str, group: str = "") -> bool:
                placer.cluster.fulfil(placer.cluster.wishes())
                return super()._wished(kind, group)

        with pytest.raises(ClusterError, match="machines are: none"):
            Refusing(deployment, store).move("hall", "10.9.9.9", 60.0)


def test_an_upgrade_is_over_when_the_next_life_serves(
    deployment: Deployment, store: FusionStore
) -> None:
    lives = [serve(deployment, "hall", "tcp://127.0.0.1:40")]
    placer = fusion_store(deployment)
    placer.leases.claim([PLACER], WORKER)

    def carry_out() -> None:
        while not (wishes := placer.cluster.wishes()):
            continue
        lives.append(serve(deployment, "hall", "tcp://127.0.0.1:41"))
        placer.cluster.fulfil(wishes)

    working = threading.Thread(target=carry_out)
    working.start()
    (done,) = Operator(deployment, store).upgrade(["hall"], 30.0)
    working.join()
    assert (done.address, done.token) == ("tcp://127.0.0.1:41", 2)
    for opened in (*lives, placer):
        opened.close()


def test_a_wish_that_was_changed_meanwhile_stands(store: FusionStore) -> None:
    old = Wish("move", "hall", "10.0.0.1")
    store.cluster.wish([old])
    store.cluster.wish([Wish("move", "hall", "10.0.0.2"), Wish("down")])
    store.cluster.fulfil([old])
    assert store.cluster.wishes() == [Wish("down"), Wish("move", "hall", "10.0.0.2")]
    Operator.forget_down(Operator(None, store))
    assert [wish.kind for wish in store.cluster.wishes()] == ["move"]


def test_without_ray_no_placer_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "site.yaml"
    config.write_text(SITE)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(["cluster", "up", str(config)]) == DependencyMissing.exit_code
    said = " ".join(capsys.readouterr().err.split())
    assert "Ray is not installed" in said
    assert "install" in said
