"""Real processes: cameras of 1280 pixels sent 320 wide, and events that are shown in full or not.

One capture node stays; its event is fetched in full. The other is killed when all of its small
pictures are in its spool and none is delivered: its next life delivers them, but what it kept of
the full ones died with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import av
import pytest

from nodes.places import fusion_store
from nodes.replay import replay
from nodes.spool_report import look_at
from pipeline.config import load_deployment
from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.event import Event, Phase
from pipeline.core.jpeg import jpeg_size
from pipeline.detection.full_frames import read_note
from pipeline.models.checkpoint import save_model
from pipeline.recording.merge import read_many
from tests.crash.world import plain
from tests.system import wide_camera
from tests.system.ports import free_port
from tests.system.wide_camera import HIGH, HOPS, SMALL, WIDE
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(500)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 150.0
NODE = """\
  {name}:
    spool: {{after_s: 0}}
    sources: [{{type: wide, stream: cam-{name}, hops: {hops}}}]
"""
SCENE = """\
  {name}:
    streams: [cam-{name}]
    model: {name}.model
    alarm: {{budget: 12/hour, clear_after_s: 1}}
"""
DEPLOYMENT = """
name: wide
data: data
nodes:
{nodes}
streams:
  cam-stays: {{small: {{width: {small}}}}}
  cam-dies: {{small: {{width: {small}}}}}
scenes:
{scenes}
fusion:
  listen: tcp://127.0.0.1:{port}
  device: cpu
  evidence_s: 1
  full_wait_s: 90
  record: {{folder: recordings}}
"""


def write(folder: Path, file: str, port: int, hops: dict[str, int]) -> Path:
    nodes = "".join(NODE.format(name=name, hops=count) for name, count in hops.items())
    scenes = "".join(SCENE.format(name=name) for name in hops)
    text = DEPLOYMENT.format(nodes=nodes, scenes=scenes, port=port, small=SMALL)
    (folder / file).write_text(text)
    return folder / file


def start(config: Path, *command: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join((str(config.parent / "plugins"), str(ROOT)))
    with (config.parent / f"said-{command[-1]}.txt").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "nodes.cli", command[0], str(config), *command[1:]],
            stdout=out,
            stderr=out,
            env={**os.environ, "PYTHONPATH": path},
            cwd=config.parent,
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder after both events are over, recorded and shown."""
    folder = tmp_path_factory.mktemp("wide")
    wide_camera.unpack(folder / "plugins")
    for name in ("stays", "dies"):
        save_model(wide_camera.model_of(name, f"cam-{name}"), folder / f"{name}.model")
    both = {"stays": HOPS, "dies": HOPS}
    alone = write(folder, "alone.yaml", free_port(), both)  # nobody is there
    config = write(folder, "site.yaml", free_port(), {**both, "dies": 0})
    with ExitStack() as running:

        def begin(file: Path, *command: str) -> subprocess.Popen[bytes]:
            process = start(file, *command)
            running.callback(process.wait)
            running.callback(process.send_signal, signal.SIGKILL)
            return process

        fusion = begin(config, "fusion")
        first = begin(alone, "capture", "--node", "dies")
        wait_until(lambda: spooled(folder) == 3 * HOPS, PATIENCE_S)
        first.kill()
        first.wait()
        begin(config, "capture", "--node", "dies")
        begin(config, "capture", "--node", "stays")
        wait_until(lambda: len(list(folder.rglob("clip.mp4"))) == 2, PATIENCE_S)
        fusion.terminate()
        assert fusion.wait(PATIENCE_S) == 0
    sys.path.append(str(folder / "plugins"))
    yield folder
    sys.path.remove(str(folder / "plugins"))


def spooled(folder: Path) -> int:
    report = look_at("dies", folder / "data" / "spool" / "dies")
    return sum(line.samples for line in report.streams)


def events_of(site: Path, scene: str) -> list[Event]:
    with closing(fusion_store(load_deployment(site / "site.yaml"), create=False)) as store:
        return [e for e in store.events(scene, all_phases=True) if not e.health]


def shown(site: Path, scene: str) -> tuple[set[tuple[int, int] | None], set[tuple[int, int]]]:
    """Sizes of the pictures of a scene's event, and of the frames of its clip."""
    cleared = next(e for e in events_of(site, scene) if e.phase is Phase.CLEARED)
    evidence, folder = cleared.evidence, site / "data" / "evidence"
    pictures = {
        jpeg_size((folder / n).read_bytes()) for n in (evidence.snapshot, evidence.explained)
    }
    with av.open(str(folder / evidence.clip)) as clip:
        return pictures, {(f.height, f.width) for f in clip.decode(video=0)}


def test_an_event_of_a_camera_that_is_sent_small_is_shown_in_full(site: Path) -> None:
    assert shown(site, "stays") == ({(HIGH, WIDE)}, {(HIGH, WIDE)})
    note = read_note(site / "data" / "evidence" / events_of(site, "stays")[0].id)
    assert note is not None
    assert (note.small, note.note) == (0, "")
    assert note.full > 20


def test_one_whose_node_was_killed_meanwhile_is_shown_small_and_says_so(site: Path) -> None:
    small = (HIGH * SMALL // WIDE, SMALL)
    assert shown(site, "dies") == ({small}, {small})
    note = read_note(site / "data" / "evidence" / events_of(site, "dies")[0].id)
    assert note is not None
    assert note.full == 0
    assert note.note == (
        f"{note.small} of {note.small} pictures are small ones: capture node dies keeps none"
    )


def test_small_pictures_are_recorded_and_a_replay_tells_the_same_events(site: Path) -> None:
    recordings = sorted(site.glob("recordings/*.mcap"))
    sizes = set()
    for arrival in read_many(recordings):
        if isinstance(arrival, StreamOpened):
            sizes.add(arrival.info.shape[:2])
        elif isinstance(arrival, SampleArrived):
            sizes.add(arrival.sample.data.shape[:2])  # type: ignore[union-attr]
    assert sizes == {(HIGH * SMALL // WIDE, SMALL)}
    replayed = replay(recordings, load_deployment(site / "site.yaml"))
    again = [event for event in replayed.events if not event.health]
    for scene in ("stays", "dies"):
        told = events_of(site, scene)
        assert {e.phase for e in told} >= {Phase.RAISED, Phase.CLEARED}
        assert [plain(e) for e in again if e.scene == scene] == [plain(e) for e in told]
