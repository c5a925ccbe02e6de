"""Leases on scenes: one fusion node at a time, and none that lost them writes anything."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import structlog

from nodes.claim import RENEW_NS, TRY_NS, Claim
from nodes.cluster import wanted
from nodes.cluster.wanted import placed_elsewhere
from pipeline.config import Deployment, load_deployment
from pipeline.core.clock import ManualClock
from pipeline.core.errors import AlreadyRunning, ConfigError, LeaseLost
from pipeline.store import Commit, FusionStore, Holder, SceneCheckpoint, Sight
from tests.event_samples import event
from tests.lease_samples import ONE, TWO, grow_old

SHARED = "store: sqlite:///shared.db"
DEPLOYMENT = """
name: home
nodes: {{hall: {{sources: [{{type: csv_file, stream: log, path: log.csv}}]}}}}
scenes: {{hall: {{streams: [log]}}}}
fusion: {{{fusion}}}
"""


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[FusionStore, FusionStore]]:
    made = [FusionStore(tmp_path / "fusion.db") for _ in range(2)]
    yield made[0], made[1]
    for store in made:
        store.close()


def step(index: int) -> Commit:
    return Commit({"hall": SceneCheckpoint(index, b"")}, {("n", "s", "t"): index}, [event(index)])


def test_a_scene_has_one_holder_and_the_other_is_told_who(
    stores: tuple[FusionStore, FusionStore],
) -> None:
    first, second = stores
    first.leases.claim(["hall", "yard"], ONE)
    said = r"scene yard is fused by fusion of home on one \(process 11\) since 20.*standby"
    with pytest.raises(AlreadyRunning, match=said) as caught:
        second.leases.claim(["yard"], TWO)
    assert caught.value.exit_code == 69
    second.leases.claim(["attic"], TWO)
    first.commit(step(1))


def test_who_lost_a_scene_can_commit_nothing_and_forward_nothing(
    stores: tuple[FusionStore, FusionStore],
) -> None:
    first, second = stores
    first.leases.claim(["hall"], ONE)
    first.commit(step(1))
    grow_old(first)
    second.leases.claim(["hall"], TWO)
    for write in (
        lambda: first.commit(step(2)),
        lambda: first.forwarded([event(1).key]),
        first.leases.renew,
    ):
        with pytest.raises(LeaseLost, match=r"fused by fusion of home on two \(process 22\)"):
            write()
    assert second.checkpoint("hall") == SceneCheckpoint(1, b"")
    assert second.resume_points("n", "s") == {"t": 1}
    assert len(second.unforwarded()) == len(second.events()) == 1
    second.commit(step(2))


def test_a_write_that_is_refused_is_told_with_both_tokens(
    stores: tuple[FusionStore, FusionStore],
) -> None:
    first, second = stores
    first.leases.claim(["hall"], ONE)
    grow_old(first)
    second.leases.claim(["hall"], TWO)
    with structlog.testing.capture_logs() as told, pytest.raises(LeaseLost):
        first.commit(step(1))
    assert [(one["event"], one["scene"], one["lease"], one["newest"]) for one in told] == [
        ("write refused", "hall", 1, 2)
    ]


def test_of_several_scenes_all_are_claimed_or_none(
    stores: tuple[FusionStore, FusionStore],
) -> None:
    first, second = stores
    first.leases.claim(["yard"], ONE)
    with pytest.raises(AlreadyRunning):
        second.leases.claim(["hall", "yard"], TWO)
    first.leases.claim(["hall", "yard"], ONE)


def test_a_commit_renews_and_letting_go_frees_at_once(
    stores: tuple[FusionStore, FusionStore],
) -> None:
    first, second = stores
    first.leases.claim(["hall"], ONE)
    grow_old(first)
    first.commit(step(1))
    with pytest.raises(AlreadyRunning):
        second.leases.claim(["hall"], TWO)
    first.leases.release()
    second.leases.claim(["hall"], TWO)


def test_a_process_of_the_same_place_need_not_wait_for_one_that_died(
    stores: tuple[FusionStore, FusionStore],
) -> None:
    first, second = stores
    first.leases.claim(["hall"], ONE)
    second.leases.claim(["hall"], Holder("fusion of home", "one", 12, ONE.place))
    with pytest.raises(LeaseLost):
        first.commit(step(1))


def deployment(folder: Path, fusion: str) -> Deployment:
    folder.mkdir()
    (folder / "d.yaml").write_text(DEPLOYMENT.format(fusion=fusion))
    return load_deployment(folder / "d.yaml")


def test_a_node_that_stands_by_takes_over_when_the_other_is_gone(
    stores: tuple[FusionStore, FusionStore], tmp_path: Path
) -> None:
    first, second = stores
    clock = ManualClock(10**18)
    held = Claim(deployment(tmp_path / "a", SHARED), first, clock)
    waiting = Claim(deployment(tmp_path / "b", f"{SHARED}, standby: true"), second, clock)
    assert held.look()
    assert not waiting.look()
    assert "scene hall is fused by fusion of home" in waiting.waits_for
    grow_old(first)
    clock.advance(RENEW_NS)
    assert held.look(), "renewed in time"
    assert not waiting.look()
    grow_old(first)
    clock.advance(TRY_NS)
    assert waiting.look()
    assert waiting.waits_for == ""
    clock.advance(RENEW_NS)
    with pytest.raises(LeaseLost):
        held.look()


def test_a_worker_whose_scenes_are_placed_elsewhere_does_not_claim_them_when_they_are_free(
    stores: tuple[FusionStore, FusionStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, placer = stores
    clock = ManualClock(10**18)
    standby = deployment(tmp_path / "a", f"{SHARED}, standby: true")
    elsewhere = partial(placed_elsewhere, store, "all", "10.0.0.1")
    waiting = Claim(standby, store, clock, elsewhere)
    placer.cluster.see([Sight("all", "10.0.0.2", "serving")])
    assert not waiting.look()
    assert waiting.waits_for == "its scenes are placed on 10.0.0.2"
    with monkeypatch.context() as later:
        later.setattr(wanted, "FRESH_S", -1.0)
        assert elsewhere() == "", "nobody has looked for long"
    for sight in (Sight("all", "", "unplaced"), Sight("all", "10.0.0.1", "starting")):
        placer.cluster.see([sight])
        assert elsewhere() == ""
    clock.advance(TRY_NS)
    assert waiting.look()


def test_a_node_that_does_not_stand_by_says_who_has_the_scene(
    stores: tuple[FusionStore, FusionStore], tmp_path: Path
) -> None:
    first, second = stores
    clock = ManualClock(10**18)
    assert Claim(deployment(tmp_path / "a", SHARED), first, clock).look()
    with pytest.raises(AlreadyRunning, match="scene hall is fused by"):
        Claim(deployment(tmp_path / "b", SHARED), second, clock).look()


def test_standing_by_needs_a_store_that_is_shared(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        deployment(tmp_path / "a", "standby: true")
    assert "'standby' needs a 'store'" in caught.value.problems[0]
