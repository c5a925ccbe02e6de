from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core.errors import StoreError
from pipeline.core.event import Event
from pipeline.store import Commit, FusionStore, SceneCheckpoint
from tests.event_samples import event


@pytest.fixture
def store(tmp_path: Path):
    opened = FusionStore(tmp_path / "fusion.db")
    yield opened
    opened.close()


def keys(events: list[Event]) -> list[str]:
    return [e.key for e in events]


def test_a_commit_is_read_back_whole_after_reopening(tmp_path: Path) -> None:
    first = FusionStore(tmp_path / "data" / "fusion.db")
    first.commit(
        Commit(
            scenes={"hall": SceneCheckpoint(7, b'{"open":1}')},
            resume={("edge", "s1", "cam"): 41, ("edge", "s1", "mic"): 99},
            events=[event()],
        )
    )
    first.close()
    again = FusionStore(tmp_path / "data" / "fusion.db")
    assert again.checkpoint("hall") == SceneCheckpoint(7, b'{"open":1}')
    assert again.checkpoint("yard") is None
    assert again.resume_points("edge", "s1") == {"cam": 41, "mic": 99}
    assert again.resume_points("edge", "s2") == {}
    assert again.events() == [event()]
    again.close()
    again.close()


def test_the_scoring_of_a_scene_is_committed_with_its_alarm(store) -> None:
    store.commit(Commit(scenes={"a": SceneCheckpoint(1, b"x", b"learnt", b"blind")}))
    assert store.checkpoint("a") == SceneCheckpoint(1, b"x", b"learnt", b"blind")
    store.commit(Commit(scenes={"a": SceneCheckpoint(2, b"y")}))
    assert store.checkpoint("a") == SceneCheckpoint(2, b"y", b"")


def test_the_hop_by_which_a_scene_counts_is_committed_with_its_place(store) -> None:
    store.commit(Commit(scenes={"a": SceneCheckpoint(8, b"", hop_ns=500_000_000)}))
    assert store.checkpoint("a").hop_ns == 500_000_000
    store.commit(Commit(scenes={"a": SceneCheckpoint(4, b"", hop_ns=1_000_000_000)}))
    assert store.checkpoint("a") == SceneCheckpoint(4, b"", hop_ns=1_000_000_000)


def test_a_store_made_before_scoring_was_kept_is_read_and_written_on(tmp_path: Path) -> None:
    path = tmp_path / "fusion.db"
    with closing(FusionStore(path)) as made:
        made.commit(Commit(scenes={"a": SceneCheckpoint(1, b"x")}, events=[event()]))
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("DROP TABLE fusion_scoring")
        raw.execute("DROP TABLE fusion_sight")
        raw.execute("DROP TABLE fusion_hops")
        raw.commit()
    with closing(FusionStore(path, create=False)) as reader:
        assert reader.checkpoint("a") == SceneCheckpoint(1, b"x")
        assert reader.events() == [event()]
    with closing(FusionStore(path)) as writer:
        after = SceneCheckpoint(2, b"y", b"learnt", hop_ns=1)
        writer.commit(Commit(scenes={"a": after}))
        assert writer.checkpoint("a") == after


def test_it_tells_when_the_events_of_a_scene_began(store) -> None:
    store.commit(Commit(events=[event(60), event(0), event(0, 1), event(30, scene="yard")]))
    assert list(store.raised("hall", 0).values()) == [event(0).start_ns, event(60).start_ns]
    assert store.raised("hall", event(0).start_ns + 1) == {event(60).id: event(60).start_ns}


def test_a_later_commit_replaces_the_checkpoint_and_leaves_other_scenes_alone(store) -> None:
    store.commit(Commit(scenes={"a": SceneCheckpoint(1, b"x"), "b": SceneCheckpoint(2, b"y")}))
    store.commit(Commit(scenes={"a": SceneCheckpoint(5, b"z")}))
    assert store.checkpoint("a") == SceneCheckpoint(5, b"z")
    assert store.checkpoint("b") == SceneCheckpoint(2, b"y")


def test_the_same_event_committed_again_changes_nothing_and_is_counted(store) -> None:
    assert store.commit(Commit(events=[event(), event(revision=1)])) == 2
    store.forwarded([event().key])
    assert store.commit(Commit(events=[event(), event(revision=1), event(revision=2)])) == 1
    assert store.repeated == 2
    assert keys(store.unforwarded()) == [event(revision=1).key, event(revision=2).key]


def test_a_repeated_event_that_differs_leaves_the_first_in_place(store) -> None:
    store.commit(Commit(events=[event()]))
    store.commit(Commit(events=[event(summary="something else")]))
    assert store.events()[0].summary == "a sound without its cause"


