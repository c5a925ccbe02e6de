"""One scene floods a fusion node beyond what it can do: what becomes of the other, and who says so.

Run: ``python -m tests.benchmarks.overload`` (``--streams 24`` where a machine is too fast for the
flood, ``--folder DIR`` to keep what is made). It is real: ``fusewatch fusion``, ``alert`` and
``capture`` are processes, time is the machine's. A calm scene (sensors at 10 Hz, a window each half
second) is watched for a while alone. Then the capture node of another begins, whose many streams
are looked at ten times a second, and after ``--seconds`` ends. Every half second it is asked what
``fusewatch top`` shows.

What must be, whatever the machine, is judged at the end, and the exit code is 1 if it is not so:

- The calm scene goes on: its windows are scored all the while, no older than the lag at which a
  node is behind (``lag_s``), with every window looked at.
- The hop of the flood becomes wider, that of the calm scene does not.
- That is told, as an event at the sink, in metrics and so by ``top``, before a sample is dropped.
- All that was captured is delivered, dropped for a reason that is named, or waits.
- After the flood the hop is as set again, and that is told too.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nodes.commands.top import looks
from nodes.run_files import read_run_files
from nodes.top_model import SceneStatus, Status
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.event import Event, Phase, from_json
from pipeline.detection.hop_health import ALARM
from tests.benchmarks.overload_site import CALM, FLOOD, HOP_S, TOLD, prepare

ROOT = Path(__file__).resolve().parents[2]
ALONE_S, START_S, BACK_S = 20.0, 120.0, 180.0


@dataclass(slots=True)
class Seen:
    """What was seen at one look.

    Attributes:
        at_s: Seconds after the flood began.
        status: What ``fusewatch top`` shows.
        told: What the sink was told by then of scenes that are looked at less often.
    """

    at_s: float
    status: Status
    told: Sequence[Event]

    def scene(self, name: str) -> SceneStatus:
        """One of the scenes."""
        return next(one for one in self.status.scenes if one.scene == name)

    def times(self, scene: str) -> int:
        """How many times as wide as set the hop of a scene is."""
        return self.scene(scene).hop_times or 1

    @property
    def dropped(self) -> int:
        """Samples given up so far, of all streams."""
        return sum(sum(one.dropped.values()) for one in self.status.streams)

    @property
    def unexplained(self) -> int:
        """Samples that nothing explains."""
        return sum(one.unexplained or 0 for one in self.status.streams)


@dataclass(slots=True)
class Run:
    """What there was to see.

    Attributes:
        ended_s: How long the flood went on, seconds.
        lag_s: Behind is a node in which what arrived waits longer.
        seen: The looks, in order.
    """

    lag_s: float
    ended_s: float = 0.0
    seen: list[Seen] = field(default_factory=list)


def watch(config: Path, seconds: float) -> Run:
    """Run it: the calm scene alone, the flood for so long, and until all is as it was."""
    deployment = load_deployment(config)
    with ExitStack() as opened:
        for words in (("alert",), ("fusion",), ("capture", "--node", CALM)):
            opened.enter_context(_node(config, *words))
        _wait_for(deployment, {"alert", "fusion", f"capture-{CALM}"})
        shown = ((one, _told(config.parent / TOLD)) for one in looks(deployment, (), 0.5))
        began = time.monotonic() + ALONE_S
        found = Run(deployment.fusion.overload.lag_s)
        _look(shown, found, began, began)
        with _node(config, "capture", "--node", FLOOD):
            _look(shown, found, began, began + seconds)
        found.ended_s = time.monotonic() - began
        _look(shown, found, began, time.monotonic() + BACK_S, until_back=True)
    return found


@contextmanager
def _node(config: Path, *words: str) -> Iterator[None]:
    """A node of the deployment, as a user starts it, until it is no longer wanted."""
    command = [sys.executable, "-P", "-m", "nodes.cli", words[0], str(config), *words[1:]]
    known = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    with (config.parent / f"{'-'.join(words).replace('---', '-')}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": known}
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()


def _wait_for(deployment: Deployment, wanted: set[str]) -> None:
    pause, until_s = threading.Event(), time.monotonic() + START_S
    while not wanted <= {one.name for one in read_run_files(deployment.data)}:
        if time.monotonic() > until_s:
            raise RuntimeError(f"the nodes do not start, see the logs in {deployment.data.parent}")
        pause.wait(0.2)


def _look(
    shown: Iterator[tuple[Status, Sequence[Event]]],
    run: Run,
    began: float,
    until: float,
    *,
    until_back: bool = False,
) -> None:
    """Look on until then, or until the hop is as set and nothing stands of what was told."""
    for status, told in shown:
        seen = Seen(time.monotonic() - began, status, told)
        run.seen.append(seen)
        back = seen.times(FLOOD) == 1 and (not told or told[-1].phase is Phase.CLEARED)
        if time.monotonic() > until or (until_back and back):
            return


def _told(file: Path) -> list[Event]:
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    events = [from_json(line) for line in lines if line.endswith(b"\n")]
    return [event for event in events if event.health and event.alarm == ALARM]


def problems(run: Run) -> list[str]:
    """What is not as it must be, see the module; empty when all is."""
    during = [one for one in run.seen if 0 <= one.at_s <= run.ended_s]
    if not any(one.times(FLOOD) > 1 for one in during):
        return ["the flood was none: the node kept up, or was not behind for long enough"]
    last, found = run.seen[-1], []
    oldest_s = max(one.scene(CALM).delay_s or 0.0 for one in during)
    if oldest_s > run.lag_s:
        found.append(f"windows of the calm scene were {oldest_s:.1f} s old")
    if any(one.times(CALM) > 1 for one in run.seen):
        found.append("the hop of the calm scene was widened")
    due = (during[-1].at_s - during[0].at_s) / HOP_S
    cut = (during[-1].scene(CALM).windows or 0) - (during[0].scene(CALM).windows or 0)
    if cut < 0.9 * due:
        found.append(f"{cut} windows of the calm scene, and {due:.0f} were due")
    told_s = first(run, lambda one: bool(one.told))
    dropped_s = first(run, lambda one: one.dropped > 0)
    if told_s is None or (dropped_s is not None and dropped_s < told_s):
        found.append("samples were dropped before it was told")
    if last.unexplained:
        found.append(f"{last.unexplained} samples are unaccounted for")
    if last.times(FLOOD) > 1 or not last.told or last.told[-1].phase is not Phase.CLEARED:
        found.append("the hop of the flood is still wide, or that it is not was not told")
    return found


def first(run: Run, true: Callable[[Seen], bool]) -> float | None:
    """Seconds after the flood began at which something was true first; None: it never was."""
    return next((one.at_s for one in run.seen if true(one)), None)


def tell(run: Run) -> None:
    """Print how it went, each ten seconds, and what was told."""
    print("      calm: age  waits  hop  load   flood: age  waits  hop  load   dropped")
    said = -ALONE_S - 10.0
    for one in run.seen:
        if one.at_s - said >= 10.0:
            said = one.at_s
            scenes = "  ".join(_row(one.scene(name)) for name in (CALM, FLOOD))
            print(f"{one.at_s:4.0f} s {scenes} {one.dropped:9}")
    print(f"the flood was from 0 to {run.ended_s:.0f} s")
    for number, event in enumerate(run.seen[-1].told):
        at_s = first(run, lambda one, many=number: len(one.told) > many)
        print(f"told after {at_s:.0f} s, {event.phase}: {event.summary}")
    dropped_s = first(run, lambda one: one.dropped > 0)
    print("nothing was dropped" if dropped_s is None else f"dropped first after {dropped_s:.0f} s")


def _row(scene: SceneStatus) -> str:
    """One scene at one look."""
    known = [f"{-1 if v is None else v:.1f} s" for v in (scene.delay_s, scene.waits_s)]
    return f"{known[0]:>10} {known[1]:>6} {scene.hop_times or 1:>4} {scene.load or 0:>5.0%}"


def main() -> int:
    """Run it and judge; 1 if something is not as it must be."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--streams", type=int, default=16, help="streams of the flood")
    options.add_argument("--seconds", type=float, default=90.0, help="how long it floods")
    options.add_argument("--folder", type=Path, help="where what is made is kept")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="fusewatch-overload-") as draft:
        run = watch(prepare(given.folder or Path(draft), given.streams), given.seconds)
    tell(run)
    found = problems(run)
    print("\n".join(found) if found else "all is as it must be")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
