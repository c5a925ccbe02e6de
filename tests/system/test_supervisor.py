from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from nodes.health import Health
from nodes.supervisor import (
    ALERT,
    CAPTURE,
    FUSION,
    Child,
    RestartPolicy,
    Supervisor,
    fusewatch_command,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.system

# A node that notes what happens to it in a file all children share.
NODE = """
import os, sys, threading
from pathlib import Path
from nodes.runner import RunOptions, run_node
from pipeline.core.errors import StoreError

class Node:
    def __init__(self, name, journal, mode):
        self.name, self._journal, self._mode = name, journal, mode

    def register(self, health, registry):
        pass

    def start(self):
        self._note("start")
        if self._mode == "crash":
            os._exit(3)
        if self._mode == "config":
            os._exit(78)
        if self._mode == "broken":
            raise StoreError("the disk is full", where="fusion.db", fix="free some space")

    def step(self, timeout_s):
        threading.Event().wait(timeout_s)
        return self._mode != "finish"

    def drain(self, timeout_s):
        self._note("drain")
        if self._mode == "spoilt":
            raise ValueError("cannot drain")
        if self._mode == "stubborn":
            threading.Event().wait(600)

    def close(self):
        self._note("close")

    def _note(self, what):
        with self._journal.open("a") as file:
            file.write(f"{self.name} {what}\\n")

name, journal, mode = sys.argv[1:]
options = RunOptions(Path(journal).parent, http=None, step_s=0.05)
sys.exit(run_node(Node(name, Path(journal), mode), options))
"""


class Deployment:
    """Toy children and a supervisor in a thread."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal"
        self.journal.touch()
        self._script = folder / "node.py"
        self._script.write_text(NODE)
        self.health = Health()
        self.code: int | None = None
        self.supervisor: Supervisor | None = None
        self._thread: threading.Thread | None = None
        self.logs: list[Any] = []

    def child(self, name: str, stage: int, mode: str = "run") -> Child:
        command = (sys.executable, "-P", str(self._script), name, str(self.journal), mode)
        return Child(name, command, stage)

    def start(
        self, *children: Child, limit: int = 5, drain_s: float = 20.0, first_s: float = 0.01
    ) -> Supervisor:
        self.supervisor = Supervisor(
            children,
            health=self.health,
            policy=lambda: RestartPolicy(
                limit=limit, first_s=first_s, longest_s=max(first_s, 0.05)
            ),
            drain_s=drain_s,
        )
        self._thread = threading.Thread(target=self._run, args=(self.supervisor,))
        self._thread.start()
        return self.supervisor

    def _run(self, supervisor: Supervisor) -> None:
        with structlog.testing.capture_logs() as logs:
            self.code = supervisor.run()
        self.logs = list(logs)

    def troubles(self) -> list[tuple[str, str, str]]:
        """What the supervisor said at its end: child, state, error."""
        return [
            (line["child"], line["state"], line["error"])
            for line in self.logs
            if line["event"] == "not well at the end"
        ]

    def join(self) -> int:
        if self._thread is not None:
            self._thread.join(60)
            assert not self._thread.is_alive()
        assert self.code is not None
        return self.code

    def stop(self) -> int:
        if self.supervisor is not None:
            self.supervisor.stop()
        return self.join()

    def notes(self) -> list[str]:
        return self.journal.read_text().splitlines()

    def wait_for(self, *notes: str) -> None:
        wait_until(lambda: all(note in self.notes() for note in notes))

    def wait_for_count(self, note: str, count: int) -> None:
        wait_until(lambda: self.notes().count(note) == count)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path)
    yield made
    if made.supervisor is not None and made.code is None:
        made.supervisor.stop()
        made.supervisor.stop()
        made.join()


def test_children_stop_in_order_each_drained_before_the_next(deployment: Deployment) -> None:
    deployment.start(
        deployment.child("capture", CAPTURE),
        deployment.child("fusion", FUSION),
        deployment.child("alert", ALERT),
    )
    deployment.wait_for("capture start", "fusion start", "alert start")
    assert deployment.stop() == 0
    assert deployment.notes()[3:] == [
        f"{name} {what}" for name in ("capture", "fusion", "alert") for what in ("drain", "close")
    ]


def test_a_killed_child_is_started_again_and_the_others_go_on(deployment: Deployment) -> None:
    supervisor = deployment.start(
        deployment.child("capture", CAPTURE), deployment.child("fusion", FUSION)
    )
    deployment.wait_for("capture start", "fusion start")
    first = supervisor.pids()
    os.kill(first["fusion"], signal.SIGKILL)
    wait_until(lambda: deployment.notes().count("fusion start") == 2)
    assert supervisor.pids()["capture"] == first["capture"]
    assert supervisor.pids()["fusion"] != first["fusion"]
    assert supervisor.restarts() == {"capture": 0, "fusion": 1}
    assert deployment.health.readyz()["fusion"].ok
    assert deployment.stop() == 0


def test_a_child_that_keeps_failing_is_given_up_and_reported(deployment: Deployment) -> None:
    supervisor = deployment.start(
        deployment.child("capture", CAPTURE), deployment.child("alert", ALERT, "crash"), limit=3
    )
    wait_until(lambda: supervisor.states()["alert"] == "given up")
    deployment.wait_for("capture start")
    assert deployment.notes().count("alert start") == 4
    assert supervisor.states()["capture"] == "running"
    assert deployment.health.readyz()["alert"].detail == "given up, exit code 3"
    assert not deployment.health.livez()["alert"].ok
    assert deployment.stop() == 69
    assert "capture drain" in deployment.notes()


def test_a_child_that_is_down_at_the_stop_is_told_with_its_last_error(
    deployment: Deployment,
) -> None:
    supervisor = deployment.start(
        deployment.child("capture", CAPTURE),
        deployment.child("fusion", FUSION, "broken"),
        limit=100,
        first_s=600.0,
    )
    deployment.wait_for("capture start", "fusion start")
    wait_until(lambda: supervisor.states()["fusion"] == "waiting")
    assert deployment.stop() == 69
    error = "exit code 69: fusion.db: the disk is full (free some space)"
    assert deployment.troubles() == [("fusion", "down", error)]
    assert "capture drain" in deployment.notes()


def test_a_child_in_a_crash_loop_is_told_even_while_it_is_up(deployment: Deployment) -> None:
    supervisor = deployment.start(
        deployment.child("capture", CAPTURE), deployment.child("fusion", FUSION)
    )
    deployment.wait_for_count("fusion start", 1)
    os.kill(supervisor.pids()["fusion"], signal.SIGKILL)
    deployment.wait_for_count("fusion start", 2)
    os.kill(supervisor.pids()["fusion"], signal.SIGKILL)
    deployment.wait_for_count("fusion start", 3)
    assert deployment.stop() == 69
    assert deployment.troubles() == [("fusion", "failing again and again", "killed by SIGKILL")]
    assert "fusion drain" in deployment.notes()


def test_a_child_that_fails_while_it_stops_is_told(deployment: Deployment) -> None:
    deployment.start(deployment.child("capture", CAPTURE, "spoilt"))
    deployment.wait_for("capture start")
    assert deployment.stop() == 69
    error = "exit code 70: ValueError: cannot drain"
    assert deployment.troubles() == [("capture", "failed while it stopped", error)]


def test_a_second_node_of_the_same_name_on_one_folder_is_refused(deployment: Deployment) -> None:
    supervisor = deployment.start(deployment.child("fusion", FUSION))
    deployment.wait_for("fusion start")
    pid = supervisor.pids()["fusion"]
    command = deployment.child("fusion", FUSION).command
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 69
    assert f"process {pid} runs fusion on this data folder already" in answer.stdout
    assert str(deployment.journal.parent) in answer.stdout
    assert deployment.notes() == ["fusion start"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: deployment.notes().count("fusion start") == 2)
    assert supervisor.restarts() == {"fusion": 1}
    assert deployment.stop() == 0


def test_a_wrong_configuration_is_not_tried_again(deployment: Deployment) -> None:
    deployment.start(deployment.child("capture", CAPTURE, "config"))
    assert deployment.join() == 69
    assert deployment.notes() == ["capture start"]


def test_a_program_that_is_not_there_is_given_up(deployment: Deployment) -> None:
    deployment.start(Child("capture", ("/nonexistent/program",)))
    assert deployment.join() == 69


def test_when_all_captures_have_finished_the_rest_is_drained(deployment: Deployment) -> None:
    deployment.start(
        deployment.child("capture", CAPTURE, "finish"), deployment.child("fusion", FUSION)
    )
    assert deployment.join() == 0
    assert deployment.notes()[-2:] == ["fusion drain", "fusion close"]
    assert deployment.notes().index("capture close") < deployment.notes().index("fusion drain")


def test_a_child_that_does_not_drain_is_killed(deployment: Deployment) -> None:
    deployment.start(deployment.child("capture", CAPTURE, "stubborn"), drain_s=0.5)
    deployment.wait_for("capture start")
    assert deployment.stop() == 0
    assert deployment.notes() == ["capture start", "capture drain"]


def test_a_second_request_to_stop_does_not_wait(deployment: Deployment) -> None:
    supervisor = deployment.start(deployment.child("capture", CAPTURE, "stubborn"), drain_s=600)
    deployment.wait_for("capture start")
    supervisor.stop()
    deployment.wait_for("capture drain")
    assert deployment.stop() == 0


def test_children_notice_when_the_supervisor_is_killed(
    deployment: Deployment, tmp_path: Path
) -> None:
    child = deployment.child("capture", CAPTURE)
    script = tmp_path / "supervisor.py"
    script.write_text(
        "from nodes.supervisor import Child, Supervisor\n"
        f"Supervisor([Child('capture', {child.command!r})]).run()\n"
    )
    with subprocess.Popen([sys.executable, "-P", str(script)], env=os.environ) as supervisor:
        deployment.wait_for("capture start")
        supervisor.kill()
    deployment.wait_for("capture close")
    assert deployment.notes() == ["capture start", "capture drain", "capture close"]


def test_a_terminated_supervisor_stops_its_children(deployment: Deployment, tmp_path: Path) -> None:
    child = deployment.child("capture", CAPTURE)
    script = tmp_path / "supervisor.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            from nodes.supervisor import Child, Supervisor
            sys.exit(Supervisor([Child("capture", {child.command!r})]).run())
            """
        )
    )
    with subprocess.Popen([sys.executable, "-P", str(script)], env=os.environ) as supervisor:
        deployment.wait_for("capture start")
        supervisor.terminate()
        assert supervisor.wait(60) == 0
    assert deployment.notes() == ["capture start", "capture drain", "capture close"]


def test_a_hangup_is_handed_on_to_the_children(deployment: Deployment, tmp_path: Path) -> None:
    child = deployment.child("capture", CAPTURE)
    script = tmp_path / "supervisor.py"
    script.write_text(
        "from nodes.supervisor import Child, Supervisor\n"
        f"Supervisor([Child('capture', {child.command!r})]).run()\n"
    )
    out = tmp_path / "out"
    with (
        out.open("w") as file,
        subprocess.Popen([sys.executable, "-P", str(script)], stdout=file) as supervisor,
    ):
        deployment.wait_for("capture start")
        supervisor.send_signal(signal.SIGHUP)
        wait_until(lambda: "reload is not supported" in out.read_text())
        supervisor.terminate()
    assert deployment.notes() == ["capture start", "capture drain", "capture close"]


def test_the_command_line_runs_in_a_child_from_any_folder(tmp_path: Path) -> None:
    (tmp_path / "nodes.py").write_text("raise SystemExit('the wrong nodes')")
    answer = subprocess.run(
        fusewatch_command("--version"), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.stdout.startswith("fusewatch ")
