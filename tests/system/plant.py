"""A plant of several scenes in real processes, to which things happen all at once.

One ``fusewatch run`` watches scenes that see the same: the toy site, each by devices of its own
(`tests.system.toy_devices`), and some with devices on real servers: a camera on RTSP with sound, a
microphone, meters on an MQTT broker. So one scene can be disturbed and compared with one that was
not in the same minute. The system clock of the whole machine can be set as well: every process of
the deployment reads it with what `Plant.set_clock` adds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Self

from nodes.demo import read_events
from nodes.run_files import read_run_files
from nodes.runner import CLOCK_OFFSET
from pipeline.core.arrival import LedgerReport, SampleArrived
from pipeline.core.clock import NodeClock
from pipeline.core.event import Event
from pipeline.core.ledger import StreamAccount
from pipeline.core.sample import Sample
from pipeline.models.checkpoint import save_model
from pipeline.models.scene_model import SceneModel
from pipeline.recording.merge import read_many
from tests.media_files import tone
from tests.system import stepped_clock, toy_devices
from tests.system.home_site import Watched
from tests.system.meters import Meters
from tests.system.mosquitto import Mosquitto
from tests.system.ports import free_port
from tests.system.pulse import SoundServer
from tests.system.rtsp import RtspServer, write_flash_and_beep
from tests.system.toy_devices import Story
from tests.system.witnesses import on_clock
from tests.toy_site import HOP_NS, commissioned
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
SECOND_NS = 1_000_000_000
START_S, END_S = 120.0, 90.0
KINDS = ("cam", "mic", "plc")
SOUND_HZ = 16_000

CONFIG = """
name: plant
data: data
nodes:
  calm:
    sources: [{{type: toy, place: calm, story: story.json}}]
  gate:
    sources:
      - {{type: toy_camera, stream: cam-gate, device: {camera}, story: story.json, stall_s: 120}}
      - {{type: toy, place: gate, kinds: [mic, plc], story: story.json}}
  press:
    sources:
      - {{type: toy, place: press, kinds: [cam, mic], story: story.json}}
      - {{type: toy_apart, place: press, kinds: [plc], story: story.json, hang: hang}}
  shed:
    sources: [{{type: toy, place: shed, story: story.json, plug: power}}]
    spool: {{after_s: 0}}
  yard:
    sources:
      - {{type: media, url: "{camera_url}", video: cam-yard, audio: mic-yard}}
      - {{type: microphone, stream: mic-porch, device: pulse, hz: {hz}}}
      - type: mqtt
        host: 127.0.0.1
        port: {broker}
        streams:
          - {{name: boiler, topic: boiler, rate_hz: 4, channels: [{{name: bar}}]}}
          - name: meter
            topic: meter
            rate_hz: 4
            channels: [{{name: kwh}}]
            time: {{path: t, unit: s}}
scenes:
{scenes}
  street: {{streams: [cam-yard, mic-yard], {sight}}}
  porch: {{streams: [mic-porch], {sight}}}
  cellar: {{streams: [boiler, meter], {sight}}}
streams:
  boiler: {{max_gap_s: 1}}
  meter: {{max_gap_s: 1}}
fusion:
  listen: tcp://127.0.0.1:{fusion}
  record: {{folder: recordings}}
alert:
  listen: tcp://127.0.0.1:{alert}
  sinks: [{{type: jsonl, path: events.jsonl}}]
