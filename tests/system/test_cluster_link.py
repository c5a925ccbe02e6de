"""A capture node of a cluster, encrypted: it asks for its worker, and follows it when it moves.

All are real processes; the store is a file, as all of them are on one machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from nodes.places import fusion_store
from pipeline.config import load_deployment
from pipeline.store import FusionStore
from pipeline.transport.key_store import KeyStore, Role
from tests.system.ports import free_port
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PATIENCE_S = 90.0
ROWS = 40
DEPLOYMENT = """
name: home
nodes:
  hall: {{sources: [{{type: csv_file, stream: log, path: log.csv, mode: tail}}]}}
  attic: {{sources: [{{type: csv_file, stream: dust, path: log.csv}}]}}
scenes:
  hall: {{streams: [log], sight: {{enabled: false}}}}
  attic: {{streams: [dust]}}
engine:
  kind: ray
  directory: ["tcp://127.0.0.1:{port}"]
fusion: {{store: "sqlite:///shared.db"}}
security: {{curve: "on"}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "d.yaml"
    path.write_text(DEPLOYMENT.format(port=free_port()))
    (tmp_path / "log.csv").write_text("time,value\n")
    keys = KeyStore(tmp_path / "keys")
    for node, role in (("fusion", Role.FUSION), ("hall", Role.CAPTURE), ("alert", Role.ALERT)):
        keys.create(node, role)
    return path


@contextmanager
def process(config: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    log = config.with_name(f"{command[0]}.log")
    with log.open("ab") as out:
        running = subprocess.Popen(
            [sys.executable, "-P", "-m", "nodes.cli", *command],
            stdout=out,
            stderr=out,
            env={**os.environ, "FUSEWATCH_LOG_FORMAT": "json"},
        )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def write(config: Path, first: int) -> None:
    """So many more readings, two a second."""
    rows = (f"{1_700_000_000 + n / 2},{n}\n" for n in range(first, first + ROWS))
    with config.with_name("log.csv").open("a") as file:
        file.write("".join(rows))


def scored(store: FusionStore) -> int:
    """Windows that are committed, from the first on."""
    found = store.checkpoint("hall")
    return found.next_window if found is not None else 0


def worker(config: Path) -> tuple[str, ...]:
    return ("fusion", str(config), "--group", "hall", "--host", "127.0.0.1")


def address(store: FusionStore) -> str:
    found = store.directory.served().get("hall")
    return found.address if found is not None and found.live else ""


def test_a_capture_node_finds_its_worker_and_follows_it(config: Path) -> None:
    with ExitStack() as opened, closing(fusion_store(load_deployment(config))) as store:
        capture = opened.enter_context(process(config, "capture", str(config), "--node", "hall"))
        opened.enter_context(process(config, "cluster", "directory", str(config)))
        with process(config, *worker(config)) as first:
            wait_until(lambda: address(store), PATIENCE_S)
            place = address(store)
            write(config, 0)
            wait_until(lambda: scored(store), PATIENCE_S)
            first.send_signal(signal.SIGTERM)
            assert first.wait(PATIENCE_S) == 0
        assert address(store) == "", "it let go when it drained"
        key = KeyStore(config.parent / "keys").own("fusion", Role.FUSION).public
        before = scored(store)
        write(config, ROWS)
        with process(config, *worker(config)) as second:
            wait_until(lambda: address(store) not in ("", place), PATIENCE_S)
            assert store.directory.served()["hall"].public == key
            wait_until(lambda: scored(store) >= before + ROWS - 8, PATIENCE_S)
            assert second.poll() is capture.poll() is None
        assert "attic" not in store.directory.served(), "the other group is another worker's"
    lines = config.with_name("capture.log").read_text().splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    found = [line["address"] for line in told if line["event"] == "fusion node found"]
    assert found == [place, found[-1]]
    assert len(set(found)) == 2
