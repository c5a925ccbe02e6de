"""The whole way, in real processes: a site is learnt, watched, alarmed on, and replayed.

The source is the synthetic site at twice real time and small size, so that the test is short;
every other part is what a deployment runs.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nodes.commission import commission_scene
from nodes.demo import read_events, same_bytes
from nodes.demo_report import final_events, match
from nodes.demo_site import record_normal, site_of, truths_of
from nodes.replay import replay, write_events
from nodes.run_files import read_run_files
from pipeline.config import load_deployment
from pipeline.core.arrival import LedgerReport
from pipeline.core.event import Phase
from pipeline.core.ledger import missing
from pipeline.recording.merge import read_many
from pipeline.store import FusionStore
from tests.command_line import fusewatch
from tests.system.ports import free_port

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

LIVE_S = 40.0
NORMAL_S = 180.0
START_DEADLINE_S = 60.0
END_DEADLINE_S = 120.0

DEPLOYMENT = """
name: whole-way
data: .
nodes:
  site:
    sources:
      - type: scene
        size: [320, 180]
        start: 2026-01-01T10:00:00Z
        speed: 2.0
        duration_s: {live_s}
        anomalies: {{every_s: 10, kinds: [V, A, S]}}
scenes:
  site:
    streams: [site-camera, site-microphone, site-sensors]
    model: {model}
    alarm: {{budget: 12/hour}}
fusion:
  listen: tcp://127.0.0.1:{fusion_port}
  record: {{folder: recordings}}
alert:
  listen: tcp://127.0.0.1:{alert_port}
  sinks:
    - {{type: jsonl, path: events.jsonl}}
"""


def write_config(folder, model):
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "deployment.yaml"
    ports = {"fusion_port": free_port(), "alert_port": free_port()}
    config.write_text(DEPLOYMENT.format(model=model, live_s=LIVE_S, **ports))
    return config


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The site's normal, recorded and commissioned once for all tests."""
    folder = tmp_path_factory.mktemp("normal")
    path = folder / "site.model"
    deployment = load_deployment(write_config(folder, path))
    normal = folder / "normal.mcap"
    record_normal(site_of(deployment), normal, -NORMAL_S, 0.0)
    commission_scene(deployment, "site", [normal], path)
    return path


class Run:
    """``fusewatch run`` of a deployment, as a user starts it."""

    def __init__(self, folder, model):
        self.folder = folder
        self.config = write_config(folder, model)
        self.deployment = load_deployment(self.config)
        self.log = (folder / "log.txt").open("wb")
        command = [sys.executable, "-P", "-m", "nodes.cli", "run", str(self.config)]
        root = str(Path(__file__).resolve().parents[2])
        environment = {**os.environ, "PYTHONPATH": root}
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env=environment, cwd=folder
        )

    def pid_of(self, name):
        return self.wait_for(
            lambda: next((f.pid for f in read_run_files(self.folder) if f.name == name), None)
        )

    def wait_for(self, found):
        deadline = time.monotonic() + START_DEADLINE_S
        while (value := found()) is None:
            assert time.monotonic() < deadline, self.said()
            assert self.process.poll() is None, self.said()
            time.sleep(0.05)
        return value

    def finish(self):
        code = self.process.wait(END_DEADLINE_S)
        self.log.close()
        assert code == 0, self.said()
        return self

    def said(self):
        return (self.folder / "log.txt").read_text()

    @property
    def recordings(self):
        return sorted((self.folder / "recordings").glob("*.mcap"))

    @property
    def events(self):
        return read_events(self.folder / "events.jsonl")

    def last_accounts(self):
        reports = [a for a in read_many(self.recordings) if isinstance(a, LedgerReport)]
        return reports[-1].accounts


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, model):
    return Run(tmp_path_factory.mktemp("undisturbed"), model).finish()


def test_anomalies_are_found_at_the_right_times_and_delivered(undisturbed):
    events = undisturbed.events
    start_ns = undisturbed.deployment.nodes["site"].sources[0].start_ns
    truths = truths_of(site_of(undisturbed.deployment), LIVE_S)
    result = match(truths, final_events(events, start_ns))
    assert result.hits >= 2, undisturbed.said()
    assert len(result.false_alarms) <= 1
    raised = [e for e in events if e.phase is Phase.RAISED]
    assert len({e.id for e in raised}) == len(raised)
    assert all(e.summary for e in raised)


def test_evidence_lies_beside_the_events(undisturbed):
    folder = undisturbed.folder / "evidence"
    cleared = [e for e in undisturbed.events if e.phase is Phase.CLEARED]
    assert cleared
    for event in cleared:
        shown = event.evidence
        for name in (shown.snapshot, shown.clip, shown.sound, shown.recording):
            assert name
            assert (folder / name).stat().st_size > 1000


def test_evidence_is_sealed_and_as_it_was(undisturbed):
    cleared = {e.id for e in undisturbed.events if e.phase is Phase.CLEARED}
    store = FusionStore(undisturbed.folder / "fusion.db", create=False)
    assert set(store.seals()) == cleared
    store.close()
    assert fusewatch("events", "verify", undisturbed.folder) == 0


def test_the_ledger_adds_up_and_nothing_was_lost(undisturbed):
    accounts = undisturbed.last_accounts()
    assert not missing(accounts)
    assert accounts["site-camera"].captured == LIVE_S * 10
    assert all(not a.dropped for a in accounts.values())


def test_a_replay_gives_the_same_events_byte_for_byte_twice(undisturbed, tmp_path):
    for name in ("first.jsonl", "second.jsonl"):
        replayed = replay(undisturbed.recordings, undisturbed.deployment)
        write_events(tmp_path / name, replayed.events)
        assert same_bytes(undisturbed.folder / "events.jsonl", tmp_path / name)


def test_a_killed_fusion_node_changes_no_event_and_loses_nothing(undisturbed, model, tmp_path):
    run = Run(tmp_path / "killed", model)
    first = run.pid_of("fusion")
    run.wait_for(lambda: run.events or None)
    os.kill(first, signal.SIGKILL)
    second = run.pid_of("fusion")
    run.finish()
    assert second != first or "killed by SIGKILL" in run.said()
    assert told(run.events) == told(undisturbed.events)
    accounts = run.last_accounts()
    assert not missing(accounts)
    assert all(not a.dropped for a in accounts.values())
    replayed = replay(run.recordings, run.deployment)
    write_events(tmp_path / "replayed.jsonl", replayed.events)
    assert same_bytes(run.folder / "events.jsonl", tmp_path / "replayed.jsonl")


def told(events):
    """What an event says, but for the ledger's figures, which depend on when they were read."""
    return [(e.key, e.phase, e.start_ns, e.end_ns, e.p, e.severity, e.summary) for e in events]
