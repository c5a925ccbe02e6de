"""Everything of an event as one file, and evidence held against what was written down of it."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from nodes.dashboard.access import Access
from nodes.dashboard.app import Desk, build_app
from nodes.dashboard.live_feed import LiveFeed
from nodes.dashboard.records import Records
from nodes.event_bundle import PHASES, zip_of
from nodes.places import evidence_folder, fusion_store
from pipeline.config import Deployment
from pipeline.core.clock import ManualClock
from pipeline.core.event import Event
from pipeline.store import Commit, FusionStore
from pipeline.store.event_stock import EventStock
from pipeline.store.evidence_manifest import MANIFEST, Standing, check, seal
from tests.command_line import fusewatch
from tests.watched_site import SECOND_NS, happened, watched_deployment

NOW_S = 1_700_000_400
NAMES = {"snapshot.jpg", "explained.jpg", "sound.wav"}
TOKEN = "a-token-nobody-guesses"


@pytest.fixture
def site(tmp_path: Path) -> Deployment:
    return watched_deployment(tmp_path)


@pytest.fixture
def sealed(site: Deployment) -> list[Event]:
    """An event with sealed evidence."""
    life = happened(site, NOW_S - 60)
    store = fusion_store(site)
    store.commit(Commit(seals={life[0].id: seal(evidence_folder(site) / life[0].id)}))
    store.close()
    return life


def standings(site: Deployment, capsys: pytest.CaptureFixture[str], code: int) -> dict[str, str]:
    capsys.readouterr()
    assert fusewatch("events", "verify", site.data, "--json") == code
    (told,) = json.loads(capsys.readouterr().out)
    return {file["name"]: file["standing"] for file in told["files"]}


def test_evidence_that_is_as_it_was_is_good(site, sealed, capsys):
    assert standings(site, capsys, 0) == dict.fromkeys({*NAMES, MANIFEST}, "good")


@pytest.mark.parametrize(
    ("done", "shows"),
    [
        (lambda f: (f / "sound.wav").write_bytes(b"other"), {"sound.wav": "altered"}),
        (lambda f: (f / "sound.wav").unlink(), {"sound.wav": "missing"}),
        (lambda f: (f / "more.jpg").write_bytes(b""), {"more.jpg": "added"}),
        (lambda f: seal(f, {"cam": {"why": 1}}), {MANIFEST: "altered"}),
        (lambda f: (f / MANIFEST).write_bytes(b"{"), {MANIFEST: "altered"}),
        (lambda f: (f / MANIFEST).unlink(), {MANIFEST: "missing"}),
    ],
)
def test_what_was_done_to_evidence_afterwards_shows(done, shows, site, sealed, capsys):
    done(evidence_folder(site) / sealed[0].id)
    found = standings(site, capsys, 1)
    assert {name: how for name, how in found.items() if how != "good"} == shows


def test_a_manifest_written_anew_with_the_altered_file_shows_in_its_digest(site, sealed, capsys):
    folder = evidence_folder(site) / sealed[0].id
    (folder / "sound.wav").write_bytes(b"other")
    seal(folder)
    assert standings(site, capsys, 1)[MANIFEST] == "altered"


def test_evidence_that_was_never_sealed_is_told_so_and_is_no_fault(site, capsys):
    happened(site, NOW_S - 60)
    assert standings(site, capsys, 0) == {MANIFEST: "not sealed"}


def test_a_file_that_an_event_names_and_nobody_sealed_is_missing_unless_it_is_under_way(
    site, capsys
):
    folder = evidence_folder(site) / happened(site, NOW_S - 60)[0].id
    (folder / "sound.wav").unlink()
    assert standings(site, capsys, 1) == {MANIFEST: "not sealed", "sound.wav": "missing"}
    (folder / ".clip").write_bytes(b"{}")
    assert standings(site, capsys, 0) == {MANIFEST: "not sealed"}


def test_what_retention_removed_is_expired_and_what_went_before_its_time_is_missing(
    site, tmp_path, capsys
):
    config = tmp_path / "site.yaml"
    config.write_text(config.read_text() + "retention: {evidence: 2d}\n")
    now_s = time.time_ns() // SECOND_NS
    store = fusion_store(site)
    for age_d, code, told in ((1, 1, "missing"), (3, 0, "expired")):
        life = happened(site, now_s - age_d * 86_400)
        folder = evidence_folder(site) / life[0].id
        store.commit(Commit(seals={life[0].id: seal(folder)}))
        for file in (*folder.iterdir(), folder):
            file.rmdir() if file.is_dir() else file.unlink()
        capsys.readouterr()
        assert fusewatch("events", "verify", config, life[0].id[:8]) == code
        assert told in capsys.readouterr().out
    store.close()


def test_of_two_digests_of_one_event_the_first_is_kept_and_goes_with_the_event(tmp_path):
    store = FusionStore(tmp_path / "fusion.db")
    store.commit(Commit(seals={"a": "first", "b": "other"}))
    store.commit(Commit(seals={"a": "second"}))
    assert store.seals() == {"a": "first", "b": "other"}
    EventStock(store.database).remove(["a"])
    assert store.seals() == {"b": "other"}
    store.close()


def test_a_forgotten_event_leaves_no_evidence_and_no_digest(site, sealed):
    assert fusewatch("events", "forget", site.data, sealed[0].id, "--yes") == 0
    assert not (evidence_folder(site) / sealed[0].id).exists()
    store = fusion_store(site)
    assert store.seals() == {}
    store.close()
    assert fusewatch("events", "verify", site.data) == 0


def test_an_export_is_a_zip_of_all_files_and_phases(site, sealed, tmp_path, capsys):
    (evidence_folder(site) / sealed[0].id / ".material").write_bytes(b"under way")
    out = tmp_path / "out.zip"
    assert fusewatch("events", "export", site.data, sealed[0].id[:8], "--to", out) == 0
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {*NAMES, MANIFEST, PHASES}
        phases = json.loads(archive.read(PHASES))
        archive.extractall(tmp_path / sealed[0].id)
    assert [phase["revision"] for phase in phases] == [0, 1, 2]
    (tmp_path / sealed[0].id / PHASES).unlink()
    store = fusion_store(site)
    digest = store.seals()[sealed[0].id]
    store.close()
    again = check(tmp_path / sealed[0].id, digest)
    assert {one.standing for one in again} == {Standing.GOOD}


def test_a_zip_comes_in_pieces_no_larger_than_what_is_read_at_once(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(bytes(5 * 2**20))
    pieces = list(zip_of(tmp_path, []))
    assert max(map(len, pieces)) < 1.1 * 2**20
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.read("clip.mp4") == bytes(5 * 2**20)


def test_an_export_that_cannot_be_written_leaves_nothing(site, sealed, tmp_path, capsys):
    assert fusewatch("events", "export", site.data, sealed[0].id, "--to", tmp_path / "no/o.zip")
    assert "cannot be written" in capsys.readouterr().err


def test_the_page_gives_everything_of_an_event_to_those_who_may_see_it(site, sealed):
    clock = ManualClock(NOW_S * SECOND_NS)
    records, feed = Records(site, clock), LiveFeed(site.data)
    desk = Desk(site, Access(TOKEN, clock), records, feed, False, ("page.test",))
    with TestClient(build_app(desk), base_url="http://page.test") as client:
        path = f"/api/events/{sealed[0].id}/bundle.zip"
        assert client.get(path).status_code == 401
        client.headers["authorization"] = f"Bearer {TOKEN}"
        assert client.get("/api/events/nothing/bundle.zip").status_code == 404
        answer = client.get(path)
    feed.close()
    records.close()
    assert answer.headers["content-disposition"] == f'attachment; filename="{sealed[0].id}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert set(archive.namelist()) == {*NAMES, MANIFEST, PHASES}
