from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pipeline.core.errors import AuthenticationError
from pipeline.transport import allow_list
from pipeline.transport.allow_list import AllowList
from pipeline.transport.key_store import KeyStore, PublicKey, Role, read_public
from pipeline.transport.security import curve_client, curve_server, needs_curve

OTHER = "0" * 40


@pytest.fixture
def store(tmp_path) -> KeyStore:
    return KeyStore(tmp_path / "keys")


def test_a_new_key_pair_is_secret_usable_and_trusted(store: KeyStore, tmp_path) -> None:
    public = store.create("cam-1", Role.CAPTURE)
    secret_file = tmp_path / "keys" / "cam-1.secret.json"
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    pair = store.own("cam-1", Role.CAPTURE)
    assert pair.public == public.public
    assert pair.secret not in repr(pair)
    assert pair.secret not in (tmp_path / "keys" / "cam-1.public.json").read_text()
    assert store.trusted() == [public]


def test_keys_are_never_overwritten(store: KeyStore) -> None:
    store.create("cam-1", Role.CAPTURE)
    with pytest.raises(AuthenticationError, match="already"):
        store.create("cam-1", Role.CAPTURE)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_secret_that_others_may_read_is_refused(store: KeyStore, tmp_path, mode: int) -> None:
    store.create("cam-1", Role.CAPTURE)
    (tmp_path / "keys" / "cam-1.secret.json").chmod(mode)
    with pytest.raises(AuthenticationError, match="chmod 600"):
        store.own("cam-1", Role.CAPTURE)


def test_missing_damaged_and_wrong_keys_are_told_apart(store: KeyStore, tmp_path) -> None:
    with pytest.raises(AuthenticationError, match="fusewatch keys create cam-1"):
        store.own("cam-1", Role.CAPTURE)
    store.create("cam-1", Role.CAPTURE)
    with pytest.raises(AuthenticationError, match="capture, not fusion"):
        store.own("cam-1", Role.FUSION)
    path = tmp_path / "keys" / "cam-1.secret.json"
    secret = store.own("cam-1", Role.CAPTURE).secret
    path.write_text(path.read_text()[:-5])
    with pytest.raises(AuthenticationError, match="damaged") as failed:
        store.own("cam-1", Role.CAPTURE)
    assert secret not in str(failed.value)


def test_enrolling_replaces_the_nodes_key_and_revoking_takes_it_out(store: KeyStore) -> None:
    store.enrol(PublicKey("cam-1", Role.CAPTURE, OTHER))
    store.enrol(PublicKey("cam-1", Role.CAPTURE, "1" * 40))
    store.enrol(PublicKey("fusion", Role.FUSION, OTHER))
    assert [key.public for key in store.trusted()] == ["1" * 40, OTHER]
    assert store.revoke("cam-1") == 1
    assert store.revoke("cam-1") == 0
    assert [key.node for key in store.trusted()] == ["fusion"]


@pytest.mark.parametrize("key", ["short", OTHER + "0", "\n" * 40, ""])
def test_what_is_no_key_is_not_enrolled(store: KeyStore, key: str) -> None:
    with pytest.raises(AuthenticationError):
        store.enrol(PublicKey("cam-1", Role.CAPTURE, key))
    with pytest.raises(AuthenticationError):
        store.enrol(PublicKey("../x", Role.CAPTURE, OTHER))


def test_a_public_key_is_read_from_a_file_or_typed(store: KeyStore, tmp_path) -> None:
    public = store.create("cam-1", Role.CAPTURE)
    file = str(tmp_path / "keys" / "cam-1.public.json")
    assert read_public(file) == public
    assert read_public(file, "cam-2").node == "cam-2"
    assert read_public(OTHER, "cam-2", Role.CAPTURE) == PublicKey("cam-2", Role.CAPTURE, OTHER)
    with pytest.raises(AuthenticationError, match="whose"):
        read_public(OTHER)
    with pytest.raises(AuthenticationError, match="neither"):
        read_public("no/such/file")


