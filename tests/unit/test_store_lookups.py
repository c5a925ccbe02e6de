"""What is looked up by its id is found by an index, however much there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy import event as sa_event

from pipeline.store import Commit, FusionStore, OutboxStore
from pipeline.store.event_stock import EventStock
from pipeline.store.outbox_stock import forget
from tests.event_samples import event, life

BOTH = [event(0).id, event(60).id]


class Plans:
    """How SQLite finds the rows of each query."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._asking = False

    def before(self, connection: Connection, _cursor, query: str, values, *_others) -> None:
        if self._asking or not query.startswith("SELECT"):
            return
        self._asking = True
        found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values).all()
        self._asking = False
        self.lines += [str(row[-1]) for row in found]


@pytest.fixture
def plans() -> Iterator[Plans]:
    made = Plans()
    sa_event.listen(Engine, "before_cursor_execute", made.before)
    yield made
    sa_event.remove(Engine, "before_cursor_execute", made.before)


@pytest.fixture
def fusion(tmp_path: Path) -> Iterator[FusionStore]:
    store = FusionStore(tmp_path / "fusion.db")
    store.commit(Commit(events=[*life(0), *life(60)]))
    yield store
    store.close()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[OutboxStore]:
    store = OutboxStore(tmp_path / "alert.db")
    for phase in [*life(0), *life(60)]:
        store.accept(phase, ["console"])
    yield store
    store.close()


@pytest.mark.parametrize("look", [FusionStore.phases, FusionStore.life])
def test_the_phases_of_an_event_are_found_without_reading_all(
    fusion: FusionStore, plans: Plans, look: Callable[[FusionStore, str], object]
) -> None:
    plans.lines.clear()
    assert look(fusion, event().id) == life(0)
    assert plans.lines
    assert not [line for line in plans.lines if line.startswith("SCAN")]


def test_a_life_is_of_one_event_and_not_of_what_begins_like_it(fusion: FusionStore) -> None:
    begins = event().id[:8]
    assert fusion.phases(begins) == life(0)
    assert fusion.life(begins) == []
    assert fusion.phases("") == [*life(0), *life(60)]
    assert fusion.phases(begins.upper()) == []


@pytest.mark.parametrize(
    "look",
    [
        lambda store: store.told(event().id),
        lambda store: store.deliveries(event().id),
        lambda store: store.holds.told(event().id),
        lambda store: store.holds.open(event().id, "answered"),
        lambda store: store.holds.answers(event().id),
    ],
    ids=["told", "deliveries", "told of held", "open", "answers"],
)
def test_what_became_of_an_event_is_found_without_reading_all(
    outbox: OutboxStore, plans: Plans, look: Callable[[OutboxStore], object]
) -> None:
    look(outbox)
    plans.lines.clear()
    look(outbox)
    assert plans.lines
    assert not [line for line in plans.lines if line.startswith("SCAN outbox")]


def test_events_are_forgotten_without_reading_all(
    fusion: FusionStore, outbox: OutboxStore, plans: Plans
) -> None:
    chosen = EventStock(fusion.database).events()
    plans.lines.clear()
    assert [one.id for one in chosen] == BOTH
    forget(outbox.database, chosen)
    assert not [line for line in plans.lines if line.startswith("SCAN outbox_events")]
