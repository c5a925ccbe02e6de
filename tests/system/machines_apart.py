"""Four machines of one deployment, each with its key folder and its data folder, in one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from nodes.commission import commission_scene
from nodes.demo_site import record_normal, site_of
from pipeline.config import load_deployment
from pipeline.transport.key_store import read_public
from tests.system.home_site import Watched
from tests.system.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
LIVE_S = 30
NORMAL_S = 120.0
END_S = 120.0
DELIVERED = "fusewatch_delivered_total"
CAPTURED = "fusewatch_captured_total"

DEPLOYMENT = """
name: far-apart
data: ${{MACHINE}}
nodes:
  site:
    sources:
      - type: scene
        size: [320, 180]
        start: 2026-01-01T10:00:00Z
        speed: 2.0
        duration_s: {live_s}
        anomalies: {{every_s: 9, kinds: [V, A]}}
  shed:
    sources:
      - type: scene
        video: shed-camera
        audio: shed-microphone
        sensor: shed-sensors
        size: [160, 96]
        anomalies: none
scenes:
  site:
    streams: [site-camera, site-microphone, site-sensors]
    model: {model}
    alarm: {{budget: 12/hour}}
  shed:
    streams: [shed-camera, shed-microphone, shed-sensors]
fusion:
  listen: tcp://127.0.0.1:{fusion_port}
  record: {{folder: recordings}}
alert:
  listen: tcp://127.0.0.1:{alert_port}
  sinks:
    - {{type: jsonl, path: events.jsonl}}
security:
  curve: "on"
  keys: ${{MACHINE}}/keys
"""


class Machines:
    """Four machines in one folder, each with keys and data of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "far-apart.yaml"
        ports = {"fusion_port": free_port(), "alert_port": free_port()}
        self.fusion_address = f"tcp://127.0.0.1:{ports['fusion_port']}"
        model = folder / "site.model"
        self.config.write_text(DEPLOYMENT.format(live_s=LIVE_S, model=model, **ports))
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def commission(self) -> None:
        """The model, made as in `test_whole_way`, which tests that."""
        os.environ["MACHINE"] = "fusion"
        try:
            deployment = load_deployment(self.config)
        finally:
            del os.environ["MACHINE"]
        normal = self.folder / "normal.mcap"
        record_normal(site_of(deployment), normal, -NORMAL_S, 0.0)
        commission_scene(deployment, "site", [normal], self.folder / "site.model")

    def type(self, *arguments: str) -> str:
        """Type ``fusewatch ARGUMENTS`` in the common folder; what it wrote."""
        done = subprocess.run(
            self._command(*arguments),
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=END_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def invite(self, node: str, keys: str) -> tuple[subprocess.Popen[str], str]:
        """Type ``fusewatch keys invite``; the command, which waits, and the token it printed."""
        place = ("--host", "127.0.0.1", "--port", str(free_port()))
        waiting = subprocess.Popen(
            self._command("keys", "invite", node, *place, "--valid", "5m", "--keys", keys),
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert waiting.stdout is not None
        return waiting, waiting.stdout.readline().split()[-1]

    def start(self, machine: str, *arguments: str) -> None:
        """Start ``fusewatch ARGUMENTS`` on a machine."""
        with self.log(machine).open("wb") as log:
            self.running[machine] = subprocess.Popen(
                self._command(*arguments),
                cwd=self.folder,
                env={**self._environment(), "MACHINE": machine},
                stdout=log,
                stderr=log,
            )

    def stop(self, machine: str) -> int:
        process = self.running.pop(machine)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(END_S)
        finally:
            process.kill()

    def public(self, machine: str) -> str:
        return read_public(str(self.folder / machine / "keys" / f"{machine}.public.json")).public

    def log(self, machine: str) -> Path:
        return self.folder / f"{machine}.log"

    def watched(self, machine: str) -> Watched:
        return Watched(self.folder / machine)

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "nodes.cli", *arguments]

    @staticmethod
    def _environment() -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}
