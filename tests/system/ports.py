"""A free port for a server of a test."""

from __future__ import annotations

from nodes.free_port import free_ports

__all__ = ["free_port", "free_ports"]


def free_port() -> int:
    """A TCP port of the loopback that nobody uses now; see `nodes.free_port`."""
    return free_ports(1)[0]
