"""The alert node as a process of its own, and a fusion node's end of its link."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from pipeline.core.clock import NodeClock
from pipeline.core.event import Event, to_json
from pipeline.transport.event_link import EventSender
from tests.system.ports import free_port

WAIT_S = 60.0


class AlertProcess:
    """``fusewatch alert`` with one webhook and one file, and a fusion node's end of its link."""

    def __init__(self, folder: Path, hook: str, digest_after_s: str = "null") -> None:
        self.folder = folder
        self.data = folder / "data"
        self.out = folder / "events.jsonl"
        self.config = folder / "site.yaml"
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.config.write_text(
            f"""
name: site
data: data
nodes:
  edge:
    sources:
      - {{type: csv_file, path: readings.csv, stream: readings}}
scenes:
  hall: {{streams: [readings]}}
alert:
  listen: {self.address}
  sinks:
    - type: webhook
      url: "{hook}"
      secret_file: hook.secret
      digest_after_s: {digest_after_s}
    - {{type: jsonl, path: events.jsonl}}
"""
        )
        (folder / "hook.secret").write_text("a very secret word\n")
        (folder / "hook.secret").chmod(0o600)
        self.sender = EventSender(self.address, clock=NodeClock())
        self.confirmed: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> None:
        with (self.folder / "alert.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "nodes.cli", "alert", str(self.config)],
                stdout=log,
                stderr=log,
                env=environment(),
            )
        if wait:
            self.wait_until(self.ready, "the alert node is ready")

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        return self._end(signal.SIGTERM)

    def send(self, *events: Event) -> None:
        for each in events:
            self.sender.send(to_json(each), each.key)

    def pump(self, timeout_s: float = 0.02) -> None:
        self.confirmed += self.sender.poll(timeout_s)

    def wait_confirmed(self, *events: Event) -> None:
        wanted = {each.key for each in events}
        self.wait_until(lambda: wanted <= set(self.confirmed), "the events are confirmed")

    def wait_until(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not true():
            self.pump()
            ended = self.process is None or self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                pytest.fail(f"never happened: {what}\n{self.log()}")

    def ready(self) -> bool:
        status, _ = self.page("readyz")
        return status == 200

    def page(self, name: str) -> tuple[int, str]:
        try:
            port = json.loads((self.data / "run" / "alert.json").read_text())["http"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (OSError, ValueError):
            return 0, ""

    def written(self) -> list[str]:
        lines = self.out.read_bytes().splitlines() if self.out.exists() else []
        found = [json.loads(line) for line in lines]
        return [f"{e['id']}.{e['revision']}" for e in found]

    def accepted(self) -> list[str]:
        """Keys in the order in which the outbox took them in."""
        with closing(sqlite3.connect(self.data / "alert.db")) as store:
            rows = store.execute("SELECT key FROM outbox_events ORDER BY position").fetchall()
        return [key for (key,) in rows]

    def log(self) -> str:
        return (self.folder / "alert.log").read_text()

    def close(self) -> None:
        self.sender.close()
        self.kill()

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        code = self.process.wait(WAIT_S)
        self.process = None
        if number is signal.SIGKILL:
            (self.data / "run" / "alert.json").unlink(missing_ok=True)
        return code


def environment() -> dict[str, str]:
    """Of a process that runs this checkout."""
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
