from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.transport.key_store import KeyStore, Role
from tests.command_line import fusewatch

USAGE, UNAVAILABLE = 64, 69


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def trusted(keys: Path, capsys) -> list[tuple[str, str]]:
    capsys.readouterr()
    assert fusewatch("keys", "list", "--keys", keys, "--json") == 0
    return [(key["node"], key["public"]) for key in json.loads(capsys.readouterr().out)]


def test_keys_are_made_enrolled_listed_and_revoked(keys: Path, tmp_path, capsys) -> None:
    other = KeyStore(tmp_path / "other").create("cam-1", Role.CAPTURE)
    assert fusewatch("keys", "create", "fusion", "--role", "fusion", "--keys", keys) == 0
    file = tmp_path / "other" / "cam-1.public.json"
    assert fusewatch("keys", "enrol", file, "--keys", keys) == 0
    assert ("cam-1", other.public) in trusted(keys, capsys)
    assert fusewatch("keys", "revoke", "cam-1", "--keys", keys) == 0
    assert fusewatch("keys", "revoke", "cam-1", "--keys", keys) == UNAVAILABLE
    assert [node for node, _ in trusted(keys, capsys)] == ["fusion"]


def test_a_key_may_be_enrolled_beside_the_one_before(keys: Path, capsys) -> None:
    for public, beside in (("0" * 40, ()), ("1" * 40, ("--beside",)), ("2" * 40, ())):
        assert (
            fusewatch(
                *("keys", "enrol", public, "--node", "cam-1", "--role", "capture"),
                *(*beside, "--keys", keys),
            )
            == 0
        )
        expected = [("cam-1", "0" * 40), ("cam-1", "1" * 40)] if beside else [("cam-1", public)]
        assert trusted(keys, capsys) == expected


def test_a_fusion_nodes_keys_are_rotated_in_two_steps(keys: Path, capsys) -> None:
    old = KeyStore(keys).create("fusion", Role.FUSION)
    assert fusewatch("keys", "rotate", "fusion", "--keys", keys, "--finish") == UNAVAILABLE
    assert fusewatch("keys", "rotate", "fusion", "--keys", keys) == 0
    assert "fusion.next.public.json --beside" in capsys.readouterr().out
    assert KeyStore(keys).own("fusion", Role.FUSION).shared == old
    new = KeyStore(keys).upcoming("fusion", Role.FUSION)
    assert (keys / "fusion.next.secret.json").stat().st_mode & 0o077 == 0
    assert fusewatch("keys", "rotate", "fusion", "--keys", keys, "--finish") == 0
    assert KeyStore(keys).own("fusion", Role.FUSION) == new
    assert trusted(keys, capsys) == [("fusion", new.public)]
    assert not list(keys.glob("*.next.*"))


def test_a_capture_nodes_rotation_needs_an_address_and_an_answer(keys: Path, capsys) -> None:
    store = KeyStore(keys)
    old = store.create("cam-1", Role.CAPTURE)
    assert fusewatch("keys", "rotate", "cam-1", "--keys", keys) == USAGE
    assert "--at" in capsys.readouterr().err
    assert fusewatch("keys", "rotate", "cam-1", "--at", "nowhere", "--keys", keys) == UNAVAILABLE
    assert store.own("cam-1", Role.CAPTURE).shared == old


def test_whose_keys_there_are_is_said_when_another_is_named(keys: Path, capsys) -> None:
    assert fusewatch("keys", "rotate", "cam-1", "--keys", keys) == UNAVAILABLE
    assert "there are those of nobody" in capsys.readouterr().err
    store = KeyStore(keys)
    store.create("cam-1", Role.CAPTURE)
    store.upcoming("cam-1", Role.CAPTURE)
    assert fusewatch("keys", "rotate", "cam", "--keys", keys) == UNAVAILABLE
    assert "there are those of cam-1;" in capsys.readouterr().err


@pytest.mark.parametrize("valid", ["0m", "15", "25h", "-5m", "soon"])
def test_an_invitation_holds_for_a_time_that_makes_sense(keys: Path, valid: str, capsys) -> None:
    assert fusewatch("keys", "invite", "cam-1", f"--valid={valid}", "--keys", keys) == USAGE
    assert "at most 24h" in capsys.readouterr().err
    assert not keys.exists()


def test_what_is_no_token_is_refused(keys: Path, capsys) -> None:
    assert fusewatch("keys", "join", "rubbish", "--keys", keys) == UNAVAILABLE
    assert "fusewatch keys invite" in capsys.readouterr().err
    assert not keys.exists()
