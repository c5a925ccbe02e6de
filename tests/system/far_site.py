"""A deployment of several machines with bad lines between them and clocks that disagree.

Each machine is a network namespace: one runs ``fusewatch fusion``, each other one capture node
with a camera or a microphone (`tests.system.witnesses`), a clock of its own and a line of its
own to the fusion node. Links are encrypted, as between any machines. Site time is the clock of
the fusion node, whose distance from the monotonic clock is chosen here and so known.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from nodes.runner import CLOCK_OFFSET, PARENT_PIPE
from pipeline.core.clock import NodeClock
from pipeline.transport.key_store import KeyStore, Role
from tests.system import witnesses
from tests.system.line_queue import Way
from tests.system.lines import Line, Machine
from tests.system.witnesses import SECOND_NS, Crystal, Script, on_clock
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
PORT = 7710
START_S, END_S = 90.0, 60.0
FIRST_S = 2.0
BETWEEN_S = (0.8, 1.7)

HEAD = """
name: far-site
data: data
fusion:
  listen: tcp://0.0.0.0:{port}
  record: {{folder: recordings}}
security: {{keys: keys}}
nodes:
"""
NODE = """\
  {name}:
    fusion: tcp://{address}:{port}
    sources:
      - type: witness_{witness}
        stream: {name}
        script: script.json
        crystal: {name}.crystal
        slow_ppm: {slow_ppm}
        jitter_ms: {jitter_ms}
        seed: {seed}
