from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from fastapi.testclient import TestClient

from nodes.capture_metrics import CaptureMetrics
from nodes.dashboard.access import Access
from nodes.dashboard.app import Desk, build_app
from nodes.dashboard.live_feed import LiveFeed
from nodes.dashboard.node import listen_address
from nodes.dashboard.records import Records
from nodes.dashboard.views import AnswerGiven
from nodes.health import Health, HealthServer
from nodes.places import evidence_folder, fusion_store
from nodes.run_files import RunFile, write_run_file
from pipeline.config.deployment import DashboardSettings
from pipeline.core.clock import ManualClock
from pipeline.core.errors import ConfigError
from pipeline.core.ledger import DropReason, Ledger
from pipeline.detection.full_frames import PICTURES, PicturesNote
from pipeline.store import Action, Commit, Held, Verdict
from pipeline.transport.clock_sync import ClockEstimate
from tests.event_samples import event
from tests.watched_site import SECOND_NS, happened, remembered, watched_deployment

TOKEN = "a-token-nobody-guesses"
NOW_S = 1_700_000_400


@pytest.fixture
def desk(tmp_path: Path):
    deployment = watched_deployment(tmp_path)
    clock = ManualClock(NOW_S * SECOND_NS)
    records, feed = Records(deployment, clock), LiveFeed(deployment.data)
    yield Desk(deployment, Access(TOKEN, clock), records, feed, False, ("page.test",))
    feed.close()
    records.close()


@pytest.fixture
def visitor(desk):
    with TestClient(build_app(desk), base_url="http://page.test") as client:
        yield client


@pytest.fixture
def ada(visitor):
    assert visitor.post("/login", data={"who": "Ada", "token": TOKEN}).url.path == "/"
    return visitor


def test_without_the_token_there_is_nothing_but_the_login(visitor, desk) -> None:
    (made, *_) = happened(desk.deployment, NOW_S - 60)
    for path in ("/api/scenes", "/api/events", f"/evidence/{made.id}/snapshot.jpg", "/api/live"):
        assert visitor.get(path).status_code == 401, path
    assert (
        visitor.post(f"/api/events/{made.id}/answers", json={"action": "seen"}).status_code == 401
    )
    assert visitor.delete("/api/answers/1").status_code == 401
    assert visitor.get("/", follow_redirects=False).headers["location"] == "/login"
    refused = visitor.post("/login", data={"token": "wrong"}, follow_redirects=False)
    assert refused.headers["location"] == "/login?again" and "set-cookie" not in refused.headers


def test_a_page_under_another_name_is_not_answered(visitor) -> None:
    assert visitor.get("/login", headers={"host": "evil.test"}).status_code == 400


def test_answers_keep_browsers_careful(visitor) -> None:
    headers = visitor.get("/login").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_before_the_first_run_there_is_nothing_to_show(ada) -> None:
    (scene,) = ada.get("/api/scenes").json()
    assert (scene["name"], scene["standing"], scene["rates"]) == ("hall", [], [])
    assert ada.get("/api/events").json() == []
    past = ada.get("/api/scenes/hall/history", params={"from_ms": 0, "to_ms": 10**12}).json()
    assert (past["minutes"], past["first_ms"]) == ([], None)


def test_an_event_is_told_with_its_phases_evidence_and_reasons(ada, desk) -> None:
    life = happened(desk.deployment, NOW_S - 60)
    (row,) = ada.get("/api/events").json()
    assert row["summary"] == "Sound without its cause: nothing moved"
    assert (row["start_ms"], row["phase"]) == ((NOW_S - 60) * 1000, "cleared")
    told = ada.get(f"/api/events/{row['id']}").json()
    assert [p["phase"] for p in told["phases"]] == [e.phase.value for e in life]
    assert told["explanation"]["pair"] == ["mic", "cam"]
    assert sorted(told["evidence"]) == ["explained", "snapshot", "sound"]
    picture = ada.get(f"/evidence/{told['evidence']['snapshot']}")
    assert picture.headers["content-type"] == "image/jpeg"
    assert told["evidence_note"] == ""
    assert ada.get("/api/events/none").status_code == 404


def test_an_event_says_which_of_its_pictures_are_not_in_full(ada, desk) -> None:
    made = happened(desk.deployment, NOW_S - 60)[0]
    note = PicturesNote(2, 1, "1 of 3 pictures are small ones: the node was away")
    folder = evidence_folder(desk.deployment) / made.id
    (folder / PICTURES).write_bytes(msgspec.json.encode(note))
    assert ada.get(f"/api/events/{made.id}").json()["evidence_note"] == note.note


