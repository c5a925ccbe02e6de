from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from nodes import stores
from nodes.lock import hold
from pipeline.store import AnswerStore, Commit, FusionStore, OutboxStore, SceneCheckpoint
from pipeline.store.database import Database
from tests.command_line import fusewatch
from tests.event_samples import event
from tests.upgrade_samples import next_answers

DEPLOYMENT = """
name: home
data: data
nodes: {hall: {sources: [{type: csv_file, stream: log, path: log.csv}]}}
scenes: {hall: {streams: [log]}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    config = tmp_path / "d.yaml"
    config.write_text(DEPLOYMENT)
    (tmp_path / "data").mkdir()
    return config


def filled(site: Path) -> Path:
    data = site.parent / "data"
    with closing(FusionStore(data / "fusion.db")) as fusion:
        fusion.commit(Commit({"hall": SceneCheckpoint(1, b"x")}, events=[event()]))
    with closing(OutboxStore(data / "alert.db")) as outbox:
        outbox.accept(event(), ["web"])
    AnswerStore(data / "answers.db").close()
    return data


def test_versions_are_shown_and_none_is_made(site: Path, capfd) -> None:
    assert fusewatch("store", "show", site) == 0
    assert "nothing is kept here yet" in capfd.readouterr().out
    filled(site)
    assert fusewatch("store", "show", site, "--json") == 0
    shown = json.loads(capfd.readouterr().out)
    assert [(one["store"], one["version"], one["standing"]) for one in shown] == [
        ("fusion", 1, "current"),
        ("answers", 1, "current"),
        ("outbox", 1, "current"),
    ]
    assert not (site.parent / "data" / "history.db").exists()


def test_a_store_of_another_version_ends_show_with_1_and_says_what_to_do(site, capfd) -> None:
    data = filled(site)
    with closing(sqlite3.connect(data / "alert.db")) as raw:
        raw.execute("UPDATE fusewatch_schema SET version = 7")
        raw.commit()
    assert fusewatch("store", "show", site) == 1
    told = capfd.readouterr().out
    assert "outbox: a newer fusewatch wrote it: upgrade fusewatch" in told


def test_upgrade_brings_each_there_and_names_the_copy(site, tmp_path, capfd, monkeypatch) -> None:
    data = filled(site)
    later = next_answers(tmp_path / "next")
    monkeypatch.setattr(stores, "ANSWERS", later)
    assert fusewatch("store", "show", site) == 1
    assert "older" in capfd.readouterr().out
    assert fusewatch("store", "upgrade", site) == 0
    told = capfd.readouterr().out
    assert "fusion: is of version 1" in told
    assert f"answers: version 1 to 2; as it was: {data / 'answers.db.version-1.bak'}" in told
    Database(data / "answers.db", later, create=False).close()
    assert fusewatch("store", "show", site) == 0


def test_upgrade_waits_for_nobody_who_still_runs(site: Path, capfd) -> None:
    data = filled(site)
    with hold(data, "fusion"):
        assert fusewatch("store", "upgrade", site) == 69
    assert "fusion (process" in capfd.readouterr().err


def test_a_backup_taken_while_a_node_writes_is_whole_and_goes_on_from_there(site, capfd) -> None:
    data, copies = filled(site), site.parent / "copies"
    store = FusionStore(data / "fusion.db")
    done, begun = threading.Event(), threading.Event()

    def write() -> None:
        for index in range(2, 5000):
            store.commit(Commit({"hall": SceneCheckpoint(index, b"")}, events=[event(index)]))
            begun.set()
            if done.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait(30)
    assert fusewatch("store", "backup", site, copies) == 0
    done.set()
    writer.join()
    store.close()
    assert sorted(path.name for path in copies.iterdir()) == ["alert.db", "answers.db", "fusion.db"]
    assert {path.stat().st_mode & 0o777 for path in copies.iterdir()} == {0o600}
    shutil.rmtree(data)
    shutil.copytree(copies, data)
    with closing(FusionStore(data / "fusion.db")) as again:
        index = again.checkpoint("hall").next_window
        assert index >= 2
        assert len(again.events()) == index  # each event with its checkpoint, nothing torn
        again.commit(Commit({"hall": SceneCheckpoint(index + 1, b"")}, events=[event(9999)]))


def test_a_backup_replaces_nothing_and_leaves_no_half(site: Path, capfd) -> None:
    filled(site)
    copies = site.parent / "copies"
    assert fusewatch("store", "backup", site, copies) == 0
    before = {path.name: path.read_bytes() for path in copies.iterdir()}
    assert fusewatch("store", "backup", site, copies) == 69
    assert "is there already" in capfd.readouterr().err
    assert {path.name: path.read_bytes() for path in copies.iterdir()} == before
