"""Real processes, masks and sound features on: what was taken out lies in no file they leave.

First the capture node runs alone, so that everything is in its spool; then the whole deployment,
with a recording, of which evidence is made as the fusion node makes it. All files are searched:
pictures for what is under the mask, every byte for the sound, by correlation.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest
import simplejpeg

from nodes.assembly import aligner_of
from pipeline.config import load_deployment
from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.event import Phase
from pipeline.core.sample import Encoding, Modality
from pipeline.core.window import Window
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.evidence_files import EvidenceFiles
from pipeline.recording.merge import read_many
from pipeline.sources.masks import Masks
from pipeline.sources.scene import samples
from pipeline.store import Commit, FusionStore, OutboxStore
from tests.command_line import fusewatch
from tests.event_samples import event, life
from tests.system.ports import free_port
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

LIVE_S = 8.0
PIECE = 4000
DAMAGE = "spool/site/quarantine/0000000001.x.spool.1"
SIZE = 256 * 1024
DEPLOYMENT = """
name: private
data: data
nodes:
  site:
    spool: {{after_s: 0}}
    sources:
      - type: scene
        size: [320, 180]
        start: 2026-01-01T10:00:00Z
        speed: 4.0
        duration_s: {live_s}
streams:
  site-camera:
    mask:
      middle: [[0.3, 0.2], [0.8, 0.25], [0.7, 0.9], [0.35, 0.8]]
  site-microphone: {{privacy: features}}
scenes:
  site:
    streams: [site-camera, site-microphone, site-sensors]
fusion:
  listen: tcp://127.0.0.1:{fusion_port}
  record: {{folder: data/recordings}}
alert:
  listen: tcp://127.0.0.1:{alert_port}
retention: {{recordings: 1y, evidence: 2h, events: 2h}}
"""
EXPIRED = "what was said three hours ago"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Path]:
    """The folder after the capture node alone, and then everything, has run."""
    folder = tmp_path_factory.mktemp("private")
    ports = {"fusion_port": free_port(), "alert_port": free_port()}
    (folder / "site.yaml").write_text(DEPLOYMENT.format(live_s=LIVE_S, **ports))
    spool = folder / "data" / "spool" / "site"
    process = start(folder, "capture")
    try:
        wait_until(lambda: sum(f.stat().st_size for f in spool.glob("*.spool")) > SIZE, 60.0)
    finally:
        process.kill()
        process.wait()
    shutil.copytree(spool, folder / "kept")
    leave_behind(folder / "data")
    process = start(folder, "run")
    try:
        assert process.wait(120) == 0, (folder / "said-run.txt").read_text()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    make_evidence(folder)
    yield folder


def leave_behind(data: Path) -> None:
    """An event of three hours ago, in both stores and with evidence; damage of two days ago."""
    then_s = time.time() - 3 * 3600
    phases = [msgspec.structs.replace(e, summary=EXPIRED) for e in life(int(then_s), "site")]
    with closing(FusionStore(data / "fusion.db")) as fusion:
        fusion.commit(Commit(events=phases))
        fusion.forwarded([one.key for one in phases])
    with closing(OutboxStore(data / "alert.db")) as outbox:
        for one in phases:
            outbox.accept(one, [])
    for name, age_s in ((f"evidence/{phases[0].id}/sound.wav", 0), (DAMAGE, 50 * 3600)):
        file = data / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(EXPIRED)
        os.utime(file, (time.time() - age_s, time.time() - age_s))
    found = {file.name for file in files(data) if EXPIRED.encode() in file.read_bytes()}
    assert {"fusion.db", "alert.db", "sound.wav", Path(DAMAGE).name} <= found


def start(folder: Path, command: str) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parents[2])
    with (folder / f"said-{command}.txt").open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "nodes.cli", command, "site.yaml"],
            stdout=out,
            stderr=out,
            env={**os.environ, "PYTHONPATH": root},
            cwd=folder,
        )


def make_evidence(site: Path) -> None:
    """Evidence of an event in the middle of what was recorded."""
    keeper_files = EvidenceFiles(site / "data" / "evidence")
    keeper = EvidenceKeeper(5.0, keeper_files)
    scene = aligner_of(load_deployment(site / "site.yaml"), "site")
    windows: list[Window] = []
    begun = 0
    for arrival in read_many(recordings(site)):
        if isinstance(arrival, StreamOpened):
            scene.open(arrival.info)
            keeper.open(arrival)
        if isinstance(arrival, SampleArrived):
            begun += arrival.sample.sequence == 0 and arrival.sample.stream == "site-camera"
            if begun < 2:  # what the first life left; the second shows the same seconds again
                continue
            scene.push(arrival.sample)
            keeper.keep(arrival)
            windows += scene.pop_ready(arrival.arrival_ns)
    last = windows[-1]
    for number, phase in enumerate((Phase.RAISED, Phase.CLEARED)):
        keeper.attach(event(last.start_ns // 10**9, number, "site", phase), last)
    keeper_files.close()


def recordings(site: Path) -> list[Path]:
    return sorted((site / "data" / "recordings").glob("*.mcap"))


def files(site: Path) -> list[Path]:
    return [file for file in site.rglob("*") if file.is_file()]


def pictures(site: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every picture in any file: recorded, encoded by itself, in a clip, as bytes in between."""
    for arrival in read_many(recordings(site)):
        if isinstance(arrival, SampleArrived) and arrival.sample.encoding is Encoding.JPEG:
            yield "recording", simplejpeg.decode_jpeg(arrival.sample.data, colorspace="BGR")
    for file in files(site):
        if file.suffix == ".mp4":
            with av.open(str(file)) as clip:
                yield from (("clip", f.to_ndarray(format="bgr24")) for f in clip.decode(video=0))
        if file.suffix in (".jpg", ".spool") or file.name == "event.mcap":
            yield from ((file.suffix, picture) for picture in embedded(file.read_bytes()))


