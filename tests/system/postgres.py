"""A real PostgreSQL server on a free port, for tests of a store that is shared."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

from tests.requirements import require_command, require_module
from tests.system.ports import free_port

START_S = 60
NOBODY = "postgres"  # the server refuses to run as root


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
    """

    def __init__(self, folder: Path) -> None:
        require_module("psycopg")
        self._folder = folder
        self._as = ["runuser", "-u", NOBODY, "--"] if os.geteuid() == 0 else []
        self.port = free_port()
        self.url = f"postgresql+psycopg://fusewatch@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Postgres:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._as:
            shutil.chown(self._folder, NOBODY)
            self._folder.parent.chmod(0o755)
        data = str(self._folder / "data")
        self._run(program("initdb"), "-D", data, "-U", "fusewatch", "-A", "trust", "--no-sync")
        told = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = str(self._folder / "log")
        waits = ("-w", "-t", str(START_S))
        self._run(program("pg_ctl"), "-D", data, "-o", told, "-l", log, *waits, "start")
        return self

    def database(self, name: str) -> None:
        """One more database."""
        make = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "fusewatch", name)
        self._run(program("createdb"), *make)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        data = str(self._folder / "data")
        self._run(program("pg_ctl"), "-D", data, "-m", "immediate", "stop")

    def _run(self, *command: str) -> None:
        ran = subprocess.run(
            [*self._as, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        if ran.returncode:
            raise AssertionError(f"{command[0]}: {ran.stderr.decode()}")
