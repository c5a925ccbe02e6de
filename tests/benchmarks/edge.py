"""What a capture node costs: processor time by stream and stage, and memory while a line is cut.

Run as ``python -m tests.benchmarks.edge [--steady 12] [--cut 30] [--back 10]``. The node is the
real one in a process of its own, with spool and link; what it reads are stand-ins for devices
(`tests.benchmarks.edge_devices`): a camera of 1280x720 at 15 frames a second and a microphone of
16 kHz, each in a process of its own as the real ones are, and 20 channels at 10 Hz. A receiver in
this process takes and acks everything, is gone for a while, and comes back. Two runs: the camera
gives Motion JPEG, which passes through; it gives raw frames, which the node makes JPEGs of.

Stages: *read* is the device's process and the hand-over from it; *encode* the codec; *de-jitter*
the stamps put on site time; *send* what the source's thread and the link's thread do to number,
keep and send; *spool* what is written to disk and read back. Time is processor time of one core
while the line is steady, in per cent of a core. *the rest* is health, metrics and the clock.

Memory is the node's resident memory: at its most while the line is steady, and over all. The limit
of GOALS is for the node without its readers, as the soak measures it; theirs stands beside it as
proportional size, which counts what they share once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

from tests.benchmarks.edge_devices import FPS, SENSOR_HZ, SOUND_HZ, STREAMS, prepare, unpack
from tests.system.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CPU_LIMIT, MEMORY_LIMIT_MB = 25.0, 180.0
STAGES = ("read", "encode", "de-jitter", "spool", "send")
LOOK_S = 0.2
START_S = 60.0

DEPLOYMENT = """
name: edge
data: data
nodes:
  site:
    spool: {{}}
    sources:
      - {{type: edge_camera, stream: camera, frames: "{frames}", jpeg: {jpeg}}}
      - {{type: edge_microphone, stream: microphone}}
      - {{type: edge_sensors, stream: sensors}}
streams:
  camera: {{jpeg_quality: 85}}
scenes:
  hall: {{streams: [camera, microphone, sensors]}}
