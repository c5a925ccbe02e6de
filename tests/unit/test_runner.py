from __future__ import annotations

import json
import os
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from nodes.health import Health
from nodes.run_files import RunFile, read_run_files, write_run_file
from nodes.runner import CLOCK_OFFSET, PARENT_PIPE, RunOptions, node_clock, run_node
from pipeline.core.errors import ConfigError, SourceUnavailable

Step = Callable[[], bool]


class ScriptedNode:
    """Runs one function a step and notes what is called."""

    name = "hall"

    def __init__(self, *steps: Step, then: Iterable[Step] = ()) -> None:
        self._steps: Iterator[Step] = chain(steps, then)
        self.calls: list[str] = []
        self.fail_in = ""
        self.health: Health | None = None

    def register(self, health: Health, registry: CollectorRegistry) -> None:
        self.health = health
        self._note("register")

    def start(self) -> None:
        self._note("start")

    def step(self, timeout_s: float) -> bool:
        self._note("step")
        return next(self._steps, lambda: False)()

    def drain(self, timeout_s: float) -> None:
        self._note(f"drain {timeout_s}")

    def close(self) -> None:
        self._note("close")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call == self.fail_in:
            raise SourceUnavailable("no camera", where="cam", fix="plug it in")


def more() -> bool:
    return True


def send(number: signal.Signals) -> Step:
    def step() -> bool:
        os.kill(os.getpid(), number)
        return True

    return step


@pytest.fixture
def options(tmp_path: Path) -> RunOptions:
    return RunOptions(tmp_path, drain_s=3.0)


def test_a_node_that_finishes_is_drained_and_closed(options: RunOptions) -> None:
    node = ScriptedNode(more, more)
    assert run_node(node, options) == 0
    assert node.calls == ["register", "start", "step", "step", "step", "drain 3.0", "close"]


def test_a_node_whose_parent_has_ended_is_not_started(
    options: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, kept = os.pipe()
    monkeypatch.setenv(PARENT_PIPE, str(heard))
    os.close(kept)
    node = ScriptedNode(more)
    try:
        assert run_node(node, options) == 0
    finally:
        os.close(heard)
    assert node.calls == []


def test_a_node_whose_parent_ends_is_stopped_in_order(
    options: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, kept = os.pipe()
    monkeypatch.setenv(PARENT_PIPE, str(heard))

    def parent_ends() -> bool:
        os.close(kept)
        return True

    node = ScriptedNode(parent_ends, then=repeat(more))
    try:
        assert run_node(node, options) == 0
    finally:
        os.close(heard)
    assert node.calls[-3:] == ["step", "drain 3.0", "close"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_node_in_order(options: RunOptions, number: signal.Signals) -> None:
    node = ScriptedNode(more, send(number), *[more] * 100)
    before = signal.getsignal(number)
    assert run_node(node, options) == 0
    assert node.calls[-3:] == ["step", "drain 3.0", "close"]
    assert len(node.calls) < 10
    assert signal.getsignal(number) is before


def test_a_hangup_reloads_and_a_refused_reload_changes_nothing(options: RunOptions) -> None:
    outcomes = iter([True, False])

    def reload() -> None:
        if not next(outcomes):
            raise ConfigError("typo", where="home.yaml:3")

    options.reload = reload
    node = ScriptedNode(send(signal.SIGHUP), more, send(signal.SIGHUP), more, more)
    with structlog.testing.capture_logs() as logs:
        assert run_node(node, options) == 0
    events = [line["event"] for line in logs]
    assert "reloaded" in events
    refused = next(line for line in logs if line["event"].startswith("reload refused"))
    assert refused["error"] == "home.yaml:3: typo"


def test_a_node_that_cannot_reload_says_so(options: RunOptions) -> None:
    with structlog.testing.capture_logs() as logs:
        run_node(ScriptedNode(send(signal.SIGHUP), more), options)
    assert "reload is not supported" in [line["event"] for line in logs]


def test_our_errors_end_with_their_own_exit_code_and_are_told(options: RunOptions) -> None:
    node = ScriptedNode()
    node.fail_in = "start"
    with structlog.testing.capture_logs() as logs:
        assert run_node(node, options) == 69
    assert node.calls == ["register", "start", "close"]
    assert logs[-1]["error"] == "cam: no camera (plug it in)"


def test_an_unexpected_error_ends_with_70_and_its_traceback(options: RunOptions) -> None:
    node = ScriptedNode(lambda: bool(1 // 0))
    with structlog.testing.capture_logs() as logs:
        assert run_node(node, options) == 70
    assert node.calls[-1] == "close"
    assert logs[-1]["exc_info"]


def test_an_error_in_any_thread_ends_the_process(options: RunOptions) -> None:
    def broken() -> None:
        raise RuntimeError("thread broke")

    def start_thread() -> bool:
        thread = threading.Thread(target=broken)
        thread.start()
        thread.join()
        return True

    node = ScriptedNode(start_thread, *[more] * 100)
    with structlog.testing.capture_logs():
        assert run_node(node, options) == 70
    assert node.calls[-2:] == ["step", "close"]
    assert threading.excepthook is threading.__excepthook__ or callable(threading.excepthook)


def test_while_it_runs_its_run_file_and_its_pages_are_there(options: RunOptions) -> None:
    seen: list[tuple[list[RunFile], bytes]] = []

    def look() -> bool:
        found = read_run_files(options.data)
        with urllib.request.urlopen(f"http://127.0.0.1:{found[0].http}/readyz", timeout=10) as page:
            seen.append((found, page.read()))
        return True

    assert run_node(ScriptedNode(look), options) == 0
    ((files, page),) = seen
    assert [(file.name, file.pid) for file in files] == [("hall", os.getpid())]
    assert json.loads(page)["ok"]
    assert read_run_files(options.data) == []
    assert list((options.data / "run").iterdir()) == []


def test_without_an_address_there_are_no_pages(options: RunOptions) -> None:
    options.http = None
    ports: list[int | None] = []
    node = ScriptedNode(lambda: bool(ports.extend(f.http for f in read_run_files(options.data))))
    assert run_node(node, options) == 0
    assert ports == [None]


def test_run_files_of_processes_that_are_gone_or_damaged_are_left_out(tmp_path: Path) -> None:
    write_run_file(tmp_path / "run" / "me.json", RunFile("me", os.getpid(), None, 0))
    write_run_file(tmp_path / "run" / "gone.json", RunFile("gone", 2**22 + 1, 80, 0))
    (tmp_path / "run" / "odd.json").write_text("{")
    (tmp_path / "run" / "other.json").write_text("{}")
    assert [file.name for file in read_run_files(tmp_path)] == ["me"]
    assert read_run_files(tmp_path / "nowhere") == []


def test_children_share_the_clock_of_their_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CLOCK_OFFSET, "-12345")
    assert node_clock().offset_ns == -12345
    monkeypatch.delenv(CLOCK_OFFSET)
    assert node_clock().offset_ns != -12345