def test_events_can_be_asked_for_by_scene_and_time(ada, desk) -> None:
    happened(desk.deployment, NOW_S - 600)
    happened(desk.deployment, NOW_S - 60)

    def found(**asked):
        return [e["start_ms"] // 1000 - NOW_S for e in ada.get("/api/events", params=asked).json()]

    assert found() == [-60, -600]
    assert found(limit=1) == [-60]
    assert found(since_ms=(NOW_S - 100) * 1000) == [-60]
    assert found(until_ms=(NOW_S - 100) * 1000, limit=1) == [-600]
    assert found(scene="yard") == []


def test_events_of_the_equipment_are_found_behind_newer_alarms(ada, desk) -> None:
    failed = event(NOW_S - 600)
    failed = msgspec.structs.replace(failed, id=f"health-{failed.id}")
    with closing(fusion_store(desk.deployment)) as store:
        store.commit(Commit(events=[failed, *(event(NOW_S - s) for s in (60, 50, 40))]))

    def found(**asked) -> list[str]:
        return [e["id"] for e in ada.get("/api/events", params={"limit": 2} | asked).json()]

    assert found(health=True) == found(health=True, until_ms=NOW_S * 1000) == [failed.id]
    newest = [event(NOW_S - 40).id, event(NOW_S - 50).id]
    assert found(health=False) == found() == newest
    assert len(found(health=False, limit=9)) == 3 and len(found(limit=9)) == 4


def test_an_answer_is_kept_with_who_gave_it_and_can_be_taken_back(ada, desk) -> None:
    (made, *_) = happened(desk.deployment, NOW_S - 60)
    path = f"/api/events/{made.id}/answers"
    given = {"action": "verdict", "value": "normal", "note": " the cat "}
    told = ada.post(path, json=given).json()
    (answer,) = told["answers"]
    assert (told["verdict"], answer["who"], answer["note"]) == ("normal", "Ada", "the cat")
    assert answer["at_ms"] == NOW_S * 1000
    (row,) = ada.get("/api/events").json()
    assert (row["verdict"], row["seen"]) == ("normal", True)
    assert ada.delete(f"/api/answers/{answer['position']}").json()["withdrawn_ms"] == NOW_S * 1000
    assert ada.delete(f"/api/answers/{answer['position']}").status_code == 404
    assert ada.get(f"/api/events/{made.id}").json()["verdict"] is None


def test_a_store_that_refuses_is_told_in_words(ada, desk) -> None:
    (made, *_) = happened(desk.deployment, NOW_S - 60)
    path = f"/api/events/{made.id}/answers"
    (answer,) = ada.post(path, json={"action": "seen"}).json()["answers"]
    with closing(sqlite3.connect(desk.deployment.data / "answers.db")) as other:
        for change in ("INSERT", "UPDATE"):
            told = "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
            other.execute(f"CREATE TRIGGER no_{change} BEFORE {change} ON answers {told}")
    for refused in (
        ada.post(path, json={"action": "seen"}),
        ada.delete(f"/api/answers/{answer['position']}"),
    ):
        assert refused.status_code == 503
        assert "database or disk is full" in refused.json()["detail"]
        assert "content-security-policy" in refused.headers


def test_before_it_is_said_to_be_normal_it_is_told_what_that_would_have_done(ada, desk) -> None:
    (known, *_) = happened(desk.deployment, NOW_S - 60)
    (again, *_) = happened(desk.deployment, NOW_S - 3600)
    happened(desk.deployment, NOW_S - 8 * 86400)

    def effect(**asked) -> tuple[int, list[str], list[str]]:
        told = ada.get(f"/api/events/{known.id}/effect", params=asked).json()
        return told["of"], *([e["id"] for e in told[what]] for what in ("lost", "gained"))

    assert effect(verdict="normal") == (1, [again.id], [])
    assert effect(verdict="real") == effect() == (1, [], [])
    ada.post(f"/api/events/{known.id}/answers", json={"action": "verdict", "value": "normal"})
    assert effect(verdict="real") == effect() == (0, [], [again.id])
    assert ada.get("/api/events/none/effect").status_code == 404


def test_whether_it_was_sent_is_told_by_the_answers_when_it_was_raised(ada, desk) -> None:
    (known, *_) = happened(desk.deployment, NOW_S - 60)
    (before, *_) = happened(desk.deployment, NOW_S - 3600)
    ada.post(f"/api/events/{known.id}/answers", json={"action": "verdict", "value": "normal"})
    (during, *_) = happened(desk.deployment, NOW_S + 60)

    def told() -> dict[str, tuple[str, bool]]:
        rows = ada.get("/api/events").json()
        return {row["id"]: (row["like"], bool(row["withheld"])) for row in rows}

    then = {known.id: ("", False), before.id: (known.id, False), during.id: (known.id, True)}
    assert told() == then
    desk.access.clock.advance(120 * SECOND_NS)
    ada.delete("/api/answers/1")
    (after, *_) = happened(desk.deployment, NOW_S + 180)
    assert told() == then | {before.id: ("", False), after.id: ("", False)}


def test_what_was_said_to_be_normal_is_listed_with_its_end_and_what_it_held_back(ada, desk) -> None:
    assert ada.get("/api/exemptions").json() == []
    (known, *_) = happened(desk.deployment, NOW_S - 60)
    given = {"action": "verdict", "value": "normal", "note": "the cat"}
    ada.post(f"/api/events/{known.id}/answers", json=given)
    happened(desk.deployment, NOW_S + 60)
    (scene,) = ada.get("/api/exemptions").json()
    assert (scene["raised"], scene["held_back"], scene["most"]) == (2, 1, False)
    (one,) = scene["exemptions"]
    assert (one["event"], one["who"], one["note"], one["held_back"]) == (
        known.id,
        "Ada",
        "the cat",
        1,
    )
    assert one["until_ms"] == (NOW_S + 90 * 86400) * 1000
    for later in range(2, 7):
        happened(desk.deployment, NOW_S + 60 * later)
    assert ada.get("/api/exemptions").json()[0]["most"]
    ada.delete(f"/api/answers/{one['position']}")
    assert ada.get("/api/exemptions").json() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "verdict"},
        {"action": "seen", "value": "real"},
        {"action": "dance"},
        {"action": "snooze"},
        {"action": "snooze", "minutes": 0},
        {"action": "seen", "minutes": 5},
        {"action": "verdict", "value": "perhaps"},
        {"action": "note", "note": "x" * 2001},
        {"action": "seen", "who": "Mallory"},
    ],
)
def test_what_is_no_answer_is_refused(ada, desk, wrong) -> None:
    (made, *_) = happened(desk.deployment, NOW_S - 60)
    assert ada.post(f"/api/events/{made.id}/answers", json=wrong).status_code == 422
    assert ada.get(f"/api/events/{made.id}").json()["answers"] == []


