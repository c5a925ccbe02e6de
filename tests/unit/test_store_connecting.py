"""How connections to a database are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.store import connecting
from pipeline.store.connecting import LINE_S, engine_of, url_of

SERVER = "postgresql+psycopg://fusewatch@hub.example.org/site"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What connections were asked to be, instead of opened."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(
        connecting, "create_engine", lambda _url, **how: found.append(how["connect_args"])
    )
    return found


def test_a_line_that_is_broken_is_noticed_unless_the_url_says_when(
    asked: list[dict[str, Any]],
) -> None:
    engine_of(url_of(SERVER))
    engine_of(url_of(f"{SERVER}?tcp_user_timeout=60000"))
    ours, theirs = asked
    assert ours.pop("tcp_user_timeout") == LINE_S * 1000
    assert theirs == ours, "the driver takes the rest from the URL"