"""
SIGHT = "latency_s: 2, sight: {after_s: 4, clear_after_s: 2, startup_s: 120}"
SCENE = (
    "  {place}: {{streams: [{streams}], model: {place}.model, alarm: {{budget: 6/hour}}, {sight}}}"
)
TOYS = ("calm", "gate", "press", "shed")


@dataclass(frozen=True)
class Told:
    """What a run of the plant left behind.

    Attributes:
        events: All events at the sink, in order.
        accounts: The last word of each node on its streams.
        samples: Samples that reached the fusion node, by stream.
        begin_ns: Site time at which the story began.
        log: What all processes wrote.
        camera: Device node of the gate's camera.
        config: The deployment file.
        recordings: What the fusion node recorded.
    """

    events: list[Event]
    accounts: Mapping[str, StreamAccount]
    samples: Mapping[str, list[Sample]]
    begin_ns: int
    log: str
    camera: Path
    config: Path
    recordings: list[Path]

    def at_s(self, time_ns: int) -> float:
        """Seconds since the story began."""
        return (time_ns - self.begin_ns) / SECOND_NS

    def of(self, scene: str, *, health: bool) -> list[Event]:
        """Events of one scene: of its equipment, or of what it sees."""
        return [e for e in self.events if e.scene == scene and e.health == health]


class Plant:
    """The plant, running from entry to exit.

    Args:
        folder: For everything; empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watched = Watched(folder / "data")
        self._opened = ExitStack()
        self._clock = NodeClock()
        self._begin_ns = 0
        (folder / "sound").mkdir()
        self.hang, self.power = folder / "hang", folder / "power"
        self.street = RtspServer(write_flash_and_beep(folder / "clip.mkv", 90))
        self.broker = Mosquitto(folder / "broker")
        self.sound = SoundServer(folder / "sound")
        self._devices = Path(mkdtemp(dir="/dev/shm"))  # device nodes are looked for under /dev
        self.camera = self._devices / "video0"
        self.meters: Meters | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            for server in (self.street, self.broker, self.sound):
                opened.enter_context(server)
            opened.callback(rmtree, self._devices)
            self.play()
            self.meters = opened.enter_context(Meters(self.broker.port))
            self.camera.touch()
            self.power.touch()
            self._write()
            opened.callback(self._kill)
            self._start()
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def play(self) -> None:
        """Play a tone to the microphone for longer than the plant runs."""
        self.sound.play(tone(SOUND_HZ, 120, 440.0), SOUND_HZ)

    def set_clock(self, ahead_s: float) -> None:
        """Set the system clock: so far ahead of what it really is."""
        (self.folder / "clock").write_text(str(round(ahead_s * SECOND_NS)))

    def begin(
        self, hops: int, wrong: Mapping[str, tuple[int, int]], empty: tuple[int, int]
    ) -> None:
        """Let the story begin on the grid of the windows."""
        site_ns, _ = on_clock(0, self._clock)  # site time less monotonic time
        soon_ns = time.monotonic_ns() + site_ns + SECOND_NS
        self._begin_ns = -(-soon_ns // HOP_NS) * HOP_NS
        Story(self._begin_ns - site_ns, hops, wrong, empty).write(self.folder / "story.json")

    def wait_for(self, seconds: float) -> None:
        """Wait until the story is so old."""
        left_ns = self._begin_ns + seconds * SECOND_NS - self._clock.now_ns()
        time.sleep(max(0.0, left_ns / SECOND_NS))

    def kill(self, process: str) -> None:
        """SIGKILL one process of the deployment."""
        os.kill(self.watched.files()[process].pid, signal.SIGKILL)

    def end(self) -> Told:
        """Stop everything in order and see what it left.

        Raises:
            AssertionError: It did not end well.
        """
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(END_S)
        if code:
            raise AssertionError(f"fusewatch run ended with {code}:\n{self._log}")
        recordings = sorted((self.folder / "recordings").glob("*.mcap"))
        accounts: dict[str, StreamAccount] = {}
        samples: dict[str, list[Sample]] = {}
        for arrival in read_many(recordings):
            if isinstance(arrival, LedgerReport):
                accounts.update(arrival.accounts)
            elif isinstance(arrival, SampleArrived):
                sample = arrival.sample
                samples.setdefault(sample.stream, []).append(replace(sample, data=b""))
        events = read_events(self.folder / "events.jsonl")
        where = self.camera, self.folder / "plant.yaml", recordings
        return Told(events, accounts, samples, self._begin_ns, self._log, *where)

    @property
    def _log(self) -> str:
        return (self.folder / "log.txt").read_text()

    def _write(self) -> None:
        scenes = [
            SCENE.format(place=p, streams=", ".join(f"{k}-{p}" for k in KINDS), sight=SIGHT)
            for p in TOYS
        ]
        text = CONFIG.format(
            camera=self.camera,
            camera_url=self.street.url,
            hz=SOUND_HZ,
            broker=self.broker.port,
            scenes="\n".join(scenes),
            sight=SIGHT,
            fusion=free_port(),
            alert=free_port(),
        )
        (self.folder / "plant.yaml").write_text(text)
        for place in TOYS:
            save_model(model_of(place), self.folder / f"{place}.model")
        toy_devices.unpack(self.folder / "plugins")
        stepped_clock.unpack(self.folder / "plugins")

    def _start(self) -> None:
        path = os.pathsep.join((str(self.folder / "plugins"), str(ROOT)))
        surroundings = {
            **os.environ,
            **self.sound.environment,
            "PYTHONPATH": path,
            CLOCK_OFFSET: str(self._clock.offset_ns),
            stepped_clock.VARIABLE: str(self.folder / "clock"),
        }
        command = [sys.executable, "-P", "-m", "nodes.cli", "run", str(self.folder / "plant.yaml")]
        with (self.folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                command, env=surroundings, stdout=log, stderr=log, cwd=self.folder
            )
        wait_until(lambda: self._is_up() or self._process.poll() is not None, START_S)
        if self._process.poll() is not None:
            raise AssertionError(f"fusewatch run ended:\n{self._log}")

    def _is_up(self) -> bool:
        names = {"fusion", "alert", *(f"capture-{p}" for p in (*TOYS, "yard"))}
        if not names <= {file.name for file in read_run_files(self.folder / "data")}:
            return False
        return all(self.watched.page(name, "/readyz")[0] == 200 for name in names)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def model_of(place: str) -> SceneModel:
    """The model of the toy site for the scene of a place."""
    learnt = commissioned()[0]
    streams = tuple(
        replace(s, info=replace(s.info, name=f"{s.info.name}-{place}")) for s in learnt.streams
    )
    return replace(learnt, scene=place, streams=streams)
