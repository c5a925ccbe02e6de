"""The deployment under load: real processes, a line that can be cut, a web address."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from nodes.run_files import read_run_files
from tests.http_receiver import HttpReceiver
from tests.soak.line import CutLine
from tests.soak.material import Ports, write_deployment
from tests.system.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S, END_S = 120.0, 180.0


class SoakSite:
    """Everything, running from entry to exit.

    Args:
        folder: For everything; empty.
        material: Where `tests.soak.material.prepare` put what it made.

    Attributes:
        data: The deployment's data folder.
        line: The line between capture node and fusion node.
    """

    def __init__(self, folder: Path, material: Path) -> None:
        self.data = folder / "data"
        self._folder = folder
        self._hook = HttpReceiver()
        self._refusing = False
        self._opened = ExitStack()
        self._material = material
        self._run: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._hook.answer = lambda _count: 500 if self._refusing else 204
            opened.enter_context(self._hook)
            ports = Ports(free_port(), free_port(), free_port(), self._hook.port)
            self.line = opened.enter_context(CutLine(ports.line, ports.fusion))
            config = write_deployment(self._folder, self._material, ports)
            opened.callback(self._kill)
            self._start(config)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def refuse(self, refusing: bool) -> None:
        """Let the web address answer 500, or take events again."""
        self._refusing = refusing

    def pids(self) -> dict[str, int]:
        """Ids of the nodes' processes that run now, by name."""
        return {one.name: one.pid for one in read_run_files(self.data)}

    def others(self) -> dict[str, int]:
        """Ids of what is no node: the supervisor, and this process."""
        supervisor = {"supervisor": self._run.pid} if self._run is not None else {}
        return {**supervisor, "soak": os.getpid()}

    def alive(self) -> bool:
        """Whether the supervisor runs."""
        return self._run is not None and self._run.poll() is None

    def taken(self) -> list[tuple[str, str]]:
        """Key and body of every event that the web address took, in order."""
        return [(one.key, one.body.decode()) for one in self._hook.accepted]

    def stop(self) -> int:
        """Stop in order; the exit code."""
        if self._run is None:
            return 0
        self._run.send_signal(signal.SIGTERM)
        return self._run.wait(END_S)

    def _start(self, config: Path) -> None:
        command = [sys.executable, "-P", "-m", "nodes.cli", "run", str(config)]
        with (self._folder / "run.log").open("wb") as log:
            self._run = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            )
        if not _soon(lambda: len(self.pids()) == 3 or not self.alive(), START_S):
            raise RuntimeError("the deployment does not start, see run.log")

    def _kill(self) -> None:
        """End what still runs, in order if it can be, so that nothing is left behind."""
        if self._run is None or self._run.poll() is not None:
            return
        self._run.terminate()
        try:
            self._run.wait(END_S)
        finally:
            self._run.kill()


def _soon(true: Callable[[], bool], within_s: float) -> bool:
    pause, until_s = threading.Event(), time.monotonic() + within_s
    while not true():
        if time.monotonic() > until_s:
            return False
        pause.wait(0.1)
    return True
