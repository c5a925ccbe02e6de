"""The fusion node as a process of its own, for tests of what happens when it dies or sleeps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0


class FusionProcess:
    """``fusewatch fusion`` on a deployment; its lives share one log.

    Args:
        config: The deployment file.
    """

    def __init__(self, config: Path) -> None:
        self._config = config
        self._log = config.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and come back at once."""
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "nodes.cli", "fusion", str(self._config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path, "FUSEWATCH_LOG_FORMAT": "json"},
            )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        if self._process is None:
            return 0
        return self._process.wait(PATIENCE_S)

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """What it logged, of all its lives."""
        text = self._log.read_text().splitlines() if self._log.exists() else []
        found = [json.loads(line) for line in text if line.startswith("{")]
        return [line for line in found if event in ("", line["event"])]

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        """The line of an event, once it was logged so often."""
        wait_until(lambda: len(self.lines(event)) >= count, PATIENCE_S)
        return self.lines(event)[count - 1]

    def __enter__(self) -> FusionProcess:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.send(signal.SIGCONT)
        self.kill()


def time_of(line: dict[str, Any]) -> float:
    """When a line was logged, seconds since the epoch."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()
