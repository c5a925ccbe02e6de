"""A real PostgreSQL server on a free port, for tests of a store that is shared."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

from tests.requirements import require_command, require_module
from tests.system.lines import Machine
from tests.system.ports import free_port

START_S = 60
NOBODY = "postgres"  # the server refuses to run as root
OTHERS = "host all all 10.77.0.0/16 trust\n"


def program(name: str) -> str:
    """A program of the server, which Debian keeps out of the path."""
    for version in sorted(Path("/usr/lib/postgresql").glob("*"), reverse=True):
        if (version / "bin" / name).exists():
            return str(version / "bin" / name)
    require_command(name)
    return name


class Postgres:
    """One server, with one database unless more are made.

    Args:
        folder: Where its data goes; it must be one that the server's user may reach.
        machine: Where it runs, for others of that network; None: here, for this machine only.

    Attributes:
        folder: Where its socket is as well: who cannot reach its address reaches it by that.
        port: Its port.
        url: Its database, for who is where it runs.
    """

    def __init__(self, folder: Path, machine: Machine | None = None) -> None:
        require_module("psycopg")
        self.folder = folder
        user = ["runuser", "-u", NOBODY, "--"] if os.geteuid() == 0 else []
        self._as = user if machine is None else machine.command(*user)
        self._listens, self._lets_in = ("127.0.0.1", "") if machine is None else ("*", OTHERS)
        self.port = free_port()
        self.url = f"postgresql+psycopg://fusewatch@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Postgres:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, NOBODY)
            self.folder.parent.chmod(0o755)
        data = str(self.folder / "data")
        self._run(program("initdb"), "-D", data, "-U", "fusewatch", "-A", "trust", "--no-sync")
        with (self.folder / "data" / "pg_hba.conf").open("a") as access:
            access.write(self._lets_in)
        listens = f"-c listen_addresses='{self._listens}'"
        told = f"-p {self.port} -k {self.folder} {listens} -c fsync=off"
        log = str(self.folder / "log")
        waits = ("-w", "-t", str(START_S))
        self._run(program("pg_ctl"), "-D", data, "-o", told, "-l", log, *waits, "start")
        return self

    def database(self, name: str) -> None:
        """One more database."""
        make = ("-h", str(self.folder), "-p", str(self.port), "-U", "fusewatch", name)
        self._run(program("createdb"), *make)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        data = str(self.folder / "data")
        self._run(program("pg_ctl"), "-D", data, "-m", "immediate", "stop")

    def _run(self, *command: str) -> None:
        ran = subprocess.run(
            [*self._as, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        if ran.returncode:
            raise AssertionError(f"{command[0]}: {ran.stderr.decode()}")