def test_a_file_whose_path_looks_like_a_key_is_a_file(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = "k" * (40 - len("/fusion.next.public.json"))
    store = KeyStore(Path(folder))
    store.create("fusion", Role.FUSION)
    upcoming = store.upcoming("fusion", Role.FUSION).shared
    file = str(store.public_file("fusion", upcoming=True))
    assert len(file) == 40
    assert read_public(file) == upcoming
    assert store.upcoming_public("fusion") == upcoming.public


def test_a_damaged_key_to_come_leaves_a_client_with_the_key_it_has(
    store: KeyStore, tmp_path
) -> None:
    store.create("cam-1", Role.CAPTURE)
    store.create("fusion", Role.FUSION)
    client = curve_client(tmp_path / "keys", "cam-1", Role.CAPTURE, Role.FUSION)
    store.public_file("cam-1", upcoming=True).write_text("{")
    assert client.upcoming() == ""


def test_a_client_needs_exactly_one_trusted_server(store: KeyStore, tmp_path) -> None:
    store.create("cam-1", Role.CAPTURE)
    with pytest.raises(AuthenticationError, match="no fusion node is trusted"):
        curve_client(tmp_path / "keys", "cam-1", Role.CAPTURE, Role.FUSION)
    store.create("fusion", Role.FUSION)
    client = curve_client(tmp_path / "keys", "cam-1", Role.CAPTURE, Role.FUSION)
    server = curve_server(tmp_path / "keys", "fusion", Role.FUSION, Role.CAPTURE)
    assert client.server.public == server.own.public


def test_an_allow_list_follows_its_file(store: KeyStore, monkeypatch) -> None:
    monkeypatch.setattr(allow_list, "_LOOK_EVERY_S", 0.0)
    allow = AllowList(store.allowed, Role.CAPTURE)
    assert allow.node_of(OTHER) is None
    store.enrol(PublicKey("cam-1", Role.CAPTURE, OTHER))
    assert allow.node_of(OTHER) == "cam-1"
    version = allow.version
    store.revoke("cam-1")
    assert allow.node_of(OTHER) is None
    assert allow.version > version


def test_a_key_of_another_role_is_not_trusted(store: KeyStore) -> None:
    store.enrol(PublicKey("alert", Role.ALERT, OTHER))
    assert AllowList(store.allowed, Role.CAPTURE).node_of(OTHER) is None


def test_a_damaged_allow_list_trusts_nobody(store: KeyStore, monkeypatch) -> None:
    monkeypatch.setattr(allow_list, "_LOOK_EVERY_S", 0.0)
    store.enrol(PublicKey("cam-1", Role.CAPTURE, OTHER))
    allow = AllowList(store.allowed, Role.CAPTURE)
    assert allow.node_of(OTHER) == "cam-1"
    store.allowed.write_text("[")
    assert allow.node_of(OTHER) is None


@pytest.mark.parametrize(
    ("endpoint", "needed"),
    [
        ("tcp://127.0.0.1:7710", False),
        ("tcp://127.8.8.8:7710", False),
        ("tcp://localhost:7710", False),
        ("tcp://[::1]:7710", False),
        ("ipc:///run/fusewatch", False),
        ("inproc://x", False),
        ("tcp://*:7710", True),
        ("tcp://0.0.0.0:7710", True),
        ("tcp://[::]:7710", True),
        ("tcp://10.0.0.5:7710", True),
        ("tcp://fusion.example:7710", True),
    ],
)
def test_everything_but_this_machine_needs_encryption(endpoint: str, needed: bool) -> None:
    assert needs_curve(endpoint) is needed


def test_files_are_written_whole_or_not_at_all(store: KeyStore, tmp_path) -> None:
    store.create("cam-1", Role.CAPTURE)
    assert not [name for name in os.listdir(tmp_path / "keys") if name.startswith(".")]


def test_a_list_that_others_may_write_to_trusts_nobody(store: KeyStore) -> None:
    store.enrol(PublicKey("cam-1", Role.CAPTURE, OTHER))
    assert stat.S_IMODE(store.allowed.stat().st_mode) == 0o600
    store.allowed.chmod(0o666)
    with pytest.raises(AuthenticationError, match="chmod 600"):
        store.trusted()
    assert AllowList(store.allowed, Role.CAPTURE).node_of(OTHER) is None


def test_the_older_of_two_keys_goes_once_the_newer_was_seen(store: KeyStore) -> None:
    old, new = (PublicKey("cam-1", Role.CAPTURE, digit * 40) for digit in "12")
    other = PublicKey("cam-2", Role.CAPTURE, OTHER)
    for key in (old, other, new):
        store.enrol(key, beside=True)
    assert store.settle(old) == 0
    assert store.settle(other) == 0
    assert store.trusted() == [other, old, new]
    assert store.settle(new) == 1
    assert store.trusted() == [other, new]
    assert store.settle(new) == 0


def test_a_node_has_two_keys_at_most_and_none_that_is_anothers(store: KeyStore) -> None:
    keys = [PublicKey("cam-1", Role.CAPTURE, digit * 40) for digit in "1234"]
    for key in keys:
        store.enrol(key, beside=True)
    assert store.trusted() == [keys[0], keys[3]]
    with pytest.raises(AuthenticationError, match="the key of 'cam-1'"):
        store.enrol(PublicKey("cam-2", Role.CAPTURE, "1" * 40), beside=True)
    assert store.trusted() == [keys[0], keys[3]]
