"""A free port for a server of a test."""

from __future__ import annotations

from nodes.free_ports import free_ports


def free_port() -> int:
    """A TCP port of the loopback that nobody uses now; see `free_ports`."""
    return free_ports(1)[0]