def test_a_failed_commit_leaves_nothing_behind(store) -> None:
    broken = replace(SceneCheckpoint(1, b""), alarm=None)
    with pytest.raises(StoreError):
        store.commit(Commit(scenes={"b": broken}, resume={("n", "s", "t"): 1}, events=[event()]))
    assert store.events() == []
    assert store.resume_points("n", "s") == {}


def test_events_come_at_their_latest_revision_or_with_all_phases(store) -> None:
    store.commit(Commit(events=[event(0), event(60), event(0, 1)]))
    assert keys(store.events()) == keys([event(60), event(0, 1)])
    assert keys(store.events(all_phases=True)) == keys([event(0), event(60), event(0, 1)])
    assert keys(store.phases(event(0).id[:6])) == keys([event(0), event(0, 1)])
    assert store.phases("%") == []


def test_events_can_be_asked_for_by_scene_time_and_number(store) -> None:
    store.commit(Commit(events=[event(s, scene=c) for c in ("a", "b") for s in (0, 100, 200)]))
    assert {e.scene for e in store.events(scene="b")} == {"b"}
    assert {e.start_ns for e in store.events(since_ns=101 * 10**9)} == {100 * 10**9, 200 * 10**9}
    assert keys(store.events(limit=2)) == keys([event(100, scene="b"), event(200, scene="b")])


def test_unforwarded_events_keep_commit_order_until_they_are_confirmed(store) -> None:
    store.commit(Commit(events=[event(9), event(3)]))
    store.commit(Commit(events=[event(9, 1)]))
    assert keys(store.unforwarded()) == keys([event(9), event(3), event(9, 1)])
    store.forwarded([event(3).key, "unknown.0"])
    assert keys(store.unforwarded(limit=5)) == keys([event(9), event(9, 1)])


def test_resume_points_of_old_sessions_are_forgotten_one_day(store) -> None:
    for number in range(20):
        store.commit(Commit(resume={("edge", f"s{number}", "cam"): number}))
    store.commit(Commit(resume={("other", "s0", "cam"): 5}))
    assert store.resume_points("edge", "s0") == {}
    assert store.resume_points("edge", "s19") == {"cam": 19}
    assert store.resume_points("other", "s0") == {"cam": 5}


def test_threads_may_share_a_store(store) -> None:
    def work(scene: str) -> None:
        for index in range(20):
            store.commit(
                Commit(
                    scenes={scene: SceneCheckpoint(index, b"")}, events=[event(index, scene=scene)]
                )
            )

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.events()) == 60
    assert {store.checkpoint(name).next_window for name in "abc"} == {19}


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fusion.db"
    FusionStore(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE fusewatch_schema SET version = 99")
    raw.close()
    with pytest.raises(StoreError, match=r"version 99.*upgrade fusewatch") as caught:
        FusionStore(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("where", ["header", "middle"])
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path, where: str) -> None:
    path = tmp_path / "fusion.db"
    store = FusionStore(path)
    store.commit(Commit(events=[event(second) for second in range(200)]))
    store.close()
    damaged = bytearray(path.read_bytes())
    begin = 0 if where == "header" else 4096 * 3
    damaged[begin : begin + 9000] = b"\x5a" * 9000
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"recover") as caught:
        FusionStore(path)
    assert str(path) in str(caught.value)


def test_a_missing_store_is_not_made_by_a_reader(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such store yet"):
        FusionStore(tmp_path / "fusion.db", create=False)
    assert not (tmp_path / "fusion.db").exists()


def test_a_foreign_database_is_not_taken_for_a_store(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as raw:
        raw.execute("CREATE TABLE t (x)")
    raw.close()
    with pytest.raises(StoreError, match="not a fusewatch store"):
        FusionStore(tmp_path / "other.db", create=False)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://u:secret@h/d", "cannot be kept in mysql"),
        ("no url at all", "not a database URL"),
    ],
)
def test_an_unusable_url_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        FusionStore(url)
    assert "secret" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make its folder"):
        FusionStore(tmp_path / "file" / "data" / "fusion.db")


def _commit_until_killed(path: Path, told: multiprocessing.Queue) -> None:
    store = FusionStore(path)
    for index in range(10_000):
        store.commit(
            Commit(scenes={"hall": SceneCheckpoint(index + 1, b"")}, events=[event(index)])
        )
        told.put(index + 1)


def test_what_was_committed_survives_sigkill_and_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "fusion.db"
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    child = context.Process(target=_commit_until_killed, args=(path, told))
    child.start()
    seen = [told.get(timeout=60) for _ in range(25)][-1]
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    with closing(FusionStore(path)) as store:
        after = store.checkpoint("hall").next_window
        assert after >= seen
        assert len(store.events()) == after
