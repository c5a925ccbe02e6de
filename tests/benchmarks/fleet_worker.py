"""The fusion worker that a simulated fleet loads, and what it costs.

``python -m tests.benchmarks.fleet_worker ARGUMENT...`` is ``fusewatch ARGUMENT...`` with its stages
timed; a line on its standard input makes it print what they took. A stage's time is processor
time of the node's main thread, without what stages inside it took.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from nodes.runner import CLOCK_OFFSET
from tests.benchmarks.edge import cpu_s, status
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
START_S = 400.0
STAGES = ("receive", "align", "score", "judge", "commit", "tell", "rest")
"""What a worker does: takes messages in and grants credit; prepares samples and cuts windows;
scores them; alarms, health and states; the store and acks; metrics and views; everything else."""

COMMITS = "commits"


# In the worker's process.


class Stages:
    """Processor time by stage, seconds, of the thread that calls; commits and windows scored."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.commits = self.windows = 0
        self._inside: list[float] = []

    def wrap(self, owner: Any, name: str, stage: str) -> None:
        """Time a method, without the wrapped ones that it calls."""
        plain: Callable[..., Any] = getattr(owner, name)

        @wraps(plain)
        def timed(*arguments: Any, **named: Any) -> Any:
            self._inside.append(0.0)
            began = time.thread_time()
            try:
                given = plain(*arguments, **named)
                self.windows += len(given) if stage == "score" else 0
                return given
            finally:
                took = time.thread_time() - began
                self.spent[stage] += took - self._inside.pop()
                self.commits += stage == "commit" and name == "commit"
                if self._inside:
                    self._inside[-1] += took

        setattr(owner, name, timed)


def watched(stages: Stages) -> None:
    """Time the stages of every fusion node of this process."""
    from nodes.committing import Committing
    from nodes.fusion import FusionNode
    from nodes.fusion_metrics import FusionMetrics
    from nodes.fusion_report import FusionReport
    from nodes.live_view import LiveView
    from pipeline.detection.engine import Engine
    from pipeline.detection.scorer import Scorer
    from pipeline.store import FusionStore
    from pipeline.transport.receiver import Receiver

    stages.wrap(FusionNode, "step", "rest")
    stages.wrap(Receiver, "poll", "receive")
    stages.wrap(Engine, "take", "align")
    stages.wrap(Engine, "advance", "align")
    stages.wrap(Scorer, "score", "score")
    stages.wrap(Engine, "collect", "judge")
    stages.wrap(Engine, "newly_released", "commit")
    stages.wrap(Committing, "commit", "commit")
    stages.wrap(FusionStore, "commit", "commit")
    stages.wrap(FusionReport, "look", "tell")
    stages.wrap(FusionMetrics, "turn", "tell")
    stages.wrap(FusionMetrics, "scoring", "tell")
    stages.wrap(LiveView, "show", "tell")


def work(arguments: Sequence[str]) -> None:
    """Run the command with its stages timed."""
    from nodes.cli import main

    stages = Stages()
    watched(stages)

    def say() -> None:
        for _ in sys.stdin:
            print(json.dumps({**stages.spent, COMMITS: stages.commits}), flush=True)

    threading.Thread(target=say, daemon=True).start()
    sys.argv = ["fusewatch", *arguments]
    main()


# In the benchmark's process.


class Worker:
    """A fusion worker in a process of its own.

    Args:
        config: Its deployment file.
        data: Its data folder.
        offset_ns: Of the fleet's clock, which is its own as well.
        name: Of its process, as in its run file.
        more: Arguments behind the file, such as its group.
    """

    def __init__(
        self,
        config: Path,
        data: Path,
        offset_ns: int,
        name: str = "fusion",
        more: Sequence[str] = (),
    ) -> None:
        self._run_file = data / "run" / f"{name}.json"
        self._log = config.with_name(f"{name}.log")
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        command = [sys.executable, "-m", "tests.benchmarks.fleet_worker"]
        began = time.monotonic()
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "fusion", str(config), *more],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env={
                    **os.environ,
                    "PYTHONPATH": path,
                    "FUSEWATCH_LOG_FORMAT": "json",
                    CLOCK_OFFSET: str(offset_ns),
                },
            )
        try:
            wait_until(self._is_there, START_S)
        except BaseException:
            self.process.kill()
            raise
        self.start_s = time.monotonic() - began
        self.start_cpu_s = self.cpu_s()
        self._http = json.loads(self._run_file.read_bytes())["http"]

    def cpu_s(self) -> float:
        """Processor seconds of all its threads so far."""
        return cpu_s(self.process.pid)

    def resident_mb(self) -> float:
        """Resident memory."""
        return status(self.process.pid)["VmRSS"]

    def stages(self) -> dict[str, float]:
        """Processor seconds of each stage so far; and how many transactions, as `COMMITS`."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the worker was started without pipes")
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told: dict[str, float] = json.loads(self.process.stdout.readline())
        return told

    def metrics(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """What it says of itself: value by sample name and labels."""
        found: defaultdict[str, dict[tuple[tuple[str, str], ...], float]] = defaultdict(dict)
        with urllib.request.urlopen(f"http://127.0.0.1:{self._http}/metrics", timeout=60) as page:
            text = page.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
        return found

    def stop(self) -> None:
        """End it in order."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(START_S)
        finally:
            self.process.kill()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()

    def _is_there(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the worker ended: {self._log.read_text()[-2000:]}")
        return self._run_file.exists()


Labelled = Mapping[tuple[tuple[str, str], ...], float]
"""Values of one metric by its labels."""


def ages_s(readings: Sequence[tuple[Labelled, Labelled]]) -> list[tuple[float, float]]:
    """Ages of windows between two readings of each worker's buckets.

    Returns:
        Upper end of each bucket, seconds, and how many windows were at most so old.
    """
    counts: defaultdict[float, float] = defaultdict(float)
    for before, after in readings:
        for labels, count in after.items():
            counts[float(dict(labels)["le"])] += count - before.get(labels, 0.0)
    return sorted(counts.items())


def quantile_s(ages: Sequence[tuple[float, float]], share: float) -> float:
    """The age that a share of the windows does not exceed, as if even within a bucket."""
    wanted = share * ages[-1][1] if ages else 0.0
    low_s = low = 0.0
    for high_s, high in ages:
        if high >= wanted and high > low:
            if high_s == float("inf"):
                return high_s
            return low_s + (high_s - low_s) * (wanted - low) / (high - low)
        low_s, low = high_s, high
    return float("nan")


if __name__ == "__main__":
    work(sys.argv[1:])