"""
SCENE = "  {name}: {{streams: {streams}, latency_s: 5}}\n"


@dataclass(frozen=True, slots=True)
class Place:
    """A machine with a capture node.

    Attributes:
        witness: What it has; its stream has the name of the place.
        there: Its line to the fusion node.
        back: The line from the fusion node.
        ahead_s: How far its clock is ahead, seconds.
        fast_ppm: By how much its clock runs too fast, parts per million.
        slow_ppm: By how much its camera or microphone runs too slowly.
        jitter_ms: Jitter of their stamps, either way.
        cut_off: Whether its line is cut from the start until `FarSite.begin`.
    """

    witness: Literal["camera", "microphone"]
    there: Way
    back: Way
    ahead_s: float = 0.0
    fast_ppm: float = 0.0
    slow_ppm: float = 0.0
    jitter_ms: float = 1.0
    cut_off: bool = False


class FarSite:
    """The machines, running from entry to exit.

    Args:
        folder: For everything; empty.
        places: Machines with a capture node, by name.
        scenes: Which of them watch the same, by name of the scene.

    Attributes:
        config: The deployment file.
        plugins: Folder that belongs on ``PYTHONPATH`` wherever the deployment is read.
        site_ns: Site time less monotonic time.
        script: What happened.
        lines: Line of each place, near end there.
    """

    def __init__(
        self, folder: Path, places: Mapping[str, Place], scenes: Mapping[str, Sequence[str]]
    ) -> None:
        self.folder = folder
        self.config = folder / "far-site.yaml"
        self.plugins = folder / "plugins"
        self._clock = NodeClock()
        self.site_ns, _ = on_clock(0, self._clock)
        self.script = Script((), 0)
        self.lines: dict[str, Line] = {}
        self._places = places
        self._scenes = scenes
        self._opened = ExitStack()
        self._machines: dict[str, Machine] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._crystals: dict[str, Crystal] = {}

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._lay(opened)
            self._write()
            opened.callback(self._kill)
            self._start_all(opened)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def begin(self, seconds: float) -> None:
        """Mend lines that are cut, and let it flash and beep for so long."""
        for line in self.lines.values():
            line.mend()
        begin_ns = time.monotonic_ns() + round(FIRST_S * SECOND_NS)
        random = np.random.default_rng(len(self._places))
        steps_s = np.cumsum(random.uniform(*BETWEEN_S, round(seconds)))
        moments_ns = [begin_ns + round(s * SECOND_NS) for s in steps_s if s < seconds]
        self.script = Script(tuple(moments_ns), begin_ns + round((seconds + 1) * SECOND_NS))
        self.script.write(self.folder / "script.json")

    def end(self) -> Path:
        """Wait until all is over and delivered, and end everything in order; the recording.

        Raises:
            AssertionError: A node did not end well.
        """
        left_s = max(0.0, (self.script.end_ns - time.monotonic_ns()) / SECOND_NS)
        for name in self._places:
            self._end(name, left_s + END_S)
        self._running["fusion"].send_signal(signal.SIGTERM)
        self._end("fusion", END_S)
        (recording,) = (self.folder / "recordings").glob("*.mcap")
        return recording

    def over_ns(self, name: str, sequence: int) -> int:
        """Site time at which a frame or chunk of a place was over."""
        return self._crystals[name].begin_ns(sequence + 1) + self.site_ns

    def true_ns(self, name: str, sequence: int) -> int:
        """Site time that the stamp of a frame or chunk of a place should have."""
        is_frame = self._places[name].witness == "camera"  # stamped when it is over
        return self.over_ns(name, sequence if is_frame else sequence - 1)

    def log(self, name: str) -> str:
        """What a node wrote."""
        return (self.folder / f"{name}.log").read_text()

    def _lay(self, opened: ExitStack) -> None:
        for name in ("fusion", *self._places):
            self._machines[name] = opened.enter_context(Machine(name))
        for number, (name, place) in enumerate(self._places.items()):
            ends = self._machines[name], self._machines["fusion"]
            line = self.lines[name] = Line(number, *ends, place.there, place.back)
            if place.cut_off:
                line.cut()
            opened.enter_context(line)

    def _write(self) -> None:
        text = HEAD.format(port=PORT)
        for seed, (name, place) in enumerate(self._places.items()):
            text += NODE.format(
                name=name,
                address=self.lines[name].far_address,
                port=PORT,
                witness=place.witness,
                slow_ppm=place.slow_ppm,
                jitter_ms=place.jitter_ms,
                seed=seed,
            )
        text += "scenes:\n"
        for name, streams in self._scenes.items():
            text += SCENE.format(name=name, streams=f"[{', '.join(streams)}]")
        self.config.write_text(text)
        witnesses.unpack(self.plugins)
        keys = KeyStore(self.folder / "keys")
        keys.create("fusion", Role.FUSION)
        for name in self._places:
            keys.create(name, Role.CAPTURE)

    def _start_all(self, opened: ExitStack) -> None:
        """Start the nodes, which end when this process does; wait until all are at work."""
        heard, kept = os.pipe()
        opened.callback(os.close, heard)
        opened.callback(os.close, kept)
        path = os.pathsep.join((str(ROOT), str(self.plugins)))
        surroundings = {**os.environ, "PYTHONPATH": path, PARENT_PIPE: str(heard)}
        command = ("-m", "nodes.cli", "fusion", str(self.config))
        self._start(
            "fusion", command, {**surroundings, CLOCK_OFFSET: str(self._clock.offset_ns)}, heard
        )
        self._await("fusion", self.folder / "data" / "run" / "fusion.json")
        for name, place in self._places.items():
            clock = (str(place.ahead_s), str(place.fast_ppm))
            command = ("-m", "tests.system.shifted_node", str(self.config), name, *clock)
            self._start(name, command, surroundings, heard)
        for name in self._places:
            self._crystals[name] = Crystal.read(self._await(name, self.folder / f"{name}.crystal"))

    def _start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], pipe: int
    ) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                self._machines[name].command(sys.executable, "-P", *command),
                env=environment,
                pass_fds=(pipe,),
                stdout=log,
                stderr=log,
            )

    def _await(self, name: str, file: Path) -> Path:
        """Wait for a file that a node writes, no longer than it lives; the file."""
        node = self._running[name]
        wait_until(lambda: file.exists() or node.poll() is not None, START_S)
        if node.poll() is not None:
            raise AssertionError(f"{name} ended with {node.returncode}:\n{self.log(name)}")
        return file

    def _end(self, name: str, deadline_s: float) -> None:
        code = self._running[name].wait(deadline_s)
        if code:
            raise AssertionError(f"{name} ended with {code}:\n{self.log(name)}")

    def _kill(self) -> None:
        for node in self._running.values():
            node.kill()
            node.wait()
