from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from pipeline.core.clock import NodeClock
from pipeline.transport import allow_list, event_link, event_messages
from pipeline.transport.event_link import EventSender
from pipeline.transport.event_receiver import EventReceiver
from pipeline.transport.key_store import KeyStore, Role
from pipeline.transport.security import curve_client, curve_server

pytestmark = pytest.mark.system

CLOCK = NodeClock()


def receive(
    receiver: EventReceiver, sender: EventSender, count: int, *, ack: bool = True
) -> list[str]:
    """Poll both ends until `count` events came."""
    found: list[str] = []
    for _ in range(2_000):
        for delivery in receiver.poll(0.005):
            found.append(delivery.key)
            assert delivery.body == f"event {delivery.key}".encode()
            if ack:
                receiver.ack(delivery.handle)
        sender.poll(0.005)
        if len(found) >= count:
            return found
    raise AssertionError(f"only {found} came")


def settle(sender: EventSender, receiver: EventReceiver) -> None:
    for _ in range(2_000):
        if not sender.pending:
            return
        for delivery in receiver.poll(0.005):
            receiver.ack(delivery.handle)
        sender.poll(0.005)
    raise AssertionError("not everything was acked")


def give(sender: EventSender, *keys: str) -> None:
    for key in keys:
        sender.send(f"event {key}".encode(), key)


def test_events_arrive_in_order_and_are_acked() -> None:
    receiver = EventReceiver("tcp://127.0.0.1:0")
    sender = EventSender(receiver.address, clock=CLOCK)
    keys = [f"e{n}.0" for n in range(500)]
    give(sender, *keys)
    assert receive(receiver, sender, 500) == keys
    settle(sender, receiver)
    assert sender.connected
    sender.close()
    receiver.close()


def test_a_receiver_that_dies_before_it_acked_gets_the_event_again(monkeypatch) -> None:
    monkeypatch.setattr(event_link, "RESEND_NS", 200_000_000)
    first = EventReceiver("tcp://127.0.0.1:0")
    address = first.address
    sender = EventSender(address, clock=CLOCK)
    give(sender, "a.0", "b.0")
    assert receive(first, sender, 2, ack=False) == ["a.0", "b.0"]
    first.close()
    give(sender, "c.0")
    second = EventReceiver(address)
    found = receive(second, sender, 3)
    assert list(dict.fromkeys(found)) == ["a.0", "b.0", "c.0"]
    settle(sender, second)
    sender.close()
    second.close()


def test_an_event_is_offered_until_somebody_listens(monkeypatch) -> None:
    monkeypatch.setattr(event_link, "LINK_LOST_NS", 300_000_000)
    probe = EventReceiver("tcp://127.0.0.1:0")
    address = probe.address
    probe.close()
    sender = EventSender(address, clock=CLOCK)
    give(sender, "a.0", "a.0")
    made: list[str] = []
    connect = event_link.connect
    monkeypatch.setattr(event_link, "connect", lambda *how: made.append("") or connect(*how))
    while not made:
        assert sender.poll(0.05) == []
    receiver = EventReceiver(address)
    assert receive(receiver, sender, 1)[0] == "a.0"
    settle(sender, receiver)
    sender.close()
    receiver.close()


def test_nonsense_is_counted_and_hurts_nobody() -> None:
    receiver = EventReceiver("tcp://127.0.0.1:0")
    sender = EventSender(receiver.address, clock=CLOCK)
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.connect(receiver.address)
    for frames in ([b"\xff"], [b""], [b"a", b"b"]):
        stranger.send_multipart(frames)
    for _ in range(2_000):
        if receiver.counters["malformed"] == 3:
            break
        receiver.poll(0.01)
    give(sender, "a.0")
    assert receive(receiver, sender, 1) == ["a.0"]
    assert receiver.counters["malformed"] == 3
    context.destroy(0)
    sender.close()
    receiver.close()


def test_an_event_that_is_too_large_is_refused_at_once() -> None:
    sender = EventSender("tcp://127.0.0.1:1", clock=CLOCK)
    with pytest.raises(ValueError, match="at most"):
        sender.send(bytes(2 << 20), "a.0")
    sender.close()