def test_a_scene_can_be_snoozed(ada, desk) -> None:
    (made, *_) = happened(desk.deployment, NOW_S - 60)
    path = f"/api/events/{made.id}/answers"
    told = ada.post(path, json={"action": "snooze", "minutes": 60}).json()
    assert told["answers"][0]["value"] == str((NOW_S + 3600) * SECOND_NS)
    (later, *_) = happened(desk.deployment, NOW_S + 60)
    assert "snoozed until" in ada.get(f"/api/events/{later.id}").json()["withheld"]
    assert told["withheld"] == ""


def test_an_event_says_what_it_follows_from_and_what_belongs_to_it(ada, desk) -> None:
    head = event(NOW_S - 60)
    other = event(NOW_S - 58, scene="yard", incident=head.id, scenes=("hall", "yard"))
    with closing(fusion_store(desk.deployment)) as store:
        store.commit(Commit(events=[head, other, event(NOW_S - 57, scene="lane")]))
        store.held.put(Held(other.id, "health-1", "node gate is gone, see health-1"))
    shown, first = (ada.get(f"/api/events/{one.id}").json() for one in (other, head))
    assert (shown["cause"], shown["incident"]) == ("health-1", head.id)
    assert shown["withheld"].startswith("node gate is gone")
    assert [one["id"] for one in shown["together"]] == [head.id]
    assert [(one["id"], one["scene"]) for one in first["together"]] == [(other.id, "yard")]
    rows = ada.get("/api/events").json()
    assert {row["scene"]: row["cause"] for row in rows} == {
        "hall": "",
        "yard": "health-1",
        "lane": "",
    }


def test_an_answer_to_no_event_is_refused(ada) -> None:
    assert ada.post("/api/events/none/answers", json={"action": "seen"}).status_code == 404


