"""The probe of containers: yes or no, and why, from a node's run file and its pages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.health import Health, HealthServer
from nodes.probe import NO, USAGE, YES, run
from nodes.run_files import RunFile, write_run_file


@pytest.fixture
def health(tmp_path: Path) -> Iterator[Health]:
    health = Health()
    server = HealthServer("127.0.0.1:0", health)
    told(tmp_path, "hall", server.start())
    yield health
    server.close()


def told(data: Path, name: str, port: int | None, pid: int = os.getpid()) -> None:
    write_run_file(data / "run" / f"{name}.json", RunFile(name, pid, port, 0))


def asked(*arguments: str | Path) -> int:
    return run([str(argument) for argument in arguments])


def test_a_node_that_lives_and_is_ready(tmp_path: Path, health: Health) -> None:
    health.ready("node", True)
    assert [asked(page, tmp_path, "hall") for page in ("livez", "readyz")] == [YES, YES]
    assert asked("livez", tmp_path) == YES


def test_what_is_wrong_is_told(
    tmp_path: Path, health: Health, capsys: pytest.CaptureFixture[str]
) -> None:
    health.ready("camera", False, "lost")
    health.ready("link", True)
    assert asked("readyz", tmp_path, "hall") == NO
    assert capsys.readouterr().out == "hall: camera: lost\n"
    assert asked("livez", tmp_path, "hall") == YES, "not ready is no reason to start it again"


def test_only_the_checks_that_are_named_count(
    tmp_path: Path, health: Health, capsys: pytest.CaptureFixture[str]
) -> None:
    health.ready("scenes", True)
    health.ready("capture nodes", False, "hall")
    assert asked("readyz", tmp_path, "hall", "scenes") == YES
    assert asked("readyz", tmp_path, "hall", "scenes", "capture nodes") == NO
    assert asked("readyz", tmp_path, "hall", "scene") == NO
    assert capsys.readouterr().out.splitlines()[-1] == "hall: scene: not told"


def test_one_that_does_not_answer_or_has_not_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked("livez", tmp_path, "hall") == asked("livez", tmp_path) == NO
    told(tmp_path, "hall", 1)
    assert asked("livez", tmp_path, "hall") == NO
    assert "hall: no answer on port 1:" in capsys.readouterr().out


def test_of_all_that_run_one_that_is_gone_does_not_count(tmp_path: Path, health: Health) -> None:
    told(tmp_path, "gone", 1, pid=2**22 + 1)
    assert asked("livez", tmp_path) == YES
    assert asked("livez", tmp_path, "gone") == NO, "its process may be one of another container"


def test_a_node_whose_pages_are_off_is_taken_to_be_well(tmp_path: Path) -> None:
    told(tmp_path, "hall", None)
    assert asked("readyz", tmp_path, "hall") == YES


@pytest.mark.parametrize("typed", [(), ("livez",), ("healthz", "/")])
def test_wrong_usage(typed: tuple[str, ...]) -> None:
    assert asked(*typed) == USAGE


def test_it_starts_without_any_library_but_pythons() -> None:
    code = "import sys, nodes.probe; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    foreign = set(said.stdout.split()) - sys.stdlib_module_names - {"nodes"}
    assert {name for name in foreign if not name.startswith(("_", "sitecustomize"))} == set()
