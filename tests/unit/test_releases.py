"""Files of every release are opened by this fusewatch, or refused in words, and left alone."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from pipeline import __version__
from pipeline.core.errors import FusewatchError, ModelFileError, RecordingError, TransportError
from pipeline.recording import layout
from pipeline.recording.reader import Recording
from pipeline.recording.repair import repair
from pipeline.recording.writer import RecordingWriter
from pipeline.store import FusionStore
from pipeline.transport import protocol, spool_version
from pipeline.transport.protocol import Hello
from pipeline.transport.registry import Registry
from pipeline.transport.spool_repair import read_folder, repair_folder
from tests.golden import release_site as site
from tests.golden.release import EXPECTED, READ, RELEASES, read, releases, unpack
from tests.spool_samples import Writer, open_spool, sequences
from tests.unit import recordings

REFUSED: dict[tuple[str, str], str] = {}
"""Parts of releases that are no longer read, ``(release, part)``, and the words of the refusal."""

CASES = [(release, part) for release in releases() for part in READ]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Callable[[Path], Path]:
    """A release's files, unpacked for one test after the other: they are only read."""
    made: dict[str, Path] = {}

    def get(release: Path) -> Path:
        name = release.name
        if name not in made:
            made[name] = unpack(release, tmp_path_factory.mktemp("releases") / name)
        return made[name]

    return get


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the latest release's files."""
    return unpack(releases()[-1], tmp_path / "release")


def same(told: Any, expected: Any) -> bool:
    """Whether all that is expected is told; a later version may tell fields more.

    Of a score, what other machines' arithmetic makes of it counts as the same.
    """
    if isinstance(expected, list):
        return len(told) == len(expected) and all(map(same, told, expected))
    if isinstance(expected, dict):
        return all(name in told and same(told[name], one) for name, one in expected.items())
    if isinstance(expected, float):
        return told == pytest.approx(expected, rel=0.05, abs=0.02)
    return told == expected


@pytest.mark.parametrize(("release", "part"), CASES, ids=lambda of: getattr(of, "name", of))
def test_what_a_release_wrote_is_read_as_it_read_it(unpacked, release: Path, part: str) -> None:
    if words := REFUSED.get((release.name, part)):
        with pytest.raises(FusewatchError, match=words):
            READ[part](unpacked(release))
        return
    told = json.loads(msgspec.json.encode(READ[part](unpacked(release))))
    expected = json.loads((release / EXPECTED).read_text())[part]
    assert same(told, expected), json.dumps(told, indent=1)


def test_this_version_has_its_files_and_they_are_small() -> None:
    here = RELEASES / __version__
    assert here in releases(), "python -m tests.golden.release"
    assert sum(p.stat().st_size for p in here.rglob("*") if p.is_file()) < 300_000


def test_the_files_show_all_that_can_be_remembered(files: Path) -> None:
    with open(files / EXPECTED) as file:
        told = json.load(file)
    assert told["states"]["events"][0][2] == "cleared", "the alarm stood when it was saved"
    store = FusionStore(files / "fusion.db")
    at = store.checkpoint("hall")
    store.close()
    assert all((at.alarm, at.scoring, at.sight, at.evidence))
    assert len(told["spool"]) == 15
    assert told["recording"]["whole"]


def test_a_model_of_before_judges_as_it_did(files: Path) -> None:
    """What later versions do otherwise is told by the files that they write."""
    from pipeline.models.checkpoint import load_model
    from pipeline.models.fusion_model import FusionModelSettings
    from pipeline.models.network_file import load_network
    from pipeline.models.settings import DetectorSettings, WorthSettings

    settings = load_model(files / "site.model").settings
    assert settings.lasting_windows == 1
    assert settings.worth == WorthSettings(odd=1.0, things=1.0)
    assert not settings.timeless_lines
    assert DetectorSettings().timeless_lines
    assert not load_network(files / "site.network").network.settings.timeless_lines
    assert FusionModelSettings().timeless_lines


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["site.model", "site.network", "site.index"])
@pytest.mark.parametrize("version", ["99", "0", ""])
def test_a_model_of_another_version_is_refused_unharmed(files, name: str, version: str) -> None:
    path = files / name
    data = path.read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"]["version"] = version
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    before = content(files)
    part = name.partition(".")[2]
    with pytest.raises(ModelFileError, match=f"of version '{version}'.*this program reads") as told:
        READ[part](files)
    assert str(path) in str(told.value)
    assert "of this version, or use the fusewatch that made it" in told.value.fix
    assert content(files) == before


