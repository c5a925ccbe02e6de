"""What events quote of the loss ledger: the streams of their scene, as they were then."""

from __future__ import annotations

from pipeline.core.event import Account
from pipeline.core.ledger import StreamAccount
from pipeline.detection.accounts import Accounts

SITE = {"hall": ("cam", "mic"), "yard": ("mic", "gate")}


def test_a_scene_quotes_its_own_streams_of_which_something_is_known() -> None:
    known = Accounts(SITE).after({n: StreamAccount(9, 8, 1) for n in ("mic", "gate", "roof")})
    account = Account(captured=9, delivered=8, spooled=1)
    assert known.of("hall") == {"mic": account}
    assert known.of("yard") == {"mic": account, "gate": account}
    assert known.of("no such scene") == {}


def test_what_is_reported_later_leaves_what_was_quoted_as_it_was() -> None:
    first = Accounts(SITE).after({"cam": StreamAccount(5, 5, 0)})
    dropped = {"corrupt": 1}
    second = first.after({"cam": StreamAccount(9, 8, 0, dropped)})
    dropped["corrupt"] = 7
    assert first.of("hall")["cam"].captured == 5
    assert second.of("hall")["cam"] == Account(9, 8, 0, {"corrupt": 1})
