"""Workers on a Ray cluster are killed, cut off with their machine, lost with all of Ray.

Two nodes of Ray on this machine, a real PostgreSQL, ``fusewatch cluster up``, and the hall's two
capture nodes as senders that ask the directory. Recovery is measured and told.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nodes.links import worker_finder
from nodes.places import fusion_store
from pipeline.config import load_deployment
from pipeline.core.clock import NodeClock
from pipeline.core.ledger import Ledger
from pipeline.store import FusionStore, Served
from pipeline.store.leases import LEASE_S
from pipeline.transport.sender import Sender
from tests.crash import hall
from tests.crash.kills import Kills
from tests.crash.world import plain
from tests.system.ports import free_port
from tests.system.postgres import Postgres
from tests.system.ray_site import UP_S, RaySite
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.alone, pytest.mark.timeout(400)]

RECOVERED_S = 30.0
"""What a recovery may take; or the lease and twice a start, where others load the machine."""
SPEED = 1.0
KILLED_S, LOST_S = 8.0, 13.0
ENGINE = """
engine:
  kind: ray
  address: "{address}"
  directory: [tcp://127.0.0.1:{port}]
data: ${{CLUSTER_TEST_DATA}}
"""


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="fusewatch-postgres-"))
    try:
        with Postgres(folder / "server") as server:
            yield server
    finally:
        shutil.rmtree(folder)


class Hall:
    """The hall's capture nodes, which ask the directory for their worker."""

    def __init__(self, config: Path) -> None:
        deployment = load_deployment(config)
        self.ledgers = {node: Ledger() for node in hall.NODES}
        self.captured_s = 0.0
        clock = NodeClock()
        self.senders = {
            node: Sender(
                node,
                deployment.engine.directory[0],
                clock=clock,
                ledger=ledger,
                clock_sync=False,
                finder=worker_finder(deployment, node),
            )
            for node, ledger in self.ledgers.items()
        }
        for node, streams in hall.NODES.items():
            for info in streams:
                self.senders[node].add_stream(info)
        self._thread = threading.Thread(target=self._capture, daemon=True)
        self._thread.start()

    def wait_for(self, second: float) -> None:
        wait_until(lambda: self.captured_s >= second, UP_S)

    def end(self) -> None:
        """See that all was captured and is committed."""
        self._thread.join()
        for node, sender in self.senders.items():
            for info in hall.NODES[node]:
                sender.end(info.name)
        for sender in self.senders.values():
            assert sender.drain(UP_S)
            sender.close()
        for ledger in self.ledgers.values():
            for name, account in ledger.snapshot().items():
                assert account.captured == account.delivered, name
                assert account.missing == 0

    def _capture(self) -> None:
        pause, began_s = threading.Event(), time.monotonic()
        for turn in hall.script():
            self.captured_s = (turn.now_ns - hall.START_NS) / 1e9
            pause.wait(max(0.0, began_s + self.captured_s / SPEED - time.monotonic()))
            for node, samples in turn.samples.items():
                for sample in samples:
                    self.senders[node].send(sample)


def served(store: FusionStore) -> Served | None:
    found = store.directory.served().get("hall")
    return found if found is not None and found.live and found.address else None


def recovered(store: FusionStore, before: Served, what: str, start_s: float) -> Served:
    """Wait until another life of the worker serves; how long that took is told."""
    began_s = time.monotonic()

    def is_back() -> bool:
        found = served(store)
        return found is not None and found.token > before.token

    wait_until(is_back, UP_S)
    took_s = time.monotonic() - began_s
    print(f"{what}: served again after {took_s:.1f} s; the first start took {start_s:.1f} s")
    assert took_s <= max(RECOVERED_S, LEASE_S + 2 * start_s + 3)
    found = served(store)
    assert found is not None
    return found


def test_events_are_those_of_an_undisturbed_run_whatever_happens_to_the_workers(
    postgres: Postgres, tmp_path: Path
) -> None:
    model = hall.model_file(tmp_path)
    undisturbed = hall.hall(tmp_path / "whole", model).run(hall.script(), Kills()).events
    config = tmp_path / "d.yaml"
    with RaySite(tmp_path, config) as site:
        fusion = f"listen: tcp://127.0.0.1:{free_port()}\n  store: {postgres.url}"
        text = hall.DEPLOYMENT.format(model=model, record=fusion, streams="")
        config.write_text(text + ENGINE.format(address=site.address, port=free_port()))
        site.add("one")
        site.add("two")
        site.up()
        with closing(fusion_store(load_deployment(config))) as store:
            began_s = time.monotonic()
            wait_until(lambda: served(store), UP_S)
            start_s = time.monotonic() - began_s
            capture = Hall(config)
            capture.wait_for(KILLED_S)
            wait_until(store.events, UP_S)  # an alarm stands
            first = served(store)
            where, pid = site.worker("hall")
            os.kill(pid, signal.SIGKILL)
            second = recovered(store, first, "worker killed", start_s)
            assert site.worker("hall")[0] == where, "it is started again where it was"

            capture.wait_for(LOST_S)
            where, pid = site.worker("hall")
            os.kill(pid, signal.SIGSTOP)  # it believes that it has the hall, and cannot be told
            site.remove(where)
            third = recovered(store, second, "machine lost, its worker cut off", start_s)
            assert third.address != second.address
            os.kill(pid, signal.SIGCONT)

            site.restart()
            fourth = recovered(store, third, "Ray is back", start_s)
            capture.end()
            wait_until(lambda: not is_running(pid), UP_S)
            assert [plain(event) for event in store.events(all_phases=True)] == undisturbed
            assert served(store).token == fourth.token, "the one that woke up took nothing back"

            assert site.run("upgrade").returncode == 0
            assert served(store).token == fourth.token + 1
            assert site.run("status").returncode == 0
            down = site.run("down")
            assert down.returncode == 0, down.stderr
            assert served(store) is None


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
