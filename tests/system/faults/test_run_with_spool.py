"""``fusewatch run`` with a spool switched on in the deployment file; its fusion node stands still.

For longer than the capture node waits before it takes the link for lost.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.demo import read_events
from nodes.replay import replay
from nodes.run_files import read_run_files
from pipeline.config import load_deployment
from pipeline.core.arrival import LedgerReport, SampleArrived
from pipeline.recording.merge import read_many
from tests.requirements import require_module
from tests.system.ports import free_port
from tests.system.spool_site import (
    ROOT,
    SECOND_NS,
    SPEED,
    START_NS,
    seconds_of,
    told,
    write_recording,
)
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SPAN_S = 400, 900  # of the seventeen minutes
FIRST_BYTES = 2_000
END_S = 120.0
DEPLOYMENT = """
name: spool-run
data: data
nodes:
  hall:
    http: null
    spool: {{after_s: 0}}
    sources:
      - {{type: recording, paths: [hall.mcap], streams: [hall-a, hall-b], speed: {speed}}}
scenes:
  hall: {{streams: [hall-a, hall-b], sync_watch: {{enabled: false}}}}
fusion: {{listen: "tcp://127.0.0.1:{fusion}", record: {{folder: recordings}}, http: null}}
alert:
  listen: tcp://127.0.0.1:{alert}
  http: null
  sinks: [{{type: jsonl, path: events.jsonl}}]
"""


class Run:
    """``fusewatch run`` of the deployment in a folder, from entry to exit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_recording(folder / "hall.mcap", "hall", *SPAN_S)
        self.config = folder / "run.yaml"
        ports = {"fusion": free_port(), "alert": free_port()}
        self.config.write_text(DEPLOYMENT.format(speed=SPEED, **ports))

    def __enter__(self) -> Run:
        with (self.folder / "log.txt").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "nodes.cli", "run", str(self.config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(END_S)

    def wait_for(self, condition: Callable[[], object]) -> None:
        wait_until(lambda: condition() or self.process.poll() is not None, END_S)
        assert self.process.poll() is None, self.said()

    def pid(self, name: str) -> int:
        return next(f.pid for f in read_run_files(self.folder / "data") if f.name == name)

    def recordings(self) -> list[Path]:
        return sorted((self.folder / "recordings").glob("*.mcap"))

    def said(self) -> str:
        return (self.folder / "log.txt").read_text()


def test_a_fusion_node_that_stood_still_costs_no_sample_and_no_event(tmp_path: Path) -> None:
    require_module("torch")
    with Run(tmp_path) as run:
        run.wait_for(lambda: any((run.folder / "data/spool/hall").glob("*.spool")))
        run.wait_for(lambda: any(path.stat().st_size > FIRST_BYTES for path in run.recordings()))
        os.kill(run.pid("fusion"), signal.SIGSTOP)
        run.wait_for(lambda: "link lost" in run.said())
        os.kill(run.pid("fusion"), signal.SIGCONT)
        assert run.process.wait(END_S) == 0, run.said()
    arrivals = list(read_many(run.recordings()))
    for sensor in "ab":
        stream = f"hall-{sensor}"
        stamps = {
            a.sample.timestamp_ns
            for a in arrivals
            if isinstance(a, SampleArrived) and a.sample.stream == stream
        }
        wanted = [START_NS + round(at_s * SECOND_NS) for at_s in seconds_of(sensor, *SPAN_S)]
        assert sorted(stamps) == wanted
        account = [a for a in arrivals if isinstance(a, LedgerReport) and a.node == "hall"][-1]
        books = account.accounts[stream]
        assert (books.delivered, books.spooled, books.dropped) == (len(wanted), 0, {})
    assert list((tmp_path / "data" / "spool" / "hall").glob("*.spool")) == []
    undisturbed = replay([tmp_path / "hall.mcap"], load_deployment(run.config))
    expected = told(undisturbed.events, "hall")
    assert len(expected) == 2
    assert told(read_events(tmp_path / "events.jsonl"), "hall") == expected