fusion: {{listen: "tcp://127.0.0.1:{port}"}}
"""


# The node's process: the real node, its stages timed.


class Stages:
    """Processor time by stage and stream, seconds, as wrapped functions take it."""

    def __init__(self) -> None:
        self.spent: defaultdict[tuple[str, str], float] = defaultdict(float)

    def wrap(self, owner: Any, name: str, stage: str, stream: Callable[..., str]) -> None:
        """Time a function or method, by the thread it runs in."""
        plain = getattr(owner, name)

        @wraps(plain)
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return plain(*arguments, **named)
            finally:
                self.spent[stage, stream(*arguments)] += time.thread_time() - began

        setattr(owner, name, timed)


def node(config: str, orders: str) -> None:
    """Run the node; whenever a line comes on stdin, print what was spent so far."""
    import nodes.capture
    from nodes.logs import configure_logs
    from nodes.runner import RunOptions, node_clock, run_node
    from nodes.stamping import Stamper
    from pipeline.config import load
    from pipeline.transport.sender import Sender
    from pipeline.transport.spooling import Spooling

    del orders
    stages = Stages()
    stages.wrap(Stamper, "stamp", "de-jitter", lambda _, sample, *__: sample.stream)
    stages.wrap(nodes.capture, "encode_for_link", "encode", lambda sample, _: sample.stream)
    stages.wrap(Sender, "send", "send", lambda _, sample: sample.stream)
    for name in ("turn", "prepare"):
        stages.wrap(Spooling, name, "spool", lambda *_: "all")
    loaded = load(Path(config))
    configure_logs("capture-site", level="error")
    capture = nodes.capture.CaptureNode(loaded.deployment, "site", node_clock())

    def tell() -> None:
        for _ in sys.stdin:
            spent = [[stage, stream, s] for (stage, stream), s in stages.spent.items()]
            told = {"spent": spent, "threads": thread_times()}
            print(json.dumps(told), flush=True)

    threading.Thread(target=tell, daemon=True).start()
    raise SystemExit(run_node(capture, RunOptions(data=loaded.deployment.data)))


def thread_times() -> dict[str, float]:
    """Processor seconds of each thread of this process, by name and id."""
    found = {}
    names = {t.native_id: t.name for t in threading.enumerate()}
    for task in Path("/proc/self/task").iterdir():
        ran_ns = int((task / "schedstat").read_text().split()[0])
        found[f"{names.get(int(task.name), 'foreign')} {task.name}"] = ran_ns / 1e9
    return found


# This process: the receiver, and what is looked at.


@dataclass
class Memory:
    """Resident memory of the node, MB.

    Attributes:
        steady: Most while the line was steady.
        most: Most of all.
        own: Of that what no file and nothing shared is behind.
        shared: Of that what is shared with the receiver.
        readers: Proportional size of its readers, at the end of the steady time.
    """

    steady: float = 0.0
    most: float = 0.0
    own: float = 0.0
    shared: float = 0.0
    readers: float = 0.0


@dataclass
class Found:
    """What one run gave.

    Attributes:
        seconds: Length of the steady time.
        spent: Processor seconds by stage and stream in it.
        node: Processor seconds of the node's process in it.
        readers: Those of its readers, by stream.
        memory: Its memory.
        taken: Samples taken in the steady time, by stream.
        lost: Samples that never came.
    """

    seconds: float = 0.0
    spent: dict[tuple[str, str], float] = field(default_factory=dict)
    node: float = 0.0
    readers: dict[str, float] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    taken: dict[str, int] = field(default_factory=dict)
    lost: int = 0


class Site:
    """The node's process, and a receiver that takes what it sends."""

    def __init__(self, folder: Path, port: int, config: Path) -> None:
        self._port = port
        self.next_of: dict[str, int] = {}
        self.lost = 0
        self.taken: defaultdict[str, int] = defaultdict(int)
        self._resume: dict[str, int] = {}
        path = os.pathsep.join((str(ROOT), str(unpack(folder / "package"))))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.edge", "--node", str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
        )

    def receive(self, seconds: float, look: Callable[[], None], *, all_there: bool = False) -> None:
        """Take and ack what comes; with `all_there` at most until every stream has come."""
        from pipeline.core.arrival import SampleArrived
        from pipeline.core.clock import NodeClock
        from pipeline.transport.receiver import Receiver

        receiver = Receiver(
            f"tcp://127.0.0.1:{self._port}",
            clock=NodeClock(),
            resume=lambda _node, _session, _streams: dict(self._resume),
        )
        end_s = looked_s = time.monotonic()
        end_s += seconds
        while time.monotonic() < end_s and not (all_there and len(self.next_of) == len(STREAMS)):
            for item in receiver.poll(0.05):
                if isinstance(item, SampleArrived):
                    self._take(item.sample.stream, item.sample.sequence)
                    receiver.ack("site", {item.sample.stream: item.sample.sequence})
            if time.monotonic() - looked_s >= LOOK_S:
                looked_s = time.monotonic()
                look()
        receiver.close()

    def spent(self) -> dict[str, Any]:
        """What the node has spent so far."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the node was started without pipes")
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told

    def readers(self) -> dict[str, int]:
        """Processes of its readers, by stream."""
        children = Path(f"/proc/{self.process.pid}/task")
        pids = [p for task in children.iterdir() for p in (task / "children").read_text().split()]
        told = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}
        found = [pid for pid, line in told.items() if b"reader_process" in line]
        return dict(zip(STREAMS, sorted(found), strict=False))  # in the order of the sources

    def stop(self) -> None:
        """End the node in order."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()

    def _take(self, stream: str, sequence: int) -> None:
        due = self.next_of.get(stream, sequence)
        self.lost += max(0, sequence - due)
        self.next_of[stream] = max(due, sequence + 1)
        self._resume[stream] = self.next_of[stream] - 1
        self.taken[stream] += 1


def measure(folder: Path, steady_s: float, cut_s: float, back_s: float, *, jpeg: bool) -> Found:
    """One run with a camera that gives JPEG or raw frames."""
    folder.mkdir()
    port = free_port()
    config = folder / "edge.yaml"
    frames = prepare(folder)
    config.write_text(
        DEPLOYMENT.format(frames=frames, jpeg=str(jpeg).lower(), port=port), encoding="utf-8"
    )
    found, site = Found(), Site(folder, port, config)
    sizes = found.memory
    pid = site.process.pid

    def look() -> None:
        now = status(pid)
        if now["VmRSS"] > sizes.most:
            sizes.most, sizes.own, sizes.shared = now["VmRSS"], now["RssAnon"], now["RssShmem"]

    try:
        site.receive(START_S, look, all_there=True)
        site.receive(3.0, look)
        readers = site.readers()
        before, began = site.spent(), {s: cpu_s(p) for s, p in readers.items()}
        node_s, began_s, taken = cpu_s(pid), time.monotonic(), dict(site.taken)
        site.receive(steady_s, look)
        after = site.spent()
        found.node, found.seconds = cpu_s(pid) - node_s, time.monotonic() - began_s
        found.readers = {s: cpu_s(p) - began[s] for s, p in readers.items()}
        found.spent = _since(before, after)
        found.taken = {s: n - taken.get(s, 0) for s, n in site.taken.items()}
        sizes.steady = sizes.most
        sizes.readers = sum(proportional_mb(p) for p in readers.values())
        end_s = time.monotonic() + cut_s
        while time.monotonic() < end_s:  # nobody is there
            time.sleep(LOOK_S)
            look()
        site.receive(back_s, look)
    finally:
        site.stop()
    found.lost = site.lost
    return found


