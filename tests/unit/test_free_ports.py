"""Ports that stay free until who asked for them listens there."""

from __future__ import annotations

import socket

import pytest

from nodes.free_ports import free_ports
from nodes.health import PortTaken


def test_each_is_another_one_and_can_be_listened_at() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_they_lie_below_those_of_outgoing_connections() -> None:
    assert all(20_000 <= port < 32_768 for port in free_ports(200))


def test_what_is_in_use_is_passed_over_and_too_few_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = free_ports(2)
    monkeypatch.setattr("nodes.free_ports._LISTEN_AT", (one, other))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", one))
        assert free_ports(1) == [other]
        with pytest.raises(PortTaken, match="too few ports"):
            free_ports(2)
