from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core.errors import StoreError
from pipeline.store import Action, Answer, AnswerStore, Verdict, verdict_of

REAL = Answer("e1", "hall", Action.VERDICT, "real", "a bird", "Ada", 5)


@pytest.fixture
def store(tmp_path: Path):
    opened = AnswerStore(tmp_path / "answers.db")
    yield opened
    opened.close()


def test_answers_are_kept_by_event_in_order(store) -> None:
    first = store.add(REAL)
    seen = replace(REAL, action=Action.SEEN, value="", note="", at_ns=6)
    second = store.add(seen)
    store.add(replace(REAL, event="e2"))
    assert store.of(["e1", "e9"]) == {
        "e1": [replace(REAL, position=first), replace(seen, position=second)]
    }


def test_the_latest_verdict_that_stands_counts(store) -> None:
    store.add(REAL)
    again = store.add(replace(REAL, value="normal"))
    assert verdict_of(store.of(["e1"])["e1"]) is Verdict.NORMAL
    back = store.withdraw(again, "Bob", 9)
    assert (back.withdrawn_ns, back.withdrawn_by) == (9, "Bob")
    assert verdict_of(store.of(["e1"])["e1"]) is Verdict.REAL
    assert [a.withdrawn_by for a in store.all("hall")] == ["", "Bob"]


def test_what_was_taken_back_cannot_be_taken_back_again(store) -> None:
    position = store.add(REAL)
    store.withdraw(position, "Bob", 9)
    for wrong in (position, 77):
        with pytest.raises(StoreError, match="that stands"):
            store.withdraw(wrong, "Bob", 10)


def test_the_version_changes_with_all_that_is_answered_taken_back_or_forgotten(store) -> None:
    seen = [store.version()]
    position = store.add(REAL)
    seen.append(store.version())
    store.withdraw(position, "Bob", 9)
    seen.append(store.version())
    store.forget([REAL.event])
    seen.append(store.version())
    assert store.version() == seen[0] == seen[3]
    assert store.add(replace(REAL, event="e2", at_ns=6)) == position, "its number is given again"
    seen.append(store.version())
    assert len(set(seen)) == 4


def test_nothing_said_is_no_verdict(store) -> None:
    store.add(replace(REAL, action=Action.NOTE, value=""))
    assert verdict_of(store.of(["e1"])["e1"]) is None
    assert store.all("yard") == []


def test_a_store_of_a_fusewatch_that_handed_nothing_on_is_read_and_forgets(tmp_path: Path) -> None:
    file = tmp_path / "answers.db"
    with closing(AnswerStore(file)) as made:
        made.add(REAL)
    with closing(sqlite3.connect(file)) as database:
        database.execute("DROP TABLE answers_handed")
    with closing(AnswerStore(file, create=False)) as old:
        assert len(old.all()) == old.forget(["e1"]) == 1
    with closing(AnswerStore(file)) as again:
        again.add(REAL)
        assert [answer.event for answer in again.unhanded(9)] == ["e1"]
