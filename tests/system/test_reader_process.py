"""A reader in a process of its own: killed, hanging, crashing, orphaned, overrun, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
import structlog

from pipeline.core.clock import NodeClock
from pipeline.core.ledger import DropReason
from pipeline.sources.base import SOURCES
from pipeline.sources.runner import SourceRunner, SourceState
from tests.outlets import KeptOutlet
from tests.system.hanging_plugin import unpack
from tests.waiting import wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    path = unpack(tmp_path / "site")
    monkeypatch.syspath_prepend(str(path))
    monkeypatch.setenv("PYTHONPATH", str(path))
    return SOURCES.settings("unruly")


@pytest.fixture
def run(plugin, tmp_path):
    runners = []

    def start(outlet=None, **more):
        outlet = outlet or KeptOutlet()
        runner = SourceRunner("u", plugin(folder=tmp_path, **more), NodeClock(), outlet)
        runner.start()
        runners.append(runner)
        return runner, outlet

    yield start
    for runner in runners:
        assert runner.stop(5.0)


def has_come_back(outlet):
    return len(outlet.of("u", 1)) >= 5


def test_samples_come_whole_and_in_order_on_the_nodes_time(run):
    _, outlet = run(frame_bytes=300_000)
    wait_until(lambda: len(outlet.kept) >= 60)
    now_ns = NodeClock().now_ns()
    samples = list(outlet.kept)
    values = [int(s.data[0, 0, 0]) for s in samples]
    assert values == [n % 251 for n in range(1, len(values) + 1)]
    assert all((s.data == v).all() for s, v in zip(samples, values, strict=True))
    stamps = np.array([s.timestamp_ns for s in samples])
    assert np.all(np.diff(stamps) > 0)
    assert 0 < now_ns - stamps[-1] < 10_000_000_000
    assert not outlet.refusals


@pytest.mark.parametrize("how", ["hang", "hang_with_the_interpreter_locked"])
def test_a_read_that_hangs_is_found_in_time_and_replaced(run, how):
    runner, outlet = run(once=how)
    wait_until(lambda: len(outlet.kept) >= 10)
    hung = runner.status.pid
    begun = time.monotonic()
    wait_until(lambda: runner.status.stalls == 1)
    assert time.monotonic() - begun < 6.0  # 4 s is the limit; the rest is for a busy machine
    wait_until(lambda: not psutil.pid_exists(hung))
    wait_until(lambda: has_come_back(outlet))
    assert "read() did not return" in runner.status.last_error


def test_a_killed_reader_is_replaced_and_the_reason_told(run):
    runner, outlet = run()
    wait_until(lambda: len(outlet.kept) >= 5)
    os.kill(runner.status.pid, signal.SIGKILL)
    wait_until(lambda: has_come_back(outlet))
    assert "killed by SIGKILL" in runner.status.last_error
    assert (runner.status.restarts, runner.status.stalls) == (1, 0)


def test_a_crash_in_foreign_code_is_survived(run):
    runner, outlet = run(once="crash")
    wait_until(lambda: has_come_back(outlet))
    assert "killed by SIGSEGV" in runner.status.last_error


def test_an_unexpected_error_is_told_by_its_last_words(run):
    runner, outlet = run(once="fail")
    wait_until(lambda: has_come_back(outlet))
    assert "exit code 1: ZeroDivisionError: a fault of the plug-in" in runner.status.last_error


def test_a_slow_node_gets_the_newest_and_every_dropped_sample_is_counted(run, tmp_path):
    outlet, go_on = KeptOutlet(), threading.Event()
    outlet.on_samples = lambda samples: go_on.wait(60)
    runner, _ = run(outlet, frame_bytes=3_000_000, period_s=0.001, limit=200)
    wait_until((tmp_path / "done").exists)
    go_on.set()
    wait_until(lambda: outlet.has_ended)
    values = [int(s.data[0, 0, 0]) for s in outlet.kept]
    assert all((s.data == v).all() for s, v in zip(outlet.kept, values, strict=True))
    assert values == sorted(values)
    assert values[-1] == 200
    dropped = outlet.refusals["u", DropReason.READER_OVERRUN]
    assert dropped + len(values) == 200
    assert dropped > 150
    assert runner.status.restarts == 0


def test_a_slow_node_gets_the_end_of_a_source_once(run):
    outlet = KeptOutlet()
    outlet.on_samples = lambda samples: time.sleep(0.05)
    runner, _ = run(outlet, frame_bytes=300_000, period_s=0.001, limit=80)
    wait_until(lambda: outlet.has_ended)
    assert [int(s.data[0, 0, 0]) for s in outlet.kept] == list(range(1, 81))
    assert runner.status.restarts == 0


def test_secrets_reach_the_reader_but_never_its_command_line(run, tmp_path):
    _, outlet = run(secret="geheim")
    wait_until(lambda: outlet.kept)
    assert (tmp_path / "secret").read_text() == "geheim"
    assert b"geheim" not in (tmp_path / "argv").read_bytes()


def test_warnings_of_the_reader_are_warnings_of_the_node(run):
    with structlog.testing.capture_logs() as logs:
        run()
        wait_until(lambda: [e for e in logs if e["log_level"] == "warning"])
        wait_until(lambda: [e for e in logs if "libraries print" in e.get("text", "")])
    (warning,) = [e for e in logs if e["log_level"] == "warning"]
    assert warning["event"] == "the unruly one is here"
    assert (warning["source"], warning["mood"]) == ("u", "bad")


def test_stopping_is_prompt_and_leaves_no_process(run):
    runner, outlet = run()
    wait_until(lambda: len(outlet.kept) >= 5)
    pid, begun = runner.status.pid, time.monotonic()
    assert runner.stop(5.0)
    assert time.monotonic() - begun < 3.0
    assert not psutil.pid_exists(pid)
    assert runner.status.state is SourceState.STOPPED


def test_a_reader_that_hangs_does_not_hold_up_the_stop(run):
    runner, outlet = run(once="hang")
    wait_until(lambda: len(outlet.kept) >= 10)
    pid = runner.status.pid
    assert runner.stop(3.0)
    assert not psutil.pid_exists(pid)


ORPHAN = """
import sys, threading
from pathlib import Path
from pipeline.core.clock import NodeClock
from pipeline.sources.base import SOURCES
from pipeline.sources.runner import SourceRunner
from tests.outlets import KeptOutlet
outlet = KeptOutlet()
outlet.on_samples = lambda samples: print("reader", runner.status.pid, flush=True)
settings = SOURCES.settings("unruly")(folder=Path(sys.argv[1]), once=sys.argv[2])
runner = SourceRunner("u", settings, NodeClock(), outlet)
runner.start()
threading.Event().wait()
"""


@pytest.mark.parametrize("how", ["", "hang_with_the_interpreter_locked"])
def test_a_reader_dies_with_its_node(plugin, tmp_path, how):
    root = str(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], root])}
    node = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(tmp_path), how],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    said = (line.split() for line in node.stdout)
    pids = (int(words[1]) for words in said if words[0] == "reader")
    pid = [next(pids) for _ in range(10)][-1]
    node.kill()
    node.wait()
    node.stdout.close()
    wait_until(lambda: not psutil.pid_exists(pid) or is_dead(pid))


def is_dead(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