@pytest.mark.parametrize("version", ["2", "0", "x"])
def test_a_recording_of_another_version_is_refused_unharmed(tmp_path, monkeypatch, version) -> None:
    path = tmp_path / "later.mcap"
    with monkeypatch.context() as later:
        later.setattr("pipeline.recording.writer.VERSION", version)
        recordings.record(path, recordings.scene(0.2, jpeg_bytes=100))
    before = content(tmp_path)
    with pytest.raises(RecordingError, match=f"of version '{version}', .* version 1") as told:
        Recording(path)
    assert str(path) in str(told.value)
    assert "newer one" in told.value.fix
    assert content(tmp_path) == before
    assert repair(path, tmp_path / "repaired.mcap").was_whole
    with pytest.raises(RecordingError, match=f"of version '{version}'"):
        Recording(tmp_path / "repaired.mcap")


def test_a_recording_from_before_versions_is_of_the_first(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "earlier.mcap"
    with monkeypatch.context() as earlier:
        earlier.setattr("pipeline.recording.writer.VERSION_KEY", "deployment")
        written = recordings.record(path, recordings.scene(0.2, jpeg_bytes=100))
    with Recording(path) as found:
        assert layout.VERSION_KEY not in found._about
        assert recordings.same(found.arrivals(), written)


def test_a_recording_says_its_version_beside_its_notes_not_among_them(tmp_path: Path) -> None:
    notes = {"place": "attic", layout.VERSION_KEY: "mine"}
    with RecordingWriter(tmp_path / "a.mcap", notes=notes) as file:
        file.flush()
    with Recording(tmp_path / "a.mcap") as found:
        assert found.notes == {"place": "attic"}


def later_spool(folder: Path) -> Path:
    """The folder as a later version may leave it: nothing in it is known here."""
    text = "fusewatch spool 2"
    folder.mkdir(exist_ok=True)
    (folder / spool_version.NAME).write_text(f"{text} {spool_version._checksum(text)}\n")
    (folder / "0000000001.one.spool").write_bytes(b"FWs2" + bytes(200))
    return folder


def test_a_spool_of_a_later_version_is_refused_by_all_and_left_unharmed(tmp_path: Path) -> None:
    folder = later_spool(tmp_path / "spool")
    before = content(folder)
    for look in (open_spool, read_folder, repair_folder):
        with pytest.raises(TransportError, match=r"spool is of version 2, .* version 1") as told:
            look(folder)
        assert str(folder) in str(told.value)
        assert "move the folder away" in told.value.fix
    assert content(folder) == before


@pytest.mark.parametrize("damage", [b"", b"\x00\xff junk", b"fusewatch spool 3 0badcafe\n"])
def test_a_spool_from_before_versions_or_with_a_damaged_one_opens(tmp_path, damage: bytes) -> None:
    spool = open_spool(tmp_path)
    Writer(spool).write(5)
    spool.close()
    version = tmp_path / spool_version.NAME
    assert version.read_text().startswith("fusewatch spool 1 ")
    version.write_bytes(damage) if damage else version.unlink()
    assert sequences(open_spool(tmp_path)) == list(range(5))


def test_a_spool_opens_on_a_disk_that_takes_no_version(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Path, "write_text", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    open_spool(tmp_path).close()


@pytest.mark.parametrize("version", [99, 0])
def test_a_hello_of_another_version_is_refused_and_says_who_is_to_be_upgraded(
    unpacked, version: int
) -> None:
    told = json.loads((unpacked(releases()[-1]) / "wire.json").read_text())
    hello = protocol.decode(bytes.fromhex(told["hello"]))
    assert isinstance(hello, Hello)
    assert Registry(10).objection(b"1", hello, 0) is None
    other = msgspec.structs.replace(hello, version=version)
    code, words = Registry(10).objection(b"1", other, 0)
    assert code is protocol.Refusal.VERSION
    assert words == f"version {version}, we speak 1: upgrade the older node"


@pytest.mark.parametrize("version", [2, 0])
@pytest.mark.parametrize("part", ["alarm", "scoring"])
def test_a_saved_state_of_another_version_is_refused(files, part: str, version: int) -> None:
    from pipeline.detection.outcome import SceneState
    from pipeline.models.checkpoint import load_model

    store = FusionStore(files / "fusion.db")
    at = store.checkpoint("hall")
    store.close()
    coder = msgspec.json if part == "alarm" else msgspec.msgpack
    body = coder.decode(getattr(at, part))
    body["version"] = version
    parts = {name: getattr(at, name) for name in ("alarm", "scoring", "sight", "evidence")}
    state = SceneState(at.next_window, **{**parts, part: coder.encode(body)})
    with pytest.raises(FusewatchError, match=f"version {version}; .* reads version 1") as told:
        site.engine(load_model(files / "site.model")).restore({"hall": state}, 0)
    assert "use the fusewatch that wrote it" in told.value.fix
    assert "hall" in told.value.where


def test_reading_a_release_leaves_its_files_as_they_are(files: Path, tmp_path: Path) -> None:
    """Models and recordings to the byte; a store or spool that is opened is one's own."""
    before = content(files)
    shutil.copytree(files, tmp_path / "again")
    read(tmp_path / "again")
    after = content(tmp_path / "again")
    kept = [name for name in before if name.startswith("site.")]
    assert kept
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
