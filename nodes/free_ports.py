"""Ports of the loopback for processes that will listen there a while later."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from random import SystemRandom

from nodes.health import PortTaken

_LISTEN_AT = range(20_000, 32_768)
"""Outgoing connections get theirs from above, where nobody set another range: from 32768 on Linux,
from 49152 elsewhere."""


def free_ports(count: int) -> list[int]:
    """TCP ports, each another one, that nobody uses now and no outgoing connection will take.

    Raises:
        PortTaken: There are not as many.
    """
    found: list[int] = []
    with ExitStack() as held:
        for port in SystemRandom().sample(_LISTEN_AT, len(_LISTEN_AT)):
            probe = _bound(port)
            if probe is not None:
                held.enter_context(probe)
                found.append(port)
            if len(found) == count:
                return found
    raise PortTaken("too few ports are free", where="127.0.0.1", fix="end what listens on so many")


def _bound(port: int) -> socket.socket | None:
    probe = socket.socket()
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        probe.close()
        return None
    return probe
