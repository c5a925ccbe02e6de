"""What reaches its age limit goes, bytes and all; what is still needed stays a while longer."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from nodes.kept_data import kept_by_capture, kinds
from nodes.places import answer_store
from nodes.recorder import open_folder
from nodes.retention import kept_by_alert, kept_by_fusion
from pipeline.config import check_file, load_deployment
from pipeline.core.event import Event
from pipeline.core.retention import Sweeper, Why
from pipeline.recording import Recording
from pipeline.recording.folder import begun_ns
from pipeline.store import Action, Answer, Commit, FusionStore, OutboxStore
from tests.command_line import fusewatch
from tests.event_samples import event, life
from tests.unit.recordings import T0, scene

S = 10**9
DAY = 86_400 * S
SECRET = "the planted words nobody is to read again"
CONFIG = """\
name: home
data: data
nodes:
  n:
    sources: [{type: csv_file, path: x.csv, stream: t}]
scenes:
  hall: {streams: [t]}
fusion:
  record: {}
retention: {recordings: 10d, evidence: 10d, events: 20d, dead_letters: 5d}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    file = tmp_path / "home.yaml"
    file.write_text(CONFIG)
    return file


def secret(start_ns: int, phases: int = 3) -> list[Event]:
    """An event's phases with words in them that can be looked for."""
    return [
        msgspec.structs.replace(one, summary=f"{SECRET} {one.key}" * 20)
        for one in life(start_ns // S)[:phases]
    ]


def holds(folder: Path, words: str = SECRET) -> list[str]:
    """Files below a folder in which these words stand."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return [file.name for file in files if words.encode() in file.read_bytes()]


def plant(data: Path, start_ns: int) -> str:
    """Evidence with words in it; the event's id."""
    name = event(start_ns // S).id
    folder = data / "evidence" / name
    folder.mkdir(parents=True)
    for file in ("snapshot.jpg", "clip.mp4"):
        (folder / file).write_bytes(b"\xff\xd8" + SECRET.encode())
    return name


def test_expired_bytes_are_nowhere_in_the_data_folder_and_newer_ones_are(home):
    deployment = load_deployment(home)
    data, now_ns = deployment.data, 1_700_000_000 * S
    old_ns, new_ns = now_ns - 19 * DAY, now_ns - 2 * DAY
    with_words = [e for n in range(15) for e in secret(old_ns - n * S)]
    fusion, outbox = FusionStore(data / "fusion.db"), OutboxStore(data / "alert.db")
    for start_ns, events in ((old_ns, with_words), (new_ns, life(new_ns // S))):
        plant(data, start_ns)
        fusion.commit(Commit(events=events))
        for one in events:
            outbox.accept(one, ["door", "phone"])
    fusion.forwarded([one.key for one in fusion.unforwarded()])
    for sink in ("door", "phone"):
        while (delivery := outbox.due(sink, now_ns)) is not None:
            outbox.delivered(delivery)
    assert {"fusion.db-wal", "alert.db-wal"} <= set(holds(data))
    both = [*kept_by_fusion(deployment, fusion), *kept_by_alert(deployment, outbox)]
    sweeper = Sweeper(kinds(both))
    sweeper.look(now_ns)
    assert "fusion.db-wal" in holds(data)
    sweeper.look(now_ns + DAY)
    assert sorted(holds(data)) == ["clip.mp4", "snapshot.jpg"], "of the newer event"
    assert [one.start_ns for one in fusion.events()] == [new_ns]
    assert len(outbox.deliveries(event(new_ns // S).id)) == 6
    assert sweeper.removed == {
        ("evidence", Why.AGE): 1,
        ("events", Why.AGE): 15,
        ("outbox", Why.AGE): 45,
    }
    sweeper.look(now_ns + 30 * DAY)
    assert holds(data) == []


def test_an_open_alarm_and_an_undelivered_event_keep_what_they_need(home):
    deployment = load_deployment(home)
    data, now_ns = deployment.data, 1_700_000_000 * S
    fusion, outbox = FusionStore(data / "fusion.db"), OutboxStore(data / "alert.db")
    is_open, waiting, done = (now_ns - 30 * DAY + n * S for n in range(3))
    for start_ns, phases in ((is_open, 2), (waiting, 3), (done, 3)):
        plant(data, start_ns)
        fusion.commit(Commit(events=secret(start_ns, phases)))
        for one in secret(start_ns, phases):
            outbox.accept(one, ["phone"] if start_ns == waiting else [])
    fusion.forwarded([one.key for one in fusion.unforwarded()])
    both = [*kept_by_fusion(deployment, fusion), *kept_by_alert(deployment, outbox)]
    sweeper = Sweeper(kinds(both))
    sweeper.look(now_ns - 11 * DAY)
    here = {path.name for path in (data / "evidence").iterdir()}
    assert here == {event(is_open // S).id, event(waiting // S).id}
    sweeper.look(now_ns)
    assert {one.start_ns for one in fusion.events()} == {is_open}
    assert len(outbox.deliveries(event(waiting // S).id)) == 3
    assert not (data / "evidence").exists() or not list((data / "evidence").iterdir())
    sweeper.look(now_ns + 11 * DAY)
    assert holds(data) == []
    assert sweeper.removed["evidence", Why.HARD_LIMIT] == 2
    assert sweeper.removed["events", Why.HARD_LIMIT] == 1
    assert sweeper.removed["outbox", Why.HARD_LIMIT] == 3


def answered(start_ns: int, action: Action, value: str, at_ns: int) -> Answer:
    return Answer(event(start_ns // S).id, "hall", action, value, "", "Ada", at_ns)


@pytest.mark.parametrize(
    ("action", "value", "stays"),
    [
        (Action.VERDICT, "normal", True),
        (Action.SNOOZE, str(1_700_000_000 * S + 70 * DAY), True),
        (Action.SNOOZE, str(1_700_000_000 * S + DAY), False),
        (Action.VERDICT, "real", False),
        (Action.SEEN, "", False),
    ],
    ids=["normal", "snoozed long", "snoozed", "real", "seen"],
)
def test_an_event_stays_for_as_long_as_its_answer_holds_others_back(
    home, action: Action, value: str, stays: bool
):
    deployment = load_deployment(home)
    fusion, said_ns = FusionStore(deployment.data / "fusion.db"), 1_700_000_000 * S
    plant(deployment.data, said_ns)
    fusion.commit(Commit(events=life(said_ns // S)))
    fusion.forwarded([one.key for one in fusion.unforwarded()])
    sweeper = Sweeper(kinds(kept_by_fusion(deployment, fusion)))
    with closing(answer_store(deployment)) as answers:
        position = answers.add(answered(said_ns, action, value, said_ns))
        sweeper.look(said_ns + 69 * DAY)
        assert bool(fusion.events()) is stays
        assert not list((deployment.data / "evidence").iterdir()), "that goes as ever"
        answers.withdraw(position, "Bob", said_ns + 69 * DAY)
    sweeper.look(said_ns + 70 * DAY)
    assert fusion.events() == []
    assert sweeper.removed["events", Why.AGE] == 1


def test_what_an_answer_holds_on_to_is_counted_as_held_and_is_not_too_old(home, capsys):
    home.write_text(CONFIG + "feedback: {normal_for: null}\n")
    deployment, said_ns = load_deployment(home), time.time_ns() - 60 * DAY
    fusion = FusionStore(deployment.data / "fusion.db")
    fusion.commit(Commit(events=life(said_ns // S)))
    fusion.forwarded([one.key for one in fusion.unforwarded()])
    with closing(answer_store(deployment)) as answers:
        answers.add(answered(said_ns, Action.VERDICT, "normal", said_ns))
    assert fusewatch("retention", "sweep", home) == 0
    capsys.readouterr()
    assert fusewatch("retention", "show", home, "--json") == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}["events"]
    assert (found["items"], found["held"], found["overdue"]) == (1, {"answered": 1}, [])
    assert found["next_ns"] is None


def test_dead_letters_have_a_limit_of_their_own(home):
    deployment = load_deployment(home)
    now_ns = 1_700_000_000 * S
    outbox = OutboxStore(deployment.data / "alert.db")
    for one in secret(now_ns - 4 * DAY):
        outbox.accept(one, ["phone"])
        outbox.dead(outbox.due("phone", now_ns), "no such number")
    sweeper = Sweeper(kinds(kept_by_alert(deployment, outbox)))
    sweeper.look(now_ns)
    assert len(outbox.dead_letters()) == 3
    sweeper.look(now_ns + 2 * DAY)
    assert outbox.dead_letters() == []
    assert holds(deployment.data) == []
    assert sweeper.removed == {("dead letters", Why.AGE): 3}


def test_recordings_go_before_anything_in_them_is_older_than_the_limit(home, tmp_path):
    deployment = load_deployment(home)
    record = deployment.fusion.record
    recorder = open_folder(deployment, record)
    for arrival in scene(1.0):
        recorder.write(arrival)
    recorder.flush_due(T0 + DAY - S)
    assert recorder.current is not None
    recorder.flush_due(T0 + DAY)
    assert recorder.current is None, "a tenth of the limit is the longest file"
    (file,) = recorder.files()
    assert begun_ns(file) == T0
    sweeper = Sweeper(kinds(kept_by_fusion(deployment, FusionStore(deployment.data / "fusion.db"))))
    sweeper.look(T0 + 10 * DAY - 3 * 3600 * S)
    assert file.exists()
    sweeper.look(T0 + 10 * DAY - 1800 * S)
    assert not file.exists()


def test_a_sweep_by_hand_leaves_the_recording_that_a_node_still_writes(home, capsys):
    deployment = load_deployment(home)  # the node's limit; by the file it is another one now
    recorder = open_folder(deployment, deployment.fusion.record)
    for arrival in scene(1.0):
        recorder.write(arrival)
    (file,) = recorder.files()
    home.write_text(CONFIG.replace("recordings: 10d", "recordings: 1h"))
    assert fusewatch("retention", "sweep", home) == 1
    assert f"{file} left: still being written" in capsys.readouterr().out
    recorder.close()
    with Recording(file) as recording:
        assert recording.truncated is None
    assert fusewatch("retention", "sweep", home) == 0
    assert not file.exists()


def test_show_proves_that_nothing_is_too_old_or_says_what_is(home, capsys):
    data = load_deployment(home).data
    now_ns = time.time_ns()
    fusion = FusionStore(data / "fusion.db")
    for age in (1, 11):
        plant(data, now_ns - age * DAY)
        fusion.commit(Commit(events=secret(now_ns - age * DAY, phases=age // 11 + 2)))
    assert fusewatch("retention", "show", home, "--json") == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["evidence"]["items"] == 2
    assert found["evidence"]["overdue"] == []
    assert found["evidence"]["held"] == {"not delivered": 1}
    fusion.forwarded([one.key for one in fusion.unforwarded()])
    assert fusewatch("retention", "show", home) == 1
    shown = capsys.readouterr().out
    assert event((now_ns - 11 * DAY) // S).id in shown
    assert fusewatch("retention", "sweep", home) == 0
    assert "evidence: 1 removed (age)" in capsys.readouterr().out
    assert fusewatch("retention", "show", home) == 0


def test_damaged_parts_of_a_spool_go_when_the_spool_would(home):
    home.write_text(CONFIG.replace("    sources:", "    spool: {max_age_h: 2}\n    sources:"))
    deployment = load_deployment(home)
    part = deployment.data / "spool" / "n" / "quarantine" / "0000000001.abc.spool.17"
    part.parent.mkdir(parents=True)
    part.write_bytes(SECRET.encode())
    now_ns = part.stat().st_mtime_ns
    sweeper = Sweeper(kinds(kept_by_capture(deployment, "n")))
    sweeper.look(now_ns + 3600 * S)
    assert part.exists()
    sweeper.look(now_ns + 7200 * S)
    assert holds(deployment.data) == []


def test_recordings_of_the_older_setting_are_looked_at_and_left_to_their_recorder(home, capsys):
    text = CONFIG.replace("record: {}", "record: {max_age_days: 5}")
    home.write_text(text.replace("recordings: 10d, ", ""))
    folder = load_deployment(home).fusion.record.folder
    folder.mkdir()
    file = folder / "home-20200101T000000.000000Z.mcap"
    file.write_bytes(b"x")
    assert fusewatch("retention", "show", home) == 0, "it was written just now"
    then_s = time.time() - 6 * 86_400
    os.utime(file, (then_s, then_s))
    assert fusewatch("retention", "show", home) == 1
    assert fusewatch("retention", "sweep", home) == 0
    assert file.exists()


def test_rows_that_were_deleted_carelessly_are_gone_after_a_sweep_by_hand(home):
    import sqlite3

    data = load_deployment(home).data
    store = FusionStore(data / "fusion.db")
    store.commit(Commit(events=[e for n in range(30) for e in secret((10**6 + n) * S)]))
    store.close()
    careless = sqlite3.connect(data / "fusion.db")
    careless.execute("PRAGMA secure_delete=OFF")
    careless.execute("DELETE FROM fusion_events")
    careless.commit()
    careless.close()
    assert holds(data) == ["fusion.db"]
    assert fusewatch("retention", "sweep", home) == 0
    assert holds(data) == []


@pytest.mark.parametrize("wrong", ["30", "'30'", "'0d'", "soon", "'-1d'"])
def test_an_age_that_is_none_is_told_with_its_line(home, wrong):
    home.write_text(CONFIG.replace("evidence: 10d", f"evidence: {wrong}"))
    (problem,) = map(str, check_file(home).problems)
    assert "home.yaml:10: retention.evidence: write an age such as 12h, 30d, 8w or 1y" in problem


def test_a_spool_that_its_node_does_not_clear_is_told(home, capsys):
    home.write_text(CONFIG.replace("    sources:", "    spool: {max_age_h: 2}\n    sources:"))
    spool = load_deployment(home).data / "spool" / "n"
    spool.mkdir(parents=True)
    segment = spool / "0000000001.abc.spool"
    segment.write_bytes(b"x")
    assert fusewatch("retention", "show", home) == 0
    os.utime(segment, (time.time() - 7500, time.time() - 7500))
    capsys.readouterr()
    assert fusewatch("retention", "show", home) == 1
    assert "spool n: too old" in capsys.readouterr().out
