"""The directory in the store: only who holds a scene says where it is, and while it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import LeaseLost
from pipeline.store import Commit, FusionStore, place_of
from pipeline.store.leases import STALE_S
from tests.event_samples import event
from tests.lease_samples import ONE, TWO, grow_old


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[FusionStore, FusionStore]]:
    made = [FusionStore(tmp_path / "fusion.db") for _ in range(2)]
    yield made[0], made[1]
    for store in made:
        store.close()


def address(store: FusionStore, *scenes: str) -> str:
    found = place_of(scenes, store.directory.served())
    return found.address if found else ""


def test_a_scene_is_where_its_holder_says(stores: tuple[FusionStore, FusionStore]) -> None:
    first, other = stores
    assert address(other, "hall") == ""
    first.leases.claim(["hall", "yard"], ONE)
    assert address(other, "hall") == "", "claimed, but it does not listen yet"
    first.directory.publish("tcp://one:1", "key")
    found = place_of(["hall", "yard"], other.directory.served())
    assert found is not None
    assert (found.address, found.public, found.token) == ("tcp://one:1", "key", 1)
    assert address(other, "hall", "attic") == "", "nobody has all of them"
    assert address(other) == ""


def test_who_lost_a_scene_can_publish_nothing_and_is_told_of_no_more(
    stores: tuple[FusionStore, FusionStore],
) -> None:
    first, second = stores
    first.leases.claim(["hall"], ONE)
    first.directory.publish("tcp://one:1", "")
    grow_old(first)
    assert address(second, "hall") == "", "the lease ran out"
    second.leases.claim(["hall"], TWO)
    assert address(second, "hall") == ""
    with pytest.raises(LeaseLost):
        first.directory.publish("tcp://one:2", "")
    second.directory.publish("tcp://two:1", "")
    assert address(first, "hall") == "tcp://two:1"
    assert first.directory.served()["hall"].token == 2


def test_who_lets_go_is_told_of_no_more(stores: tuple[FusionStore, FusionStore]) -> None:
    first, second = stores
    first.leases.claim(["hall"], ONE)
    first.directory.publish("tcp://one:1", "")
    first.leases.release()
    assert address(second, "hall") == ""


def test_a_lease_that_is_not_renewed_grows_stale_before_it_runs_out(
    stores: tuple[FusionStore, FusionStore],
) -> None:
    first, second = stores
    first.leases.claim(["hall"], ONE)
    first.directory.publish("tcp://one:1", "")
    before = second.directory.served()["hall"]
    assert (before.live, before.stale) == (True, False)
    grow_old(first, STALE_S)
    aged = second.directory.served()["hall"]
    assert (aged.live, aged.stale) == (True, True)
    assert aged == before, "it is where it was"
    first.leases.renew()
    assert not second.directory.served()["hall"].stale
    first.leases.release()
    assert second.directory.served()["hall"].stale


def test_scenes_of_two_workers_are_no_place_for_one_node(
    stores: tuple[FusionStore, FusionStore],
) -> None:
    for store, scene, holder in zip(stores, ("hall", "yard"), (ONE, TWO), strict=True):
        store.leases.claim([scene], holder)
        store.directory.publish(f"tcp://{holder.host}:1", "")
    assert address(stores[0], "hall") == "tcp://one:1"
    assert address(stores[0], "yard") == "tcp://two:1"
    assert address(stores[0], "hall", "yard") == ""


def test_a_worker_sees_and_hands_on_the_events_of_its_scenes_only(
    stores: tuple[FusionStore, FusionStore],
) -> None:
    first, second = stores
    first.commit(Commit({}, {}, [event(1), event(2, scene="yard")]))
    second.limit_to(["yard"])
    assert [e.scene for e in second.unforwarded()] == ["yard"]
    assert [e.scene for e in second.events()] == ["yard"]
    assert len(first.events()) == 2