def test_the_past_is_told_no_finer_than_asked(ada, desk) -> None:
    first = NOW_S // 60 - 60
    remembered(desk.deployment, range(first, first + 60))
    asked = {"from_ms": first * 60_000, "to_ms": (first + 60) * 60_000}
    fine = ada.get("/api/scenes/hall/history", params=asked).json()
    coarse = ada.get("/api/scenes/hall/history", params=asked | {"points": 6}).json()
    assert (fine["step_ms"], len(fine["minutes"])) == (60_000, 60)
    assert coarse["step_ms"] == 600_000 and len(coarse["minutes"]) in (6, 7)
    assert {m["score"] for m in coarse["minutes"][1:-1]} == {4.5}
    assert ada.get("/api/scenes/yard/history", params=asked).status_code == 404


@pytest.mark.parametrize("name", ["../fusion.db", "..%2ffusion.db", ".snapshot.jpg", "none.jpg"])
def test_only_evidence_is_given_out(ada, desk, name: str) -> None:
    (made, *_) = happened(desk.deployment, NOW_S - 60)
    folder = desk.deployment.data / "evidence" / made.id
    (folder / ".snapshot.jpg").write_bytes(b"half")
    (folder.parent / "fusion.db").write_bytes(b"secret")
    answer = ada.get(f"/evidence/{made.id}/{name}")
    assert answer.status_code == 404 and b"secret" not in answer.content


def test_evidence_that_points_elsewhere_is_not_given_out(ada, desk) -> None:
    (made, *_) = happened(desk.deployment, NOW_S - 60)
    link = desk.deployment.data / "evidence" / made.id / "link.jpg"
    link.symlink_to(desk.deployment.data / "fusion.db")
    assert ada.get(f"/evidence/{made.id}/link.jpg").status_code == 404


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:", "127.0.0.1:70000", "0.0.0.0:7780"])
def test_a_page_is_on_this_machine_or_behind_tls(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"dashboard\.listen"):
        listen_address(DashboardSettings(listen=listen))


def test_with_a_certificate_it_may_be_reached_from_elsewhere() -> None:
    settings = DashboardSettings(listen="0.0.0.0:7780", certificate="c.pem", private_key="k.pem")
    assert listen_address(settings) == ("0.0.0.0", 7780)
    assert listen_address(DashboardSettings(listen="[::1]:0")) == ("::1", 0)


def test_a_scene_tells_what_was_spent_of_its_budget_and_what_was_real(desk) -> None:
    deployment, records = desk.deployment, desk.records
    _, second, _ = (happened(deployment, NOW_S - ago)[0] for ago in (900, 600, 300))
    assert records.scenes()[0].spent is None  # nothing was watched yet, as far as is known
    remembered(deployment, range(NOW_S // 60 - 60, NOW_S // 60))
    (scene,) = records.scenes()
    assert scene.spent.words == "3 of 2 a week, over the budget"
    assert scene.spent.watched_s == 3600
    given = AnswerGiven(action=Action.VERDICT, value=Verdict.REAL)
    records.answer(second.id, given, "Ada")
    (scene,) = records.scenes()
    assert (scene.spent.words, scene.spent.real) == ("2 of 2 a week, all used up", 1)


def test_streams_are_told_with_their_ledger_and_the_clock_of_their_node(ada, desk) -> None:
    ledger, health = Ledger(), Health()
    CaptureMetrics(health.registry, ledger).clock.look(
        ClockEstimate(2_000_000, 50_000, 1.0, 0.1, 0, "udp"), {}
    )
    for _ in range(5):
        ledger.captured("cam")
    ledger.delivered("cam", 3)
    ledger.dropped("cam", DropReason.BUFFER_FULL)
    health.ready("node", True)
    server = HealthServer("127.0.0.1:0", health)
    node = next(iter(desk.deployment.nodes))
    file = desk.deployment.data / "run" / f"capture-{node}.json"
    write_run_file(file, RunFile(f"capture-{node}", 1, server.start(), 0))
    told = {one["stream"]: one for one in ada.get("/api/streams").json()}
    server.close()
    cam = told["cam"]
    assert (cam["captured"], cam["delivered"], cam["spooled"]) == (5, 3, 1)
    assert cam["dropped"] == {"buffer_full": 1}
    assert (cam["clock_offset_s"], cam["clock_bound_s"]) == (0.002, 0.00005)
    assert cam["unseen"] is None  # the fusion node does not answer
