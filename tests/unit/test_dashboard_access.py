from __future__ import annotations

import stat
from pathlib import Path

import pytest

from nodes.dashboard.access import FILE, SESSION_S, Access, page_token
from pipeline.core.clock import ManualClock
from pipeline.core.errors import AuthenticationError

TOKEN = "a-token-nobody-guesses"


def test_a_session_says_who_logged_in_until_it_is_over() -> None:
    clock = ManualClock(10**18)
    access = Access(TOKEN, clock)
    cookie = access.login(TOKEN, "  Ada   Lovelace ")
    assert access.who(cookie, None) == "Ada Lovelace"
    clock.advance(SESSION_S * 10**9 - 1)
    assert access.who(cookie, None) == "Ada Lovelace"
    clock.advance(10**9)
    assert access.who(cookie, None) is None


def test_nobody_comes_in_without_the_token() -> None:
    access = Access(TOKEN, ManualClock(10**18))
    for wrong in ("", TOKEN[:-1], TOKEN + "x", "\udcff"):
        with pytest.raises(AuthenticationError):
            access.login(wrong, "Ada")


@pytest.mark.parametrize(
    "spoil", [lambda c: c[:-1], lambda c: "A" + c[1:], lambda c: c.split(".")[0]]
)
def test_a_changed_cookie_is_nobodys(spoil) -> None:
    access = Access(TOKEN, ManualClock(10**18))
    assert access.who(spoil(access.login(TOKEN, "Ada")), None) is None


@pytest.mark.parametrize("cookie", ["", ".", "e30=.x", "\u00e4.x", "!!!.00"])
def test_what_is_no_cookie_is_nobodys(cookie: str) -> None:
    assert Access(TOKEN, ManualClock(10**18)).who(cookie, None) is None


def test_another_token_ends_all_sessions() -> None:
    clock = ManualClock(10**18)
    cookie = Access(TOKEN, clock).login(TOKEN, "Ada")
    assert Access("another-token-altogether", clock).who(cookie, None) is None


def test_scripts_send_the_token_itself() -> None:
    access = Access(TOKEN, ManualClock(10**18))
    assert access.who(None, f"Bearer {TOKEN}") == "token"
    assert access.who(None, TOKEN) is None
    assert access.who(access.login(TOKEN, "Ada"), "Bearer wrong") is None


def test_the_token_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    token = page_token(tmp_path / "data")
    assert page_token(tmp_path / "data") == token
    assert stat.S_IMODE((tmp_path / "data" / FILE).stat().st_mode) == 0o600


def test_a_token_that_others_can_read_or_guess_is_refused(tmp_path: Path) -> None:
    page_token(tmp_path)
    (tmp_path / FILE).chmod(0o644)
    with pytest.raises(AuthenticationError, match="others can read"):
        page_token(tmp_path)
    (tmp_path / FILE).chmod(0o600)
    (tmp_path / FILE).write_text("short\n")
    with pytest.raises(AuthenticationError, match="too short"):
        page_token(tmp_path)
