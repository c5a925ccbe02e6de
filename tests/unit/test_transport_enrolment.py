from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
import zmq

from pipeline.core.clock import NodeClock
from pipeline.core.errors import AuthenticationError, TransportError
from pipeline.transport import enrolment
from pipeline.transport.enrolment import Inviter, Join, join
from pipeline.transport.invitation import Invitation, read_token
from pipeline.transport.key_store import KeyStore, PublicKey, Role
from pipeline.transport.link import connect
from pipeline.transport.security import FixedClient

CLOCK = NodeClock()
MINUTE_NS = 60 * 1_000_000_000


class MovedClock:
    """Node time, and what the test adds to it."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def now_ns(self) -> int:
        return CLOCK.now_ns() + self.ahead_ns


class Desk:
    """The fusion node's side, which polls in a thread of its own."""

    def __init__(self, folder) -> None:
        self.store = KeyStore(folder)
        self.clock = MovedClock()
        own = self.store.own_or_new("fusion", Role.FUSION)
        self.inviter = Inviter(
            self.store,
            own,
            "cam-1",
            Role.CAPTURE,
            listen_at="tcp://127.0.0.1:*",
            valid_ns=15 * MINUTE_NS,
            clock=self.clock,
        )
        self.invitation = self.inviter.invitation
        self.joined: list[PublicKey] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set() and not self.joined:
            found = self.inviter.poll(0.1)
            self.joined += [found] if found else []
        self.inviter.close()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def nodes(self) -> list[str]:
        return [key.node for key in self.store.trusted()]


@pytest.fixture
def desk(tmp_path) -> Iterator[Desk]:
    found = Desk(tmp_path / "fusion")
    yield found
    found.close()


def accept(invitation: Invitation, folder, timeout_s: float = 20.0) -> KeyStore:
    store = KeyStore(folder)
    join(invitation, store, clock=CLOCK, timeout_s=timeout_s)
    return store


def with_secret(invitation: Invitation, secret: bytes) -> Invitation:
    return msgspec.structs.replace(invitation, secret=secret)


def test_who_has_the_token_joins_and_both_sides_trust_each_other(desk: Desk, tmp_path) -> None:
    store = accept(read_token(desk.invitation.token), tmp_path / "cam")
    desk.close()
    own = store.own("cam-1", Role.CAPTURE)
    assert desk.joined == [own.shared]
    assert own.shared in desk.store.trusted()
    assert store.peers(Role.FUSION) == [desk.store.own("fusion", Role.FUSION).shared]
    for folder in (tmp_path / "cam", tmp_path / "fusion"):
        for path in folder.iterdir():
            wanted = 0o644 if path.name.endswith(".public.json") else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_the_token_is_good_once(desk: Desk, tmp_path) -> None:
    accept(desk.invitation, tmp_path / "cam")
    desk.close()
    with pytest.raises(TransportError, match="nobody who holds the key"):
        accept(desk.invitation, tmp_path / "thief", 0.3)
    assert desk.nodes() == ["fusion", "cam-1"]


def test_another_secret_is_turned_away_and_the_right_one_still_joins(desk: Desk, tmp_path) -> None:
    with pytest.raises(AuthenticationError, match="not the one of this invitation"):
        accept(with_secret(desk.invitation, bytes(16)), tmp_path / "thief")
    assert desk.nodes() == ["fusion"]
    assert not KeyStore(tmp_path / "thief").trusted()[1:]
    accept(desk.invitation, tmp_path / "cam")
    desk.close()
    assert desk.nodes() == ["fusion", "cam-1"]
    assert desk.inviter.failed == 1


def test_a_token_that_has_ended_is_refused(desk: Desk, tmp_path) -> None:
    desk.clock.ahead_ns = 16 * MINUTE_NS
    assert desk.inviter.ended
    with pytest.raises(AuthenticationError, match="has ended") as failed:
        accept(desk.invitation, tmp_path / "cam")
    assert "keys invite cam-1" in str(failed.value)
    assert desk.nodes() == ["fusion"]


@contextmanager
def connected(invitation: Invitation, store: KeyStore) -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    keys = FixedClient(store.own_or_new("cam-1", Role.CAPTURE), invitation.server)
    yield connect(context, invitation.address, keys, 4_096)
    context.destroy(0)


def test_a_proof_is_of_no_use_with_another_key(desk: Desk, tmp_path) -> None:
    honest = KeyStore(tmp_path / "cam").own_or_new("cam-1", Role.CAPTURE)
    overheard = msgspec.msgpack.encode(Join(desk.invitation.proof("join", honest.public)))
    with connected(desk.invitation, KeyStore(tmp_path / "thief")) as socket:
        socket.send(overheard)
        assert socket.poll(20_000)
        assert b"wrong" in socket.recv()
    assert desk.nodes() == ["fusion"]


def test_guesses_are_not_even_looked_at_beyond_a_few_a_second(
    desk: Desk, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(enrolment, "_RETRY_MS", 50)
    looked_at = 0
    with connected(desk.invitation, KeyStore(tmp_path / "thief")) as socket:
        for _ in range(12):
            socket.send(msgspec.msgpack.encode(Join(bytes(32))))
            assert socket.poll(20_000)
            looked_at += b"wrong" in socket.recv()
    assert 1 <= looked_at < 12
    desk.clock.ahead_ns = MINUTE_NS
    accept(desk.invitation, tmp_path / "cam")
    desk.close()
    assert desk.nodes() == ["fusion", "cam-1"]


@pytest.mark.parametrize("frames", [[b""], [b"\xff" * 40], [b"a", b"b"], [bytes(4_000)]])
def test_nonsense_is_turned_away(desk: Desk, tmp_path, frames: list[bytes]) -> None:
    with connected(desk.invitation, KeyStore(tmp_path / "thief")) as socket:
        socket.send_multipart(frames)
        assert socket.poll(20_000)
        assert b"wrong" in socket.recv()
    assert desk.nodes() == ["fusion"]


def test_nobody_but_the_inviter_is_believed(desk: Desk, tmp_path) -> None:
    other = KeyStore(tmp_path / "other").create("fusion", Role.FUSION)
    misled = msgspec.structs.replace(desk.invitation, server=other)
    with pytest.raises(TransportError, match="nobody who holds the key"):
        accept(misled, tmp_path / "cam", 0.5)
    assert other not in KeyStore(tmp_path / "cam").trusted()


def test_a_node_that_has_keys_joins_with_them(desk: Desk, tmp_path) -> None:
    before = KeyStore(tmp_path / "cam").create("cam-1", Role.CAPTURE)
    accept(desk.invitation, tmp_path / "cam")
    desk.close()
    assert desk.joined == [before]


def test_a_token_shows_its_damage_and_never_its_secret(desk: Desk) -> None:
    token = desk.invitation.token
    assert read_token(f" {token[:40]}\n  {token[40:]} ") == desk.invitation
    assert desk.invitation.secret.hex() not in repr(desk.invitation)
    assert str(desk.invitation.secret) not in repr(desk.invitation)
    other = token[:30] + ("B" if token[30] == "A" else "A") + token[31:]
    for broken in (token[:-6], other, "fw1.", "fw1.!", "hello", ""):
        with pytest.raises(AuthenticationError) as failed:
            read_token(broken)
        assert token[20:60] not in str(failed.value)
