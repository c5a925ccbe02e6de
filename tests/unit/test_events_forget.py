"""Forgotten events are gone from every file, while the nodes run, and only a bare line stays."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from nodes.forgetting import AUDIT
from pipeline.core.answered import EventAnswer
from pipeline.core.event import Phase
from pipeline.store import Action, Answer, AnswerStore, Commit, FusionStore, OutboxStore
from pipeline.store.outbox_holds import Ruling
from pipeline.store.outbox_tables import HELD
from tests.command_line import fusewatch
from tests.event_samples import event, life
from tests.unit.test_retention import S, holds, plant, secret

NOW = time.time_ns()
HOUR = 3600 * S


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five events an hour apart, with all that hangs on them, of which the last is open."""
    fusion, outbox = FusionStore(tmp_path / "fusion.db"), OutboxStore(tmp_path / "alert.db")
    for hours in range(1, 6):
        start_ns = NOW - hours * HOUR
        plant(tmp_path, start_ns)
        phases = secret(start_ns, phases=2 if hours == 5 else 3)
        fusion.commit(Commit(events=phases))
        for one in phases:
            outbox.accept(one, ["phone"])
    outbox.delivered(outbox.due("phone", 0))
    fusion.close()
    outbox.close()
    return tmp_path


def id_of(hours: int) -> str:
    return event((NOW - hours * HOUR) // S).id


def ids(data: Path) -> set[str]:
    store = FusionStore(data / "fusion.db")
    found = {one.id for one in store.events()}
    store.close()
    return found


def test_an_event_goes_with_everything_that_hangs_on_it(data, capsys):
    key = id_of(1)
    assert fusewatch("events", "forget", data, key[:10], "--yes") == 0
    told = capsys.readouterr().out
    assert "cannot be recalled: what phone was given (1 phases)" in told
    assert ids(data) == {id_of(hours) for hours in range(2, 6)}
    assert not (data / "evidence" / key).exists()
    assert (data / "evidence" / id_of(2)).exists()
    assert holds(data, f"{key}.0") == ["alert.db"], "the bare key, so that it is not accepted anew"
    rows = sqlite3.connect(data / "alert.db").execute(
        "SELECT body FROM outbox_events WHERE key LIKE ?", (f"{key}%",)
    )
    assert [body for (body,) in rows] == ["", "", ""], "nothing but the keys"
    (line,) = (data / AUDIT).read_text().splitlines()
    assert json.loads(line).items() >= {"event": key, "scene": "hall", "phases": 3}.items()


def test_no_byte_of_what_all_events_said_stays(data):
    assert fusewatch("events", "forget", data, "--scene", "hall", "--before", "90m", "--yes") == 0
    assert ids(data) == {id_of(1), id_of(5)}
    for hours in range(2, 5):
        assert holds(data, f"nobody is to read again {id_of(hours)}") == []
    assert len((data / AUDIT).read_text().splitlines()) == 3
    assert {path.name for path in (data / "evidence").iterdir()} == {id_of(1), id_of(5)}


def test_what_was_answered_to_it_and_what_is_held_of_it_go_too(data):
    key, held = id_of(2), Ruling(HELD, 2**60, "quiet hours")
    said = EventAnswer(position=1, action="note", who="Ada", note="nobody reads this", at_ns=NOW)
    outbox, answers = OutboxStore(data / "alert.db"), AnswerStore(data / "answers.db")
    (phase,) = (e for e in FusionStore(data / "fusion.db").events() if e.id == key)
    outbox.accept(phase, ["phone"], answer=said, rulings={"phone": held})
    answers.add(Answer(key, "hall", Action.NOTE, "", said.note, "Ada", NOW))
    answers.handed(answers.unhanded(1)[0])
    assert fusewatch("events", "forget", data, key, "--yes") == 0
    assert holds(data, said.note) == []
    assert outbox.holds.answers(key) == []
    assert outbox.holds.counts() == {}
    assert answers.all() == answers.unhanded(9) == []
    outbox.close()
    answers.close()


def test_a_phase_that_was_under_way_is_refused_when_it_comes(data):
    assert fusewatch("events", "forget", data, id_of(1), "--yes") == 0
    outbox = OutboxStore(data / "alert.db")
    assert [outbox.accept(one, ["phone"]) for one in secret(NOW - HOUR)] == [False] * 3
    assert outbox.accept(life(5)[0], ["phone"])
    while (delivery := outbox.due("phone", NOW)) is not None:
        assert delivery.event.id != id_of(1)
        outbox.delivered(delivery)


def test_what_a_sink_is_just_given_does_not_count_for_an_event_that_comes_later(data):
    """The sink's worker ends after the row is gone: no later delivery may have its number."""
    outbox = OutboxStore(data / "alert.db")
    while (under_way := outbox.due("phone", NOW)).event.key != f"{id_of(5)}.1":
        outbox.delivered(under_way)
    fusion = FusionStore(data / "fusion.db")
    fusion.commit(Commit(events=secret(NOW - 5 * HOUR)))
    assert fusewatch("events", "forget", data, id_of(5), "--yes") == 0
    for one in life(7):
        assert outbox.accept(one, ["phone"])
    outbox.delivered(under_way)
    got = []
    while (delivery := outbox.due("phone", NOW)) is not None:
        got.append(delivery.event.key)
        outbox.delivered(delivery)
    assert got == [one.key for one in life(7)]


def test_a_command_that_is_cut_short_can_be_given_again(data, monkeypatch, capsys):
    """The fusion node's rows go last, so the event is still there to be named."""

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.store.event_stock.EventStock.remove", killed)
        assert fusewatch("events", "forget", data, id_of(1), "--yes") == 130
    assert id_of(1) in ids(data)
    assert fusewatch("events", "forget", data, id_of(1), "--yes") == 0
    assert id_of(1) not in ids(data)
    assert holds(data, f"nobody is to read again {id_of(1)}") == []


def test_open_and_only_just_cleared_events_are_left_alone(data, capsys):
    assert fusewatch("events", "forget", data, id_of(5), "--yes") == 0
    assert "stays" in capsys.readouterr().out
    fusion = FusionStore(data / "fusion.db")
    now_s = time.time_ns() // S
    late = [
        event(now_s - 20, number, phase=phase)
        for number, phase in enumerate((Phase.RAISED, Phase.CLEARED))
    ]
    fusion.commit(Commit(events=late))
    assert fusewatch("events", "forget", data, late[0].id, "--yes") == 0
    assert {id_of(5), late[0].id} <= ids(data)
    assert (data / "evidence" / id_of(5)).exists()


def test_it_asks_before_it_does(data, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert fusewatch("events", "forget", data, id_of(1)) != 0
    assert id_of(1) in ids(data)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert fusewatch("events", "forget", data, id_of(1)) == 0
    assert id_of(1) not in ids(data)


@pytest.mark.parametrize(
    "arguments", [(), ("abc", "--before", "1d"), ("--before", "1d"), ("--scene", "hall")]
)
def test_it_must_be_said_what_to_forget(data, arguments):
    assert fusewatch("events", "forget", data, *arguments, "--yes") == 64
    assert len(ids(data)) == 5


def test_an_id_that_none_or_several_begin_with_is_refused(data, capsys):
    assert fusewatch("events", "forget", data, "zzz", "--yes") == 69
    assert "no events begin with 'zzz'" in capsys.readouterr().err
    assert fusewatch("events", "forget", data, "", "--yes") == 69
    assert len(ids(data)) == 5


def test_it_works_while_the_nodes_commit_accept_and_deliver(data):
    """Two writers go on all the while; nothing of theirs is lost and no error comes of it."""
    fusion, outbox = FusionStore(data / "fusion.db"), OutboxStore(data / "alert.db")
    stop, written, faults = threading.Event(), [], []

    def run() -> None:
        try:
            while not stop.is_set():
                phases = life(len(written) + 1)
                fusion.commit(Commit(events=phases))
                for one in phases:
                    outbox.accept(one, ["phone"])
                    if (delivery := outbox.due("phone", NOW)) is not None:
                        outbox.delivered(delivery)
                written.append(phases[0].id)
        except Exception as error:
            faults.append(error)

    node = threading.Thread(target=run)
    node.start()
    for hours in range(1, 4):
        assert fusewatch("events", "forget", data, id_of(hours), "--yes") == 0
    stop.set()
    node.join()
    assert faults == []
    assert len(written) > 3
    assert ids(data) == {*written, id_of(4), id_of(5)}
    for hours in range(1, 4):
        assert outbox.deliveries(id_of(hours)) == []
