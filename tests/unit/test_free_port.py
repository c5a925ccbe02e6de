"""Ports that stay free until who asked for them listens there."""

from __future__ import annotations

import socket

import pytest

from nodes import free_port
from nodes.free_port import free_ports
from nodes.health import PortTaken


def test_each_is_another_one_and_can_be_listened_at() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_no_outgoing_connection_takes_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(20):
            with socket.create_connection(server.getsockname()) as outgoing:
                assert outgoing.getsockname()[1] >= 32_768 > max(free_ports(3))


def test_what_is_in_use_is_passed_over_and_too_few_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = free_ports(2)
    monkeypatch.setattr(free_port, "_LISTEN_AT", (one, other))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", one))
        assert free_ports(1) == [other]
        with pytest.raises(PortTaken, match="too few ports"):
            free_ports(2)
