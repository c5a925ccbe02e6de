"""What a fleet asks of its store: a worker's commits, and reading where every scene is fused.

Run as ``python -m tests.benchmarks.fleet_store``; it needs PostgreSQL's programs. A worker of so
many scenes commits what a turn with eight of them gives: their states, the resume points of their
streams, and in the same transaction the leases of all its scenes. Time is processor time of the
server's processes and of this one; *log* is what the write-ahead log grows by. Beside it stands the
least that a transaction can be: one row that is updated. Reading is that of the directory and the
placer, of all scenes ever claimed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from pipeline.store import Commit, FusionStore, Holder, SceneCheckpoint
from tests.benchmarks.edge import cpu_s
from tests.system.postgres import Postgres

SCENES = (1, 16, 64, 256)
MOVED, ROUNDS, WARM = 8, 100, 20
KNOWN = (1_000, 10_000)
STATE_BYTES = {"alarm": 242, "scoring": 153, "sight": 241, "evidence": 0}
"""As of a scene with one sensor stream; that of a camera remembers more."""


class Server:
    """The processor time and the log of a server.

    Args:
        url: Of its database.
        folder: Its data.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.engine: Engine = create_engine(url, isolation_level="AUTOCOMMIT")
        self._first = int((folder / "data" / "postmaster.pid").read_text().split()[0])

    def cpu_s(self) -> float:
        """Processor seconds of its processes that are there now."""
        children = Path(f"/proc/{self._first}/task/{self._first}/children").read_text().split()
        return sum(cpu_s(int(pid)) for pid in (self._first, *children))

    def log_bytes(self) -> int:
        """How far its log is."""
        with self.engine.connect() as connection:
            place = text("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
            return int(connection.execute(place).scalar_one())


def timed(server: Server, act: Callable[[int], object], rounds: int) -> tuple[float, float, float]:
    """Milliseconds of the server and of this process, and bytes of log, of one call."""
    for number in range(WARM):
        act(number)
    log, there, here = server.log_bytes(), server.cpu_s(), cpu_s(os.getpid())
    for number in range(WARM, WARM + rounds):
        act(number)
    spent = (server.cpu_s() - there) / rounds, (cpu_s(os.getpid()) - here) / rounds
    return 1e3 * spent[0], 1e3 * spent[1], (server.log_bytes() - log) / rounds


def commit_of(scenes: list[str], number: int) -> Commit:
    """What a turn commits."""
    state = {name: os.urandom(size) for name, size in STATE_BYTES.items()}
    moved = [scenes[(number * MOVED + one) % len(scenes)] for one in range(MOVED)]
    resume = {(scene, "session", f"{scene}-{n}"): number for scene in moved for n in range(3)}
    return Commit({scene: SceneCheckpoint(number, **state) for scene in moved}, resume)


def _commit(store: FusionStore, scenes: list[str], number: int) -> None:
    store.commit(commit_of(scenes, number))


def _know(server: Server, count: int) -> None:
    """As if so many scenes had been claimed and published."""
    numbers = f"FROM generate_series(1, {count}) n ON CONFLICT DO NOTHING"
    names = "'k' || lpad(n::text, 6, '0')"
    now = "extract(epoch from clock_timestamp())"
    with server.engine.connect() as connection:
        for said in (
            f"fusion_leases SELECT {names}, 1, 'fusion on host (process 1)', 'x', {now}, {now}",
            f"fusion_directory SELECT {names}, 1, 'tcp://10.0.0.2:7710', 'key'",
        ):
            connection.execute(text(f"INSERT INTO {said} {numbers}"))


def _read(store: FusionStore, _number: int) -> None:
    store.directory.served()


def rows(server: Server, url: str) -> Iterator[str]:
    """The lines of the table."""
    with server.engine.connect() as connection:
        connection.execute(text("CREATE TABLE least (at int)"))
        connection.execute(text("INSERT INTO least VALUES (0)"))
    with server.engine.connect() as connection:
        change = text("UPDATE least SET at = at + 1")
        least = timed(server, lambda _: connection.execute(change), ROUNDS)
    yield row("one row updated", least, least)
    for count in SCENES:
        scenes = [f"w{count}-{number:04}" for number in range(count)]
        with closing(FusionStore(url)) as store:
            store.leases.claim(scenes, Holder("fusion", "host", count, f"place {count}"))
            store.directory.publish("tcp://10.0.0.1:7710", "key")
            found = timed(server, partial(_commit, store, scenes), ROUNDS)
        yield row(f"commit, {count} scenes leased", found, least)
    for count in KNOWN:
        with closing(FusionStore(url)) as store:
            _know(server, count)
            found = timed(server, partial(_read, store), 20)
            yield row(f"where {len(store.directory.served())} scenes are", found, least)


def row(name: str, found: tuple[float, float, float], least: tuple[float, float, float]) -> str:
    """One line."""
    there, here, log = found
    return f"{name:32}{there:12.3f}{there / least[0]:10.1f}{here:12.2f}{log:12.0f}"


def main() -> None:
    """Print the table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="fusewatch-store-") as made:
        Path(made).chmod(0o755)
        folder = Path(made) / "postgres"
        with Postgres(folder) as postgres:
            print(f"load {os.getloadavg()[0]:.0f}")
            print(
                f"{'ms of a core':32}{'server':>12}{'x least':>10}{'asking':>12}{'log bytes':>12}"
            )
            for line in rows(Server(postgres.url, folder), postgres.url):
                print(line, flush=True)


if __name__ == "__main__":
    main()