def _since(before: dict[str, Any], after: dict[str, Any]) -> dict[tuple[str, str], float]:
    """What was spent in between, the threads' own work told apart from the wrapped stages."""
    old = {(stage, stream): s for stage, stream, s in before["spent"]}
    spent: defaultdict[tuple[str, str], float] = defaultdict(float)
    for stage, stream, s in after["spent"]:
        spent[stage, stream] = s - old.get((stage, stream), 0.0)
    wrapped = {stream: sum(s for (_, of), s in spent.items() if of == stream) for stream in STREAMS}
    for name, whole_s in after["threads"].items():
        ran_s = whole_s - before["threads"].get(name, 0.0)
        kind, _, source = name.rpartition(" ")[0].partition(" ")
        if kind in ("source", "read", "hear"):
            stream = STREAMS[int(source.rpartition("-")[2])]
            spent["read", stream] += ran_s - (wrapped[stream] if kind == "source" else 0.0)
        elif kind == "sender":
            spent["send", "all"] += ran_s - spent["spool", "all"]
    return dict(spent)


def cpu_s(pid: int) -> float:
    """Processor seconds of all threads of a process."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def status(pid: int) -> dict[str, float]:
    """Sizes of a process, MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    parts = (line.split() for line in lines if line.startswith(("VmRSS", "Rss")))
    return {part[0].removesuffix(":"): int(part[1]) / 1024 for part in parts}


def proportional_mb(pid: int) -> float:
    """Memory of a process, what it shares divided by those that share it, MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


# What is printed.


def rows(found: Found) -> Iterator[tuple[str, list[float]]]:
    """Per cent of a core by stream: a column a stage."""
    for stream in (*STREAMS, "all"):
        read = found.readers.get(stream, 0.0)
        cells = [found.spent.get((stage, stream), 0.0) for stage in STAGES]
        cells[0] += read
        name = "shared by all" if stream == "all" else stream
        yield name, [100 * cell / found.seconds for cell in cells]


def tell(found: Found, name: str) -> None:
    """Print one run."""
    told = list(rows(found))
    stages = [sum(cells[at] for _, cells in told) for at in range(len(STAGES))]
    whole = 100 * (found.node + sum(found.readers.values())) / found.seconds
    codec = stages[STAGES.index("encode")]
    print(f"\n{name}, per cent of a core\n{'':16}" + "".join(f"{s:>11}" for s in (*STAGES, "all")))
    for stream, cells in told:
        print(f"{stream:16}" + "".join(f"{cell:11.2f}" for cell in (*cells, sum(cells))))
    print(f"{'the rest':16}{'':55}{whole - sum(stages):11.2f}")
    print(f"{'all':16}" + "".join(f"{cell:11.2f}" for cell in (*stages, whole)))
    beside = whole - codec
    print(
        f"beside the codec {beside:.1f} %: {beside / CPU_LIMIT:.2f} of the limit of {CPU_LIMIT:g} %"
    )
    wanted = dict(zip(STREAMS, (FPS, SOUND_HZ, SENSOR_HZ), strict=True))
    pace = ", ".join(
        f"{s} {n / found.seconds / wanted[s]:.3f}" for s, n in sorted(found.taken.items())
    )
    print(f"taken, of what the devices gave: {pace}; lost: {found.lost}")
    m = found.memory
    print(
        f"resident, MB: steady {m.steady:.0f}, at most {m.most:.0f} (own {m.own:.0f}, shared with "
        f"the receiver {m.shared:.0f}): {m.most / MEMORY_LIMIT_MB:.2f} of the limit of "
        f"{MEMORY_LIMIT_MB:g}; its readers beside it {m.readers:.0f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of both runs; or be the node."""
    parser = argparse.ArgumentParser(description="the cost of a capture node")
    parser.add_argument("--steady", type=float, default=12.0, help="seconds with a steady line")
    parser.add_argument("--cut", type=float, default=30.0, help="seconds without a line")
    parser.add_argument("--back", type=float, default=10.0, help="seconds after it is back")
    parser.add_argument("--node", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.node:
        node(given.node, "")
        return
    times = given.steady, given.cut, given.back
    with tempfile.TemporaryDirectory() as made:
        print("1280x720 at 15 Hz, 16 kHz, 20 channels at 10 Hz")
        tell(measure(Path(made, "jpeg"), *times, jpeg=True), "camera gives Motion JPEG")
        tell(measure(Path(made, "raw"), *times, jpeg=False), "camera gives raw frames")


if __name__ == "__main__":
    main()
