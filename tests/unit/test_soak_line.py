"""The soak's line carries both ways, holds back while it is cut, and breaks when told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.soak.line import CutLine
from tests.system.ports import free_port

WAIT_S, SHORT_S = 10.0, 0.2


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says again what it hears; its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=_echo, args=(link,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


def _echo(link: socket.socket) -> None:
    with link:
        while piece := link.recv(4096):
            link.sendall(piece)


@pytest.fixture
def line(echo: int) -> Iterator[tuple[CutLine, int]]:
    port = free_port()
    with CutLine(port, echo) as made:
        yield made, port


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), WAIT_S)


def test_what_is_said_while_it_is_cut_comes_when_it_is_mended(line: tuple[CutLine, int]) -> None:
    made, port = line
    with connected(port) as link:
        link.sendall(b"before")
        assert link.recv(100) == b"before"
        made.cut(hard=False)
        link.sendall(b"during")
        link.settimeout(SHORT_S)
        with pytest.raises(TimeoutError):
            link.recv(100)
        made.mend()
        link.settimeout(WAIT_S)
        assert link.recv(100) == b"during"


def test_a_hard_cut_ends_connections_and_takes_no_new_ones(line: tuple[CutLine, int]) -> None:
    made, port = line
    with connected(port) as link:
        link.sendall(b"before")
        assert link.recv(100) == b"before"
        made.cut(hard=True)
        assert link.recv(100) == b""
    with connected(port) as link:
        assert link.recv(100) == b""
    made.mend()
    with connected(port) as link:
        link.sendall(b"after")
        assert link.recv(100) == b"after"
