"""How long after the moment an alert reaches a webhook, through a whole running deployment.

Run: ``python -m tests.benchmarks.latency``. A synthetic site in real time, capture, ZeroMQ,
fusion, alert and an HTTP endpoint, each a process as in the field. The alarm is set to raise,
and to tell more, as often as it can, since only the time counts here and a false alarm travels
like a true one.

Counted is from the end of the window that an alert is about, by the clock, to the arrival of
the request. An anomaly becomes visible at any time within the window's newest hop, so from
the end of the moment it is that and at most one hop more. Up to a tenth of a second of it, by
how the frames happen to lie, is the wait for the next sample: only that shows that a window is
complete. Beside it, from the same run, what a request alone takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np

from nodes.commission import commission_scene
from nodes.demo_site import record_normal, site_of
from pipeline.config import load_deployment
from tests.http_receiver import HttpReceiver
from tests.system.ports import free_port

NORMAL_S = 40.0
LIVE_S = 30.0
HOP_MS = 500.0
TARGET_MS = 300.0
ROOT = Path(__file__).resolve().parents[2]

DEPLOYMENT = """
name: latency
data: .
nodes:
  site:
    sources:
      - type: scene
        size: [320, 180]
        start: now
        duration_s: {live_s}
        anomalies: {{every_s: 8, kinds: [V, A, S]}}
scenes:
  site:
    streams: [site-camera, site-microphone, site-sensors]
    model: site.model
    alarm:
      budget: 60/minute
      min_duration_s: 0
      update_every_s: 0.5
fusion:
  listen: tcp://127.0.0.1:{fusion_port}
alert:
  listen: tcp://127.0.0.1:{alert_port}
  sinks:
    - {{type: webhook, url: "{url}"}}
"""


def learn(folder: Path, url: str) -> Path:
    """Write the deployment and its model; the deployment file."""
    config = folder / "latency.yaml"
    ports = {"fusion_port": free_port(), "alert_port": free_port()}
    config.write_text(DEPLOYMENT.format(live_s=LIVE_S, url=url, **ports))
    deployment = load_deployment(config)
    normal = folder / "normal.mcap"
    record_normal(site_of(deployment), normal, 0.0, NORMAL_S)
    commission_scene(deployment, "site", [normal], folder / "site.model")
    return config


def run_deployment(config: Path) -> None:
    """``fusewatch run`` until the site is over.

    Raises:
        RuntimeError: It did not end well.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-m", "nodes.cli", "run", str(config)]
    said = config.with_suffix(".log")
    with said.open("wb") as log:
        ran = subprocess.run(
            command, check=False, stdout=log, stderr=log, env=environment, cwd=ROOT, timeout=180
        )
    if ran.returncode:
        raise RuntimeError(
            f"fusewatch run ended with {ran.returncode}:\n{said.read_text()[-2000:]}"
        )


def latencies_ms(receiver: HttpReceiver, times_ns: Sequence[int]) -> np.ndarray:
    """From a window's end to the request, of every alert but the all-clear ``(n,)``."""
    found = []
    for request, time_ns in zip(receiver.requests, times_ns, strict=True):
        event = json.loads(request.body)["data"]
        if event["phase"] != "cleared":  # that one tells of a window long past
            found.append((time_ns - event["end_ns"]) / 1e6)
    return np.array(found)


def straight_ms(url: str, count: int) -> np.ndarray:
    """Requests of the same size sent by themselves ``(count,)``."""
    body = b" " * 2000
    found = []
    with httpx.Client() as client:
        for _ in range(count):
            began = time.perf_counter()
            client.post(url, content=body).raise_for_status()
            found.append((time.perf_counter() - began) * 1e3)
    return np.array(found)


def row(what: str, values_ms: np.ndarray, target_ms: float | None = None) -> None:
    """Print one line: median and 95th percentile, the latter beside its target."""
    middle, high = np.percentile(values_ms, [50, 95])
    beside = "" if target_ms is None else f"{high / target_ms:8.2f}   <= {target_ms:.0f}"
    print(f"{what:42} {middle:8.1f} {high:8.1f} {beside}")


def main() -> None:
    """Print the table."""
    times_ns: list[int] = []
    with HttpReceiver() as receiver, tempfile.TemporaryDirectory() as folder:
        receiver.answer = lambda _: (times_ns.append(time.time_ns()), 204)[1]
        config = learn(Path(folder), receiver.url)
        run_deployment(config)
        measured = latencies_ms(receiver, list(times_ns))
        straight = straight_ms(receiver.url, 50)
    if not len(measured):
        raise RuntimeError("no alarm was raised, so nothing was measured")
    print(f"{len(measured)} alerts in {LIVE_S:.0f} s, one hop is {HOP_MS:.0f} ms")
    print(f"{'milliseconds':42} {'p50':>8} {'p95':>8} {'of it':>8}   target (p95)")
    row("a request alone", straight)
    row("from the window's end to the webhook", measured, TARGET_MS)
    row("from the end of the moment, at worst", measured + HOP_MS, HOP_MS + TARGET_MS)


if __name__ == "__main__":
    main()
