"""Capture nodes with spools on machines of their own, and one fusion node, over lines to be cut.

Each node plays the same seventeen minutes of two sensors at `SPEED` times real time (by hand,
``FUSEWATCH_FAULT_SPEED=1``: in real time, from now on); the second lacks forty seconds, which the
fusion node tells as an event. A node that nothing happens to is the undisturbed run that the
others are compared with. The nodes are in network namespaces; what they run is the command line.

That a node is gone is told by the fusion node's own clock, and its return is seen by the stamps
of what it sends, which are of another time here. So it is told later than any cut lasts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np

from nodes.places import fusion_store
from nodes.runner import PARENT_PIPE
from nodes.spool_report import look_at
from pipeline.config import load_deployment
from pipeline.core.arrival import Arrival, SampleArrived, StreamOpened
from pipeline.core.event import Event
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording.merge import read_many
from pipeline.recording.writer import RecordingWriter
from tests.system.lines import Line, Machine
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
PORT = 7712
SPEED = float(os.environ.get("FUSEWATCH_FAULT_SPEED", "75"))
RATE_HZ = 2
SECONDS = 17 * 60
LACKS_S = (650, 690)
SECOND_NS = 1_000_000_000
REAL = SPEED == 1
START_NS = time.time_ns() // SECOND_NS * SECOND_NS if REAL else 1_767_261_600 * SECOND_NS
"""In real time it is now; else 2026-01-01T10:00:00Z."""
START_S, END_S = 90.0, 90.0 + SECONDS / SPEED

HEAD = """
name: spool-site
data: data
fusion:
  listen: tcp://0.0.0.0:{port}
  record: {{folder: recordings}}
  http: null
security: {{curve: "off"}}
nodes:
"""
NODE = """\
  {name}:
    http: null
    fusion: tcp://{address}:{port}
    {spool}
    sources:
      - type: recording
        paths: [{file}]
        streams: [{name}-a, {name}-b]
        speed: {speed}
"""
SCENE = """\
  {name}:
    streams: [{name}-a, {name}-b]
    sync_watch: {{enabled: false}}
    sight: {{after_s: 30, startup_s: 300}}
"""


def seconds_of(sensor: str, first_s: int = 0, end_s: int = SECONDS) -> list[float]:
    """When a sensor was read, within a span."""
    times = [number / RATE_HZ for number in range(RATE_HZ * first_s, RATE_HZ * end_s)]
    return times if sensor == "a" else [t for t in times if not LACKS_S[0] <= t < LACKS_S[1]]


def write_recording(path: Path, name: str, first_s: int = 0, end_s: int = SECONDS) -> None:
    """What a node plays: a span of the seventeen minutes."""
    readings = [(t, sensor) for sensor in "ab" for t in seconds_of(sensor, first_s, end_s)]
    with RecordingWriter(path, deployment="spool-site") as writer:
        for sensor in "ab":
            info = StreamInfo(f"{name}-{sensor}", Modality.SENSOR, RATE_HZ, (2,), "float64")
            writer.write(StreamOpened(START_NS + first_s * SECOND_NS, name, info))
        for number, (at_s, sensor) in enumerate(sorted(readings)):
            stamp_ns = START_NS + round(at_s * SECOND_NS)
            data = np.array([number % 7, at_s])
            sample = Sample(f"{name}-{sensor}", number, stamp_ns, data, Encoding.FLOAT)
            writer.write(SampleArrived(stamp_ns, name, sample))


def told(events: list[Event], scene: str) -> list[tuple[object, ...]]:
    """What the events of a scene say that began in the seventeen minutes, in order.

    But for its name and the ledger's figures, and that no word of a node comes.
    """
    return [
        (e.phase, e.start_ns, e.end_ns, e.severity, e.summary.replace(scene, "SCENE"))
        for e in events
        if e.scene == scene and not e.alarm.startswith("node:")
        if START_NS <= e.start_ns < START_NS + SECONDS * SECOND_NS
    ]


class SpoolSite:
    """The machines, and the processes on them, from entry to exit.

    Args:
        folder: For everything; empty.
        spools: Settings of each node's spool, as YAML; empty: what they are by themselves.

    Attributes:
        lines: Line of each node.
    """

    def __init__(self, folder: Path, spools: Mapping[str, str]) -> None:
        self.folder = folder
        self.config = folder / "site.yaml"
        self.lines: dict[str, Line] = {}
        self._spools = spools
        self._machines: dict[str, Machine] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            names = ("fusion", *self._spools)
            self._machines = {name: opened.enter_context(Machine(name)) for name in names}
            for number, name in enumerate(self._spools):
                line = Line(number, self._machines[name], self._machines["fusion"])
                self.lines[name] = opened.enter_context(line)
            for name in self._spools:
                write_recording(self.folder / f"{name}.mcap", name)
            self.write(self.config)
            heard, kept = os.pipe()
            opened.callback(os.close, heard)
            opened.callback(os.close, kept)
            self._pipe = heard
            opened.callback(self._kill)
            self.start("fusion", "fusion", str(self.config))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def write(self, path: Path, files: str = "", speed: str = str(SPEED)) -> Path:
        """Write a deployment file; which files are played, and how fast, may be another."""
        text = HEAD.format(port=PORT)
        for name, spool in self._spools.items():
            text += NODE.format(
                name=name,
                address=self.lines[name].far_address,
                port=PORT,
                spool=spool and f"spool: {spool}",
                file=f"{files}{name}.mcap",
                speed=speed,
            )
        path.write_text(text + "scenes:\n" + "".join(SCENE.format(name=n) for n in self._spools))
        return path

    def start(self, name: str, *arguments: str) -> None:
        """Start ``fusewatch ARGUMENTS`` on a node's machine."""
        surroundings = {**os.environ, "PYTHONPATH": str(ROOT), PARENT_PIPE: str(self._pipe)}
        command = (sys.executable, "-P", "-m", "nodes.cli", *arguments)
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._machines[name].command(*command),
                env=surroundings,
                pass_fds=(self._pipe,),
                stdout=log,
                stderr=log,
            )

    def wait_for(
        self, name: str, condition: Callable[[], bool], deadline_s: float = START_S
    ) -> None:
        """Wait for a condition, no longer than a process lives."""
        process = self._running[name]
        wait_until(lambda: condition() or process.poll() is not None, deadline_s)
        assert process.poll() is None, self.log(name)

    def kill(self, name: str) -> None:
        """SIGKILL to a node."""
        self._running[name].send_signal(signal.SIGKILL)
        assert self._running[name].wait() == -signal.SIGKILL

    def end(self, *names: str) -> None:
        """Wait until nodes have ended by themselves, all delivered."""
        for name in names:
            assert self._running[name].wait(END_S) == 0, self.log(name)

    def spooled(self, name: str) -> int:
        """Samples that lie on a node's disk."""
        report = look_at(name, self.folder / "data" / "spool" / name)
        return sum(line.samples for line in report.streams)

    def recorded(self) -> list[Arrival]:
        """What the fusion node recorded so far."""
        files = sorted((self.folder / "recordings").glob("*.mcap"))
        return list(read_many(files)) if files else []

    def events(self) -> list[Event]:
        """All events, in order."""
        store = fusion_store(load_deployment(self.config), create=False)
        try:
            return store.events(all_phases=True)
        finally:
            store.close()

    def log(self, name: str) -> str:
        """What a node wrote."""
        return (self.folder / f"{name}.log").read_text()

    def _kill(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()