def embedded(data: bytes) -> Iterator[np.ndarray]:
    at = data.find(b"\xff\xd8\xff")
    while at >= 0:
        end = data.find(b"\xff\xd9", at)
        with suppress(ValueError):
            yield simplejpeg.decode_jpeg(data[at : end + 2], colorspace="BGR")
        at = data.find(b"\xff\xd8\xff", at + 1)


def truth(site: Path) -> np.ndarray:
    """What the microphone heard."""
    scene = load_deployment(site / "site.yaml").nodes["site"].sources[0]
    made = samples(scene, scene.start_ns, from_s=0.0, to_s=LIVE_S)
    return np.concatenate([s.data[:, 0] for s in made if s.stream == "site-microphone"])


def likeness(data: bytes, sound: np.ndarray) -> float:
    """Highest correlation of a quarter of a second of the sound with 16-bit numbers in `data`."""
    best = 0.0
    for shift in (0, 1):
        whole = (len(data) - shift) // 2
        if whole > PIECE:
            best = max(best, correlation(np.frombuffer(data, "<i2", whole, shift), sound))
    return best


def correlation(numbers: np.ndarray, sound: np.ndarray) -> float:
    numbers = numbers.astype(np.float64)
    size = 1 << (len(numbers) + PIECE).bit_length()
    spectrum = np.fft.rfft(numbers, size)
    sums = np.concatenate([[0.0], np.cumsum(numbers)])
    squares = np.concatenate([[0.0], np.cumsum(numbers**2)])
    mean = (sums[PIECE:] - sums[:-PIECE]) / PIECE
    energy = np.maximum(squares[PIECE:] - squares[:-PIECE] - PIECE * mean**2, 1.0)
    best = 0.0
    for start in range(0, len(sound) - PIECE, 6 * PIECE):
        part = sound[start : start + PIECE] - sound[start : start + PIECE].mean()
        found = np.fft.irfft(spectrum * np.conj(np.fft.rfft(part, size)), size)[: len(energy)]
        best = max(best, float(np.abs(found / np.sqrt(energy * (part @ part))).max()))
    return best


def test_no_picture_anywhere_shows_what_is_under_the_mask(site):
    masks = Masks(load_deployment(site / "site.yaml").stream("site-camera").mask)
    inner = masks.covered(180, 320) > 0
    for axis in (0, 1):
        inner = inner & np.roll(inner, 9, axis) & np.roll(inner, -9, axis)
    assert inner.sum() > 5000
    seen: dict[str, int] = {}
    for where, picture in pictures(site):
        assert picture[inner].max() <= 24, where
        assert picture[:, :60].mean() > 30, where
        seen[where] = seen.get(where, 0) + 1
    assert seen.keys() == {"recording", ".jpg", "clip", ".spool", ".mcap"}
    assert seen["recording"] > 40
    assert seen[".spool"] > 5


def test_no_file_holds_the_sound_and_the_search_would_find_it(site):
    sound = truth(site)
    planted = bytes(range(256)) * 8 + b"x" + sound[50_000:80_000].tobytes() + bytes(99)
    assert likeness(planted, sound) > 0.9
    for file in files(site):
        assert likeness(file.read_bytes(), sound) < 0.4, file


def test_the_sound_arrives_as_readings_and_nothing_else(site):
    mine = [
        a
        for a in read_many(recordings(site))
        if getattr(getattr(a, "info", getattr(a, "sample", None)), "name", "") == "site-microphone"
        or getattr(getattr(a, "sample", None), "stream", "") == "site-microphone"
    ]
    infos = [a.info for a in mine if isinstance(a, StreamOpened)]
    heard = [a.sample for a in mine if isinstance(a, SampleArrived)]
    assert {info.modality for info in infos} == {Modality.SENSOR}
    assert len(heard) > 4 * LIVE_S / 2
    assert {s.encoding for s in heard} == {Encoding.FLOAT}
    assert {s.data.shape for s in heard} == {(len(infos[0].channels),)}


def test_running_nodes_removed_what_had_expired_from_every_file(site):
    for file in files(site):
        assert EXPIRED.encode() not in file.read_bytes(), file
    assert fusewatch("retention", "show", site / "site.yaml") == 0


def test_evidence_has_pictures_and_no_sound(site):
    made = {file.name for file in (site / "data" / "evidence").rglob("*") if file.is_file()}
    assert made == {"snapshot.jpg", "clip.mp4", "event.mcap", "manifest.json"}
