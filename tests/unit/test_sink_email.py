from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.clock import ManualClock, NodeClock
from pipeline.core.errors import SinkRejected, SinkUnavailable
from pipeline.core.event import Evidence
from pipeline.sinks.base import SINKS, SinkContext
from pipeline.sinks.email import EmailSink
from pipeline.sinks.lane import Outlet
from pipeline.sinks.outbox import OutboxDelivery
from pipeline.store import OutboxStore
from tests.event_samples import event, life
from tests.mail_server import MailServer

JPEG = b"\xff\xd8a picture\xff\xd9"
PNG = b"\x89PNG not really"


@pytest.fixture
def server():
    made = MailServer(login=("me", "secret")).start()
    yield made
    made.stop()


@pytest.fixture
def sink(server: MailServer, tmp_path: Path):
    with closing(built(server, tmp_path)) as made:
        yield made


def built(server: MailServer, folder: Path, **changes: object) -> EmailSink:
    given = {
        "server": "127.0.0.1",
        "port": server.port,
        "security": "none",
        "username": "me",
        "password": "secret",
        "sender": "watch@site.test",
        "to": ["ada@site.test", "bob@site.test"],
        "timeout_s": 5,
        "page": "https://watch.site.test/",
    }
    settings = SINKS.settings("email").model_validate(given | changes)
    made = settings.build(SinkContext(ManualClock(1_700_000_000 * 10**9), "site", folder))
    assert isinstance(made, EmailSink)
    return made


def test_the_phases_of_an_event_are_one_thread_and_lead_to_the_page(sink, server) -> None:
    for phase in life(60):
        sink.deliver(phase)
    first, *later = server.mails
    assert first["Subject"] == "[site/hall] alarm: a sound without its cause"
    assert first["To"] == "ada@site.test, bob@site.test"
    assert f"https://watch.site.test/#/event/{life(60)[0].id}" in first.get_content()
    assert "1970-01-01 00:01:00 UTC" in first.get_content()
    assert [mail["References"] for mail in later] == [first["Message-ID"]] * 2
    assert "over: a sound" in later[1]["Subject"]


def test_an_alarm_brings_its_pictures_along(sink, server, tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "explained.jpg").write_bytes(JPEG)
    (tmp_path / "e" / "spectrogram.png").write_bytes(PNG)
    pictures = {"explained": "e/explained.jpg", "spectrogram": "e/spectrogram.png"}
    sink.deliver(event(evidence=Evidence(snapshot="e/snapshot.jpg", **pictures)))
    sink.deliver(event(60, evidence=Evidence(snapshot="e/not-yet.jpg", channels="e/nor-this.png")))
    first, later = ([part for part in mail.iter_attachments()] for mail in server.mails)
    told = [(part.get_content_type(), part.get_content()) for part in first]
    assert told == [("image/jpeg", JPEG), ("image/png", PNG)]
    assert later == []


def test_what_is_refused_now_waits_and_what_is_refused_for_good_is_set_aside(sink, server) -> None:
    server.answer = lambda mail: "451 not now"
    with pytest.raises(SinkUnavailable, match="451"):
        sink.deliver(event())
    server.answer = lambda mail: "554 never"
    with pytest.raises(SinkRejected, match="554"):
        sink.deliver(event())
    server.answer = lambda mail: "250 taken"
    sink.deliver(event())
    assert len(server.mails) == 1


def test_one_recipient_that_is_not_known_does_not_keep_it_from_the_other(sink, server) -> None:
    server.refused = frozenset({"bob@site.test"})
    sink.deliver(event())
    assert len(server.mails) == 1
    server.refused = frozenset({"ada@site.test", "bob@site.test"})
    with pytest.raises(SinkRejected, match="550"):
        sink.deliver(event(60))


def test_while_one_recipient_may_be_reached_later_it_waits(sink, server) -> None:
    server.later, server.refused = frozenset({"ada@site.test"}), frozenset({"bob@site.test"})
    with pytest.raises(SinkUnavailable, match="450"):
        sink.deliver(event())
    server.later = frozenset()
    sink.deliver(event())
    assert len(server.mails) == 1


def test_a_wrong_password_is_no_fault_of_the_event(server, tmp_path: Path) -> None:
    wrong = built(server, tmp_path, password="wrong")
    with closing(wrong) as sink, pytest.raises(SinkUnavailable, match="login was refused"):
        sink.open()


@pytest.mark.parametrize(
    "wrong", [{"to": []}, {"to": ["a@b\nBcc: all@b"]}, {"sender": " "}, {"port": 0}]
)
def test_addresses_are_checked_before_anything_is_sent(server, tmp_path, wrong) -> None:
    with pytest.raises(ValidationError):
        built(server, tmp_path, **wrong)


class Together(MailServer):
    """Takes the first mails only once there are two at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._two = asyncio.Barrier(2)

    async def handle_DATA(self, *given: Any) -> str:
        if len(self.mails) < 2:
            await self._two.wait()
        return await super().handle_DATA(*given)


def test_two_connections_send_of_two_scenes_at_once_and_of_each_in_order(tmp_path: Path) -> None:
    server = Together().start()
    settings = built(server, tmp_path, concurrency=2, username="")._settings
    context = SinkContext(NodeClock(), "site", tmp_path)
    hands = [settings.build(context) for _ in range(settings.pace.concurrency)]
    with closing(OutboxStore(tmp_path / "alert.db")) as store:
        for scene in ("hall", "yard"):
            for phase in life(1, scene):
                store.accept(phase, ["mail"])
        delivery = OutboxDelivery(store, {"mail": Outlet(hands)}, NodeClock(), rng=Random(1))
        delivery.start()
        assert delivery.drain(60)
    server.stop()
    for scene in ("hall", "yard"):
        sent = [mail["Message-ID"] for mail in server.mails]
        own = [f"<{phase.key}@" for phase in life(1, scene)]
        found = [begin for one in sent for begin in own if one.startswith(begin)]
        assert found == own
