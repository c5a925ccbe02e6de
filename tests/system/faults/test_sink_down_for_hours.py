"""A sink that answers 500 for hours, then is back: a real endpoint, a clock moved by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from pipeline.core.clock import ManualClock
from pipeline.core.event import Event, from_json
from pipeline.sinks.base import SinkContext
from pipeline.sinks.jsonl import JsonlSettings
from pipeline.sinks.lane import Outcome, Outlet
from pipeline.sinks.outbox import OutboxDelivery
from pipeline.sinks.webhook import WebhookSettings
from pipeline.store import OutboxStore
from tests.event_samples import life
from tests.http_receiver import HttpReceiver, Request

pytestmark = pytest.mark.system

SECOND_NS = 1_000_000_000
HOUR_S = 3600
DOWN_S = 4 * HOUR_S
STEP_S = 15
SCENES = ("hall", "yard")


class Site:
    """An outbox with a webhook at a real endpoint and a file, and a clock moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.server = HttpReceiver().start()
        self.clock = ManualClock(0)
        self.out = folder / "events.jsonl"
        self.store = OutboxStore(folder / "alert.db")
        context = SinkContext(self.clock, "site", folder, SCENES)
        chosen = (
            # Insecure: reading certificates anew at each of hundreds of tries takes long.
            WebhookSettings.model_validate({"url": self.server.url, "insecure": True}),
            JsonlSettings(path=self.out, fsync=False),
        )
        outlets = {s.key: Outlet([s.build(context)], s.pace) for s in chosen}
        self.delivery = OutboxDelivery(self.store, outlets, self.clock, rng=Random(5))
        self.accepted: list[Event] = []

    def accept(self, *events: Event) -> None:
        for event in events:
            self.store.accept(event, ["webhook", "jsonl"])
            self.accepted.append(event)

    def run_until(self, until_s: int) -> None:
        while self.clock.now_ns() < until_s * SECOND_NS:
            for sink in ("webhook", "jsonl"):
                while self.delivery.step(sink) is Outcome.DELIVERED:
                    pass
            self.clock.advance(STEP_S * SECOND_NS)

    def close(self) -> None:
        self.store.close()
        self.server.stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def told(request: Request) -> list[str]:
    """Keys of all phases that a request stands for."""
    body = json.loads(request.body)
    if body["type"] != "org.fusewatch.digest":
        return [body["id"]]
    return [key for entry in body["data"]["events"] for key in entry["keys"]]


def test_nothing_is_lost_and_the_backlog_is_told_in_digests(site: Site) -> None:
    known = life(10, "hall")
    site.accept(known[0])
    site.run_until(60)
    assert [told(r) for r in site.server.accepted] == [[known[0].key]]
    site.server.answer = lambda _: 500
    site.accept(*known[1:])
    for start_s in range(600, DOWN_S - 600, 1200):
        site.run_until(start_s + 5)
        for scene in SCENES:
            site.accept(*life(start_s, scene))
    standing = life(DOWN_S - 300, "yard")[:2]
    site.accept(*standing)
    site.run_until(DOWN_S)
    assert DOWN_S / 80 <= len(site.server.requests) <= DOWN_S / 30  # asked, not hammered
    site.server.answer = lambda _: 204
    site.run_until(DOWN_S + 120)
    _, *after = site.server.accepted
    # The digest that was being tried all the while stays as it is, the next has all the rest.
    assert sorted(len(told(r)) for r in after if len(told(r)) > 1) == [3, 3 * 10, 3 * 11]
    assert len(after) == len(known[1:]) + 3 + len(standing)
    assert sorted(key for r in site.server.accepted for key in told(r)) == sorted(
        event.key for event in site.accepted
    )
    for scene in SCENES:
        mine = [event.key for event in site.accepted if event.scene == scene]
        assert [k for r in site.server.accepted for k in told(r) if k in mine] == mine
    assert [from_json(line) for line in site.out.read_bytes().splitlines()] == site.accepted
    assert site.store.dead_letters() == []


def test_every_request_has_its_key_in_a_header_and_a_repeat_has_the_same(site: Site) -> None:
    site.accept(*life(10))
    site.server.answer = lambda count: 500 if count < 4 else 200
    site.run_until(HOUR_S)
    site.accept(*life(HOUR_S))
    site.run_until(HOUR_S + 60)
    keys = [request.headers["webhook-id"] for request in site.server.requests]
    assert keys == [json.loads(request.body)["id"] for request in site.server.requests]
    assert len(set(keys[:5])) == 1
    assert keys[5:] == [event.key for event in life(10)[1:] + life(HOUR_S)]
