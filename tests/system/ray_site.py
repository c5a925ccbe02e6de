"""A cluster of Ray on one machine, each of its nodes on a machine of its own to all others.

A machine is a network namespace with an address, and has a data folder. Ray's head and the database
are on the hub. Processes of one folder keep apart by its lock, those of two by their leases alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

from sqlalchemy import text

from pipeline.store import FusionStore
from tests.requirements import require_module
from tests.system.exchange import Exchange
from tests.system.lines import Machine
from tests.system.postgres import Postgres
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
ENDED_S = 60.0
HUB = "hub"
DATA, SERVER, WAY = "CLUSTER_TEST_DATA", "CLUSTER_TEST_SERVER", "CLUSTER_TEST_WAY"
PATIENT = "?tcp_user_timeout=120000"
"""One who is cut off from the database goes on believing: by default it is told so after 15 s."""
RESEND_MS = 1000
"""Longest pause before what was not acknowledged is sent again: a mended line is soon used."""


class RaySite:
    """See the module; the machines are there until the exit. The first order waits for Ray's head.

    Args:
        folder: For the machines' data.
        exchange: What connects them.
        database: A server on its hub.

    Attributes:
        nodes: Machines that are nodes of Ray now.
    """

    def __init__(self, folder: Path, exchange: Exchange, database: Postgres) -> None:
        require_module("ray")
        self.folder = folder
        self.exchange = exchange
        self.nodes: set[str] = set()
        self._known: set[str] = set()
        self._database = database
        self._ray: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        # For this process, which is on none of the machines.
        way = f"?host={self._database.folder}&port={self._database.port}"
        os.environ |= {DATA: str(self.folder / HUB), SERVER: "", WAY: way}
        hub = self.exchange.addresses[HUB]
        self._ray = subprocess.Popen(
            self.hub.command(sys.executable, "-P", "-m", "tests.system.ray_nodes", hub),
            env=self.surroundings(HUB),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        for name in OWN:
            os.environ.pop(name)
        try:
            if self._ray is not None and self._ray.stdin is not None:
                self._ray.stdin.close()
                self._ray.wait(ENDED_S)
        finally:
            if self._ray is not None:
                self._ray.kill()
            self._end_workers()

    @property
    def hub(self) -> Machine:
        """The machine of Ray's head, of the database and of what places the workers."""
        return self.exchange.machines[HUB]

    @property
    def address(self) -> str:
        """Of Ray's head."""
        return str(self._order("about")["address"])

    @property
    def workplaces(self) -> dict[str, str]:
        """Addresses of machines that are, or were, nodes of Ray."""
        return {name: self.exchange.addresses[name] for name in self._known}

    def surroundings(self, name: str) -> dict[str, str]:
        """Environment of what runs on a machine."""
        before = os.environ.get("PYTHONPATH", "")
        server = f"{self.exchange.addresses[HUB]}:{self._database.port}"
        return {
            **os.environ,
            **{DATA: str(self.folder / name), SERVER: server, WAY: PATIENT},
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), before))),
            "FUSEWATCH_LOG_FORMAT": "json",
            "RAY_DISABLE_IMPORT_WARNING": "1",
            "RAY_worker_niceness": "0",
        }

    def add(self, name: str) -> None:
        """A node joins, or comes back at the address and with the data that it had."""
        if name not in self._known:
            self._known.add(name)
            machine = self.exchange.connect(name)
            say = f"echo {RESEND_MS} > /proc/sys/net/ipv4/tcp_rto_max_ms"
            subprocess.run(machine.command("sh", "-c", say), stderr=subprocess.DEVNULL, check=False)
        own = {name: value for name, value in self.surroundings(name).items() if name in OWN}
        place = self.exchange.machines[name].namespace, self.exchange.addresses[name]
        self._order("add", name=name, namespace=place[0], address=place[1], env=own)
        self.nodes.add(name)

    def remove(self, name: str) -> None:
        """A node is lost: Ray's processes there are killed."""
        self.nodes.remove(name)
        self._order("remove", name=name)

    def lose_head(self) -> None:
        """The head is lost; the nodes are left to themselves."""
        self._order("lose_head")

    def restart_head(self) -> None:
        """A head is back at the same address; of the nodes it knows nothing."""
        self._order("restart_head")

    def rejoin(self, name: str) -> None:
        """What a node's service does when Ray's processes there ended: start them again."""
        self.remove(name)
        self.add(name)

    @contextmanager
    def cut_off(self, name: str, store: FusionStore) -> Iterator[None]:
        """Cut a machine off from all others."""
        cut, mend = (partial(do, name) for do in (self.exchange.cut, self.exchange.mend))
        with self._halted(name, store, cut, mend):
            yield

    @contextmanager
    def stopped(self, pid: int, name: str, store: FusionStore) -> Iterator[None]:
        """Stop a process of a machine."""
        stop, go_on = (partial(os.kill, pid, n) for n in (signal.SIGSTOP, signal.SIGCONT))
        with self._halted(name, store, stop, go_on):
            yield

    @contextmanager
    def _halted(
        self, name: str, store: FusionStore, halt: Callable[[], None], go_on: Callable[[], None]
    ) -> Iterator[None]:
        """Halt something of a machine at a moment when nothing there is within a transaction.

        PostgreSQL would end that after a while, and its owner would be told so instead of that
        another has its scenes.
        """
        pause = threading.Event()
        halt()
        try:
            while self._within_transaction(name, store):
                go_on()
                pause.wait(0.05)
                halt()
            yield
        finally:
            go_on()

    def refused(self, scene: str, token: int) -> list[dict[str, Any]]:
        """What the holder of a scene by this token told of writes that the store refused it."""
        wanted = ("write refused", scene, token)
        told = map(json.loads, self.log().splitlines())
        return [o for o in told if (o["event"], o.get("scene"), o.get("lease")) == wanted]

    def log(self) -> str:
        """What the workers wrote, which Ray keeps."""
        sessions = self._order("about")["sessions"]
        files = [
            file for one in sessions for file in sorted(Path(one, "logs").glob("worker-*.err"))
        ]
        lines = (line for file in files for line in file.read_text().splitlines(keepends=True))
        return "".join(line for line in lines if line.startswith('{"') and line.endswith("}\n"))

    def _within_transaction(self, name: str, store: FusionStore) -> bool:
        with store.database.read() as connection:
            at = {"at": self.exchange.addresses[name]}
            return bool(connection.execute(WITHIN, at).scalar())

    def _order(self, what: str, **values: object) -> Any:
        ray = self._ray
        assert ray is not None
        assert ray.stdin is not None
        assert ray.stdout is not None
        print(json.dumps({"do": what, **values}), file=ray.stdin, flush=True)
        answer = ray.stdout.readline()
        assert answer, f"Ray's cluster utility ended with {ray.wait(ENDED_S)}"
        return json.loads(answer)

    def _end_workers(self) -> None:
        """See that every worker ends by itself, as its keeper has; one that does not is killed."""
        try:
            wait_until(lambda: not self._workers(), ENDED_S)
        finally:
            for pid in self._workers():
                os.kill(pid, signal.SIGKILL)

    def _workers(self) -> list[int]:
        files = self.folder.glob("*/*/groups/*/run/fusion-*.json")
        return [pid for path in files if is_running(pid := pid_in(path))]


OWN = frozenset({DATA, SERVER, WAY})
WITHIN = text(
    "select count(*) from pg_stat_activity "
    "where client_addr = cast(:at as inet) and xact_start is not null"
)


def pid_in(run_file: Path) -> int:
    """The process that a run file is of, if it runs; else 0."""
    try:
        pid = int(json.loads(run_file.read_bytes())["pid"])
        os.kill(pid, 0)
    except (OSError, ValueError):
        return 0
    return pid


def is_running(pid: int) -> bool:
    """Whether a process runs, or is stopped, and is not merely unburied."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