def encrypted(alert_keys: Path, fusion_keys: Path) -> tuple[EventReceiver, EventSender]:
    """Both ends of an encrypted link, each with its folder of keys."""
    receiver = EventReceiver(
        "tcp://127.0.0.1:0", curve=curve_server(alert_keys, "alert", Role.ALERT, Role.FUSION)
    )
    sender = EventSender(
        receiver.address,
        clock=CLOCK,
        curve=curve_client(fusion_keys, "fusion", Role.FUSION, Role.ALERT),
    )
    return receiver, sender


def test_events_go_encrypted_to_a_trusted_alert_node_from_a_trusted_fusion_node(
    tmp_path: Path,
) -> None:
    keys = KeyStore(tmp_path)
    keys.create("fusion", Role.FUSION)
    keys.create("alert", Role.ALERT)
    receiver, sender = encrypted(tmp_path, tmp_path)
    give(sender, "a.0")
    assert receive(receiver, sender, 1) == ["a.0"]
    sender.close()
    receiver.close()


def test_both_ends_change_their_keys_while_they_run(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(allow_list, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(event_link, "LINK_LOST_NS", 1_000_000_000)
    monkeypatch.setattr(event_link, "HEARTBEAT_NS", 200_000_000)
    fusion, alert = KeyStore(tmp_path / "fusion"), KeyStore(tmp_path / "alert")
    alert.enrol(fusion.create("fusion", Role.FUSION))
    fusion.enrol(alert.create("alert", Role.ALERT))
    receiver, sender = encrypted(tmp_path / "alert", tmp_path / "fusion")

    def until(condition: Callable[[], bool]) -> None:
        for _ in range(2_000):
            if condition():
                return
            for delivery in receiver.poll(0.005):
                receiver.ack(delivery.handle)
            sender.poll(0.005)
        raise AssertionError("never")

    give(sender, "a.0")
    assert receive(receiver, sender, 1) == ["a.0"]
    settle(sender, receiver)
    for own, node, role, other in (
        (fusion, "fusion", Role.FUSION, alert),
        (alert, "alert", Role.ALERT, fusion),
    ):
        new = own.upcoming(node, role).shared
        until(lambda new=new, other=other: new in other.trusted())
        own.promote(node, role)
        give(sender, f"{node}.0")
        assert receive(receiver, sender, 1) == [f"{node}.0"]
        settle(sender, receiver)
    assert len(alert.peers(Role.FUSION)) == 1
    assert alert.peers(Role.FUSION) == [fusion.own("fusion", Role.FUSION).shared]
    sender.close()
    receiver.close()


def test_a_fusion_node_that_is_revoked_is_told_and_cut_off(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(allow_list, "_LOOK_EVERY_S", 0.0)
    keys = KeyStore(tmp_path)
    keys.create("fusion", Role.FUSION)
    keys.create("alert", Role.ALERT)
    receiver, sender = encrypted(tmp_path, tmp_path)
    give(sender, "a.0")
    assert receive(receiver, sender, 1) == ["a.0"]
    settle(sender, receiver)
    keys.revoke("fusion")
    for _ in range(2_000):
        if receiver.counters["unknown_key"]:
            break
        receiver.poll(0.005)
    assert receiver.counters["revoked_key"] == 1
    give(sender, "b.0")
    sender.poll(0.1)
    assert receiver.poll(0.1) == []
    assert sender.pending == 1
    sender.close()
    receiver.close()


def test_an_event_of_another_version_is_refused_told_and_kept(monkeypatch, capsys) -> None:
    receiver = EventReceiver("tcp://127.0.0.1:0")
    sender = EventSender(receiver.address, clock=CLOCK)
    with monkeypatch.context() as later:
        later.setattr(event_link, "Offer", lambda *of: event_messages.Offer(*of, version=2))
        give(sender, "e1.0")
        for _ in range(2_000):
            assert receiver.poll(0.005) == []
            sender.poll(0.005)
            if receiver.counters["version"]:
                break
        sender.poll(0.2)
    assert receiver.counters["version"]
    assert "event of version 2, we speak 1: upgrade the older node" in capsys.readouterr().out
    assert sender.pending == 1
