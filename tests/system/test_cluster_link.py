"""A capture node of a cluster, encrypted: it asks for its worker, and follows it when it moves.

All are real processes, the capture node on a machine at the end of a line, the workers and the
directory on one behind it, whose store is a file. The line is cut while the worker changes.
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
from pipeline.config.addresses import host_of
from pipeline.store import FusionStore
from pipeline.transport.key_store import KeyStore, Role
from tests.system.line_queue import LAN
from tests.system.lines import Line, Machine, require_lines
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
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
  directory: ["tcp://{address}:7712"]
fusion: {{listen: "tcp://0.0.0.0:7710", store: "sqlite:///shared.db"}}
"""


@pytest.fixture
def line() -> Iterator[Line]:
    require_lines()
    with Machine("edge") as edge, Machine("site") as site, Line(8, edge, site, *LAN) as laid:
        yield laid


@pytest.fixture
def config(tmp_path: Path, line: Line) -> Path:
    path = tmp_path / "d.yaml"
    path.write_text(DEPLOYMENT.format(address=line.far_address))
    (tmp_path / "log.csv").write_text("time,value\n")
    keys = KeyStore(tmp_path / "keys")
    for node, role in (("fusion", Role.FUSION), ("hall", Role.CAPTURE), ("alert", Role.ALERT)):
        keys.create(node, role)
    return path


@contextmanager
def process(machine: Machine, config: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    log = config.with_name(f"{command[0]}.log")
    with log.open("ab") as out:
        running = subprocess.Popen(
            machine.command(sys.executable, "-P", "-m", "nodes.cli", *command),
            stdout=out,
            stderr=out,
            env={**os.environ, "PYTHONPATH": str(ROOT), "FUSEWATCH_LOG_FORMAT": "json"},
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


def worker(config: Path, line: Line) -> tuple[str, ...]:
    return ("fusion", str(config), "--group", "hall", "--host", line.far_address)


def address(store: FusionStore) -> str:
    found = store.directory.served().get("hall")
    return found.address if found is not None and found.live else ""


def test_a_capture_node_finds_its_worker_and_follows_it(config: Path, line: Line) -> None:
    edge, site = line.machines
    with ExitStack() as opened, closing(fusion_store(load_deployment(config))) as store:
        node = ("capture", str(config), "--node", "hall")
        capture = opened.enter_context(process(edge, config, *node))
        opened.enter_context(process(site, config, "cluster", "directory", str(config)))
        with process(site, config, *worker(config, line)) as first:
            wait_until(lambda: address(store), PATIENCE_S)
            place = address(store)
            assert host_of(place) == line.far_address
            write(config, 0)
            wait_until(lambda: scored(store), PATIENCE_S)
            line.cut()
            first.send_signal(signal.SIGTERM)
            assert first.wait(PATIENCE_S) == 0
        assert address(store) == "", "it let go when it drained"
        key = KeyStore(config.parent / "keys").own("fusion", Role.FUSION).public
        before = scored(store)
        write(config, ROWS)
        with process(site, config, *worker(config, line)) as second:
            wait_until(lambda: address(store) not in ("", place), PATIENCE_S)
            assert store.directory.served()["hall"].public == key
            assert scored(store) == before
            line.mend()
            wait_until(lambda: scored(store) >= before + ROWS - 8, PATIENCE_S)
            assert second.poll() is capture.poll() is None
        assert "attic" not in store.directory.served(), "the other group is another worker's"
    lines = config.with_name("capture.log").read_text().splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    found = [line["address"] for line in told if line["event"] == "fusion node found"]
    assert found == [place, found[-1]]
    assert len(set(found)) == 2
