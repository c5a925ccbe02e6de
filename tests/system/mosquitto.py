"""A real Mosquitto broker on a free port, for tests of what talks to one."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.certificates import Certificates
from tests.requirements import require_command
from tests.system.ports import free_port

START_S = 30.0


class Mosquitto:
    """One broker; its port stays the same over restarts, and so do retained messages.

    Args:
        folder: Where its configuration and state go; one broker per folder.
        users: Passwords by user name; none: anybody may connect.
        tls: Certificates to serve TLS with; none: plain TCP.
        rules: Further lines of its configuration (``acl_file`` and such).
    """

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, str] | None = None,
        tls: Certificates | None = None,
        rules: tuple[str, ...] = (),
    ) -> None:
        require_command("mosquitto", "mosquitto_passwd")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.host = "127.0.0.1"
        self.port = 0
        self._users = dict(users or {})
        self._tls = tls
        self._rules = rules
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        """Start it and wait until it answers."""
        deadline = time.monotonic() + START_S
        chosen = self.port
        while True:
            self.port = chosen or free_port()
            with (self.folder / "mosquitto.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [_program("mosquitto"), "-c", str(self._configuration())],
                    stdout=log,
                    stderr=log,
                )
            if self._answers(deadline):
                return self
            if time.monotonic() > deadline:
                said = (self.folder / "mosquitto.log").read_text()
                raise TimeoutError(f"mosquitto did not start on port {self.port}:\n{said}")

    def stop(self) -> None:
        """End it in order; it keeps its state on the disk."""
        self._end("terminate")

    def kill(self) -> None:
        """End it at once."""
        self._end("kill")

    def restart(self) -> None:
        """Stop it and start it on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _end(self, how: str) -> None:
        if self._process is not None:
            getattr(self._process, how)()
            self._process.wait(START_S)
            self._process = None

    def _answers(self, deadline: float) -> bool:
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                return False
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return True
        return False

    def _configuration(self) -> Path:
        lines = [
            f"listener {self.port} {self.host}",
            f"user {getpass.getuser()}",
            "persistence true",
            f"persistence_location {self.folder}/",
            f"allow_anonymous {'false' if self._users else 'true'}",
            *self._rules,
        ]
        if self._users:
            lines.append(f"password_file {self._password_file()}")
        if self._tls is not None:
            lines += [f"certfile {self._tls.certificate}", f"keyfile {self._tls.key}"]
        path = self.folder / "mosquitto.conf"
        path.write_text("\n".join(lines) + "\n")
        return path

    def _password_file(self) -> Path:
        path = self.folder / "passwords"
        path.touch(mode=0o600)
        for name, password in self._users.items():
            command = [_program("mosquitto_passwd"), "-b", str(path), name, password]
            subprocess.run(command, check=True, capture_output=True)
        return path


def _program(name: str) -> str:
    return shutil.which(name) or f"/usr/sbin/{name}"
