from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import typer

from nodes.cli import run
from nodes.commands.events import since_as_ns
from nodes.places import answer_store, fusion_store
from pipeline.core.digest import digest_key
from pipeline.detection.full_frames import PICTURES, PicturesNote
from pipeline.store import Action, Answer, Commit, FusionStore, OutboxStore
from pipeline.store.held_events import Held
from pipeline.store.outbox_holds import Ruling
from pipeline.store.outbox_tables import CALLED_OFF, HELD
from tests.event_samples import event, life
from tests.watched_site import watched_deployment


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with closing(FusionStore(tmp_path / "fusion.db")) as store:
        store.commit(Commit(events=[*life(0), event(5000, scene="yard")]))
    with closing(OutboxStore(tmp_path / "alert.db")) as outbox:
        for phase in life(0):
            outbox.accept(phase, ["web", "mqtt"])
        outbox.dead(outbox.due("web", 0), "https://me:pw@host answered 400")
        outbox.delivered(outbox.due("mqtt", 0))
    return tmp_path


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path):
    assert run(["events", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_events_are_listed_at_their_latest_phase(data: Path, capsys) -> None:
    listed = json_of(capsys, "list", data)
    assert [(e["scene"], e["phase"]) for e in listed] == [("hall", "cleared"), ("yard", "raised")]
    assert [e["scene"] for e in json_of(capsys, "list", data, "--scene", "yard")] == ["yard"]
    assert [e["scene"] for e in json_of(capsys, "list", data, "--limit", "1")] == ["yard"]
    assert json_of(capsys, "list", data, "--since", "2h") == []


def test_what_was_moved_aside_is_listed_without_the_password_in_the_address(
    data: Path, capsys
) -> None:
    refused = "https://***@host answered 400"
    assert [one["error"] for one in json_of(capsys, "list", data, "--dead")] == [refused]
    assert run(["events", "list", str(data), "--dead"]) == 0
    assert "pw" not in capsys.readouterr().out


def test_what_is_held_is_listed_with_until_when_and_why(data: Path, capsys) -> None:
    assert json_of(capsys, "list", data, "--held") == []
    with closing(OutboxStore(data / "alert.db")) as outbox:
        night = Ruling(HELD, 1_768_455_000 * 10**9, "quiet hours")
        outbox.accept(event(5000, scene="yard"), ["web"], rulings={"web": night})
        off = Ruling(CALLED_OFF, reason="answered: seen by Ada")
        outbox.accept(event(6000, scene="roof"), ["web"], rulings={"web": off})
    (held,) = json_of(capsys, "list", data, "--held", "--scene", "yard")
    assert (held["state"], held["sink"]) == ("held", "web")
    assert (held["held_until"], held["held_for"]) == ("2026-01-15T05:30:00.000Z", "quiet hours")
    assert json_of(capsys, "list", data, "--held", "--scene", "hall") == []
    (shown,) = json_of(capsys, "show", data, event(5000, scene="yard").id)["deliveries"]
    assert shown == held
    assert run(["events", "list", str(data), "--held"]) == 0
    assert "quiet" in capsys.readouterr().out


def test_an_outbox_of_a_fusewatch_that_held_nothing_is_shown(data: Path, capsys) -> None:
    with closing(sqlite3.connect(data / "alert.db")) as database:
        database.execute("DROP TABLE outbox_holds")
    assert json_of(capsys, "list", data, "--held") == []
    states = [d["state"] for d in json_of(capsys, "show", data, event().id)["deliveries"]]
    assert sorted(set(states)) == ["dead", "delivered", "pending"]
    assert run(["events", "forget", str(data), event().id, "--yes"]) == 0


def test_people_get_a_line_of_facts_and_the_sentence_below_it(data: Path, capsys) -> None:
    assert run(["events", "list", str(data)]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert event().id[:8] in first
    assert "cleared" in first
    assert second == "    a sound without its cause"


def test_events_of_one_incident_name_its_first(tmp_path: Path, capsys) -> None:
    head = event(0)
    other = event(2, scene="yard", incident=head.id, scenes=("hall", "yard"))
    with closing(FusionStore(tmp_path / "fusion.db")) as store:
        store.commit(Commit(events=[head, other]))
    assert json_of(capsys, "list", tmp_path)[1]["scenes"] == ["hall", "yard"]
    assert run(["events", "list", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count(head.id[:8]) == 2  # itself, and where it belongs


def test_an_event_is_shown_with_its_phases_and_where_they_went(data: Path, capsys) -> None:
    shown = json_of(capsys, "show", data, event().id[:6])
    assert [phase["phase"] for phase in shown["phases"]] == ["raised", "updated", "cleared"]
    states = {(d["revision"], d["sink"]): d["state"] for d in shown["deliveries"]}
    assert states[0, "web"] == "dead"
    assert states[0, "mqtt"] == "delivered"
    assert states[1, "web"] == "pending"
    assert shown["pictures"] is None
    assert run(["events", "show", str(data), event().id[:6]]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("a sound without its cause where hall")
    refused = "web 1 dead: https://***@host answered 400, 2 pending"
    assert f"sent {refused} mqtt 1 delivered, 2 pending" in said


def test_an_event_that_was_not_sent_says_why(tmp_path: Path, capsys) -> None:
    deployment = watched_deployment(tmp_path)
    snoozed, follows = event(5000), event(6000, scene="yard")
    until = str(9000 * 10**9)
    said = Answer(event(0).id, "hall", Action.SNOOZE, until, "", "Ada", 1000 * 10**9)
    with closing(fusion_store(deployment)) as store, closing(answer_store(deployment)) as answers:
        store.commit(Commit(events=[*life(0), snoozed, follows]))
        store.held.put(Held(follows.id, "health-1", "node gate is gone, see health-1"))
        answers.add(said)
    config = tmp_path / "site.yaml"
    assert json_of(capsys, "show", config, event(0).id)["withheld"] == ""
    assert "by Ada" in json_of(capsys, "show", config, snoozed.id)["withheld"]
    for place in (config, deployment.data):
        assert run(["events", "show", str(place), follows.id]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "not sent node gate is gone, see health-1 id" in said


def test_an_event_says_which_of_its_pictures_are_not_in_full(data: Path, capsys) -> None:
    note = PicturesNote(2, 1, "1 of 3 pictures are small ones")
    folder = data / "evidence" / event().id
    folder.mkdir(parents=True)
    (folder / PICTURES).write_bytes(msgspec.json.encode(note))
    assert json_of(capsys, "show", data, event().id[:6])["pictures"] == msgspec.to_builtins(note)
    assert run(["events", "show", str(data), event().id[:6]]) == 0
    assert note.note in capsys.readouterr().out


def test_what_was_told_in_a_digest_says_in_which(tmp_path: Path, capsys) -> None:
    with closing(FusionStore(tmp_path / "fusion.db")) as store:
        store.commit(Commit(events=life(0)))
    with closing(OutboxStore(tmp_path / "alert.db")) as outbox:
        for phase in life(0):
            outbox.accept(phase, ["web", "file"])
        outbox.delivered(outbox.due("web", 0, over_before_ns=10**18))
        outbox.delivered(outbox.due("file", 0))
    shown = json_of(capsys, "show", tmp_path, event().id)
    told = {(d["revision"], d["sink"]): (d["state"], d["digest"]) for d in shown["deliveries"]}
    digest = digest_key(life(0))
    assert [told[number, "web"] for number in range(3)] == [("delivered", digest)] * 3
    assert told[0, "file"] == ("delivered", None)


def test_dead_deliveries_are_listed_and_revived(data: Path, capsys) -> None:
    (letter,) = json_of(capsys, "list", data, "--dead")
    assert (letter["sink"], letter["event"], letter["attempts"]) == ("web", event().id, 1)
    assert json_of(capsys, "list", data, "--dead", "--scene", "yard") == []
    assert json_of(capsys, "retry", data, "999") == {"revived": 0}
    assert json_of(capsys, "retry", data, str(letter["delivery"])) == {"revived": 1}
    assert json_of(capsys, "list", data, "--dead") == []
    assert json_of(capsys, "retry", data, "--all") == {"revived": 0}
    assert run(["events", "retry", str(data), "999"]) == 0
    assert "the others are not set aside" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["retry", "DATA"], 64, "--all"),
        (["retry", "DATA", "1", "--all"], 64, "--all"),
        (["show", "DATA", "ffffff"], 69, "no event begins with"),
        (["show", "DATA", ""], 69, "events begin with"),
        (["list", "DATA", "--since", "soon"], 64, "neither like 2h"),
        (["list", "DATA/none.yaml"], 78, "none.yaml"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_exit_code(
    data: Path, capsys, arguments: list[str], code: int, said: str
) -> None:
    typed = [a.replace("DATA", str(data)) for a in arguments]
    assert run(["events", *typed]) == code
    assert said in " ".join(capsys.readouterr().err.split())


def test_before_the_first_run_there_is_no_store(tmp_path: Path, capsys) -> None:
    assert run(["events", "list", str(tmp_path)]) == 69
    assert "no such store yet" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_since_is_an_age_or_a_time() -> None:
    now_ns = 10**18
    assert since_as_ns("90s", now_ns) == now_ns - 90 * 10**9
    assert since_as_ns("2w", now_ns) == now_ns - 14 * 86400 * 10**9
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert since_as_ns("2026-01-02T03:04:00+00:00", now_ns) == int(moment.timestamp()) * 10**9
    with pytest.raises(typer.BadParameter):
        since_as_ns("yesterday", now_ns)
