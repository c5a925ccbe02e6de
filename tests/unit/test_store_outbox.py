from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline.core.errors import StoreError
from pipeline.store import FusionStore, OutboxStore
from tests.event_samples import event, life


@pytest.fixture
def store(tmp_path: Path):
    opened = OutboxStore(tmp_path / "alert.db")
    yield opened
    opened.close()


def due_key(store: OutboxStore, sink: str = "web", now_ns: int = 0) -> str | None:
    delivery = store.due(sink, now_ns)
    return delivery.event.key if delivery else None


def test_an_event_is_accepted_once_with_one_delivery_per_sink(store) -> None:
    assert store.accept(event(), ["web", "mqtt", "web"])
    assert not store.accept(event(), ["web", "mqtt", "sql"])
    assert store.counts() == {
        "web": {"pending": 1, "delivered": 0, "dead": 0},
        "mqtt": {"pending": 1, "delivered": 0, "dead": 0},
    }
    assert store.due("web", 0).event == event()


def test_an_event_without_sinks_is_accepted_and_remembered(store) -> None:
    assert store.accept(event(), [])
    assert not store.accept(event(), ["web"])


def test_a_scene_goes_in_order_to_each_sink(store) -> None:
    for phase in life():
        store.accept(phase, ["web", "mqtt"])
    seen = []
    while delivery := store.due("web", 0):
        seen.append(delivery.event.key)
        store.delivered(delivery)
    assert seen == [e.key for e in life()]
    assert due_key(store, "mqtt") == life()[0].key


def test_a_waiting_event_holds_back_its_scene_but_no_other_scene_and_no_other_sink(store) -> None:
    raised, updated, _ = life()
    elsewhere = event(scene="yard")
    for each in (raised, updated, elsewhere):
        store.accept(each, ["web", "mqtt"])
    store.retry(store.due("web", 0), at_ns=100, error="down")
    assert due_key(store, "web", 99) == elsewhere.key
    store.delivered(store.due("web", 99))
    assert due_key(store, "web", 99) is None
    assert due_key(store, "web", 100) == raised.key
    assert due_key(store, "mqtt", 0) == raised.key


def test_the_scene_that_waited_longest_is_tried_first(store) -> None:
    store.accept(event(scene="a"), ["web"])
    store.accept(event(scene="b"), ["web"])
    store.retry(store.due("web", 0), at_ns=50, error="down")
    assert store.due("web", 1000).event.scene == "b"


def test_a_dead_letter_is_listed_lets_the_next_pass_and_can_be_revived(store) -> None:
    raised, updated, _ = life()
    store.accept(raised, ["web"])
    store.accept(updated, ["web"])
    first = store.due("web", 0)
    store.retry(first, at_ns=0, error="400", strike=True)
    again = store.due("web", 0)
    assert (again.id, again.attempts, again.strikes, again.error) == (first.id, 1, 1, "400")
    store.dead(again, "400 again")
    assert due_key(store) == updated.key
    (letter,) = store.dead_letters()
    assert (letter.event, letter.error, letter.attempts) == (raised, "400 again", 2)
    assert store.dead_letters(sink="mqtt") == []
    assert store.revive([letter.id + 99]) == 0
    assert store.revive([letter.id]) == 1
    assert store.dead_letters() == []
    assert (due_key(store), store.due("web", 0).strikes) == (raised.key, 0)


def test_all_dead_letters_can_be_revived_at_once(store) -> None:
    for phase in life():
        store.accept(phase, ["web"])
        store.dead(store.due("web", 0), "no")
    assert store.revive() == 3
    assert store.counts()["web"] == {"pending": 3, "delivered": 0, "dead": 0}


def test_every_delivery_of_an_event_can_be_listed(store) -> None:
    for phase in [*life(), event(50)]:
        store.accept(phase, ["web", "mqtt"])
    store.delivered(store.due("web", 0))
    found = store.deliveries(event().id[:8])
    assert [(d.event.revision, d.sink, d.state) for d in found] == [
        (0, "web", "delivered"),
        (0, "mqtt", "pending"),
        (1, "web", "pending"),
        (1, "mqtt", "pending"),
        (2, "web", "pending"),
        (2, "mqtt", "pending"),
    ]


def test_waking_ends_the_waits_of_an_earlier_run(store) -> None:
    store.accept(event(), ["web"])
    store.retry(store.due("web", 0), at_ns=10**18, error="down")
    assert due_key(store) is None
    store.wake()
    assert due_key(store) == event().key


def test_pruning_forgets_only_what_every_sink_has_taken(store) -> None:
    for second in range(10):
        store.accept(event(second), ["web", "mqtt"])
    for _ in range(9):
        store.delivered(store.due("web", 0))
    for _ in range(4):
        store.delivered(store.due("mqtt", 0))
    store.dead(store.due("mqtt", 0), "no")
    for _ in range(3):
        store.delivered(store.due("mqtt", 0))
    assert store.prune(keep=3) == 6
    assert store.prune(keep=3) == 0
    assert len(store.dead_letters()) == 1
    assert due_key(store, "web") == event(9).key
    assert due_key(store, "mqtt") == event(8).key
    assert not store.accept(event(9), ["web"])


def test_both_stores_may_share_one_database(tmp_path: Path) -> None:
    fusion, outbox = FusionStore(tmp_path / "one.db"), OutboxStore(tmp_path / "one.db")
    outbox.accept(event(), ["web"])
    assert fusion.events() == []
    fusion.close()
    outbox.close()
    outbox.close()


def test_a_store_without_outbox_tables_is_not_read_as_one(tmp_path: Path) -> None:
    FusionStore(tmp_path / "fusion.db").close()
    with pytest.raises(StoreError, match="holds no outbox tables"):
        OutboxStore(tmp_path / "fusion.db", create=False)


def test_a_row_of_another_hand_is_a_store_error(store, tmp_path: Path) -> None:
    import sqlite3

    store.accept(event(), ["web"])
    with sqlite3.connect(tmp_path / "alert.db") as raw:
        raw.execute("UPDATE outbox_events SET body = 'junk'")
    raw.close()
    with pytest.raises(StoreError, match="cannot be read"):
        store.due("web", 0)


def test_threads_may_accept_and_deliver_at_once(store) -> None:
    accepted = threading.Event()
    delivered: list[str] = []

    def deliver() -> None:
        while not (accepted.is_set() and store.due("web", 0) is None):
            if delivery := store.due("web", 0):
                store.delivered(delivery)
                delivered.append(delivery.event.key)

    worker = threading.Thread(target=deliver)
    worker.start()
    for second in range(40):
        store.accept(event(second), ["web"])
    accepted.set()
    worker.join()
    assert delivered == [event(second).key for second in range(40)]
