from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from pydantic import ValidationError

from nodes.sink_trial import marked_event
from pipeline.core.answered import EventAnswer
from pipeline.core.clock import ManualClock
from pipeline.core.digest import Digest
from pipeline.core.errors import SinkRejected, SinkUnavailable
from pipeline.core.event import HEALTH_PREFIX, TEST_PREFIX, Event, Phase, Severity
from pipeline.sinks.base import SinkContext
from pipeline.sinks.webhook import TEMPLATES, WebhookSettings, WebhookSink
from tests.alert_services import (
    AlertmanagerService,
    PagerDutyService,
    Service,
    SlackService,
    TeamsService,
)
from tests.event_samples import event, life
from tests.http_receiver import HttpReceiver

NOW_S = 1_700_000_000
KEY = "0123456789abcdef0123456789abcdef"
PAGE = "https://watch.test/site"
SERVICES: dict[str, type[Service]] = {
    "slack": SlackService,
    "teams": TeamsService,
    "pagerduty": PagerDutyService,
    "alertmanager": AlertmanagerService,
}
every_service = pytest.mark.parametrize("name", list(SERVICES))


@contextmanager
def told(name: str, **more: Any) -> Iterator[tuple[WebhookSink, Any, HttpReceiver]]:
    """A sink, the service that it tells, and the server between them."""
    service = SERVICES[name]()
    with HttpReceiver() as server:
        server.judge, server.said = service.judge, service.refusal
        key = {"routing_key": KEY} if name == "pagerduty" else {}
        chosen = {"url": server.url, "template": name, "page": PAGE} | key | more
        sink = WebhookSettings.model_validate(chosen).build(
            SinkContext(ManualClock(NOW_S * 10**9), "site", Path())
        )
        yield sink, service, server
        sink.close()
    assert service.faults == []


def any_text() -> st.SearchStrategy[str]:
    smile = "\U0001f600" * 40
    hard = st.sampled_from(["<!channel>", "\x1b[2J", "\u202e", smile, "&" * 90, '"\\' * 50])
    return st.builds(lambda parts: "".join(parts) * 40, st.lists(st.text() | hard, max_size=4))


NAMES = st.sampled_from(["hall", "a_b__c-", "0", "n" * 63])


@st.composite
def events(draw: st.DrawFn) -> Event:
    start_ns = draw(st.integers(0, 4 * 10**18))
    revision = draw(st.integers(0, 10**6))
    return event(
        scene=draw(NAMES),
        revision=revision,
        id=draw(st.sampled_from(["", HEALTH_PREFIX, TEST_PREFIX])) + "0123456789abcdef0123",
        alarm=draw(NAMES),
        phase=draw(st.sampled_from([*Phase][1:])) if revision else Phase.RAISED,
        severity=draw(st.sampled_from(Severity)),
        start_ns=start_ns,
        end_ns=start_ns + draw(st.integers(0, 10**15)),
        summary=draw(any_text()),
        incomplete=tuple(["n" * 63] * draw(st.integers(0, 40))),
        explanation=None,
    )


@every_service
def test_whatever_happens_the_service_takes_it(name: str) -> None:
    with told(name) as (sink, service, _):

        @settings(
            max_examples=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(events())
        def taken(one: Event) -> None:
            sink.deliver(one)

        taken()
        assert len(service.bodies) >= 40


@every_service
def test_a_digest_as_long_as_there_is_is_taken(name: str) -> None:
    ugly = "a long & <!channel> \U0001f600 story" * 200
    phases = tuple(structs.replace(p, summary=ugly) for n in range(100) for p in life(n * 10))
    with told(name) as (sink, service, _):
        sink.deliver_digest(Digest("digest-1", phases))
        sink.deliver_digest(Digest("digest-2", tuple(life())))
        assert len(service.bodies) == 2


@pytest.mark.parametrize("name", ["slack", "teams"])
def test_people_are_told_what_happened_where_and_where_to_look(name: str) -> None:
    with told(name) as (sink, service, _):
        for phase in life(NOW_S):
            sink.deliver(phase)
        raised, updated, over = map(json.dumps, service.bodies)
        for said in (raised, updated, over):
            assert "a sound without its cause" in said
            assert f"{PAGE}/#/event/{event(NOW_S).id}" in said
        assert "Alarm in hall" in raised and "2023-11-14 22:13:20 UTC" in raised
        assert "Still going on in hall" in updated and "Over in hall" in over


def test_slack_is_told_with_a_text_for_where_blocks_do_not_show() -> None:
    with told("slack", page="") as (sink, service, _):
        sink.deliver(event(summary="a <!channel> & more"))
        (body,) = service.bodies
        assert body["text"] == "Alarm in hall: a &lt;!channel&gt; &amp; more"
        assert body["blocks"][1]["text"]["text"] == "a <!channel> & more"
        assert "Look at it" not in json.dumps(body)


@every_service
def test_a_test_says_that_it_is_one_and_leaves_nothing_open(name: str) -> None:
    with told(name) as (sink, service, _):
        for phase in marked_event("hall", ManualClock(NOW_S * 10**9)):
            sink.deliver(phase)
        assert "Test, alarm in hall" in json.dumps(service.bodies[0])
        assert "This is a test of fusewatch" in json.dumps(service.bodies[0])
        if name == "pagerduty":
            assert service.open == []
        if name == "alertmanager":
            assert service.active(datetime.fromtimestamp(NOW_S, UTC)) == []


def test_pagerduty_has_one_alert_an_event_from_raised_to_cleared() -> None:
    with told("pagerduty") as (sink, service, _):
        for phase in life(1)[:2]:
            sink.deliver(phase)
        sink.deliver(event(5, severity=Severity.CRITICAL))
        assert service.open == [event(1).id, event(5).id]
        sink.deliver(life(1)[2])
        assert service.open == [event(5).id]
        actions = [(b["event_action"], b["dedup_key"]) for b in service.bodies]
        assert actions[:2] == [("trigger", event(1).id)] * 2
        payload = service.bodies[0]["payload"]
        assert (payload["severity"], payload["source"]) == ("error", "site/hall")
        assert payload["timestamp"] == "1970-01-01T00:00:01.000Z"
        assert service.bodies[2]["payload"]["severity"] == "critical"


def answer(action: str, value: str = "", **more: Any) -> EventAnswer:
    return EventAnswer(position=1, action=action, value=value, who="Ada", at_ns=0, **more)


@every_service
def test_what_is_answered_is_told_as_the_service_takes_it(name: str) -> None:
    long = answer("note", note="a long <!channel> \U0001f600 story" * 500)
    with told(name, answers=True) as (sink, service, _):
        sink.deliver(event(1))
        for one in (long, answer("verdict", "real"), answer("seen", withdrawn_ns=5)):
            sink.deliver_answer(event(1), one)
        bodies = service.bodies[1:]
        if name == "pagerduty":
            assert [(b["event_action"], b["dedup_key"]) for b in bodies] == [
                ("acknowledge", event(1).id)
            ]
        elif name == "alertmanager":
            assert bodies == []
        else:
            assert "said to be real by Ada" in json.dumps(bodies[1])
            assert "Answered in hall" in json.dumps(bodies[1])


def test_what_pagerduty_missed_waits_for_a_person_and_wakes_nobody() -> None:
    with told("pagerduty") as (sink, service, _):
        sink.deliver_digest(Digest("digest-1", tuple(life())))
        assert service.open == ["digest-1"]
        assert service.bodies[0]["payload"]["severity"] == "info"


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW_S + seconds, UTC)


def test_alertmanager_is_told_once_and_the_alert_stands_until_it_is_over() -> None:
    raised, updated, over = life(NOW_S - 5)
    with told("alertmanager", stands_s=3600) as (sink, service, _):
        sink.deliver(raised)
        sink.deliver(updated)
        (labels,) = service.active(at(3599))
        assert labels["severity"] == "error" and labels["event"] == raised.id
        assert service.active(at(3601)) == []
        sink.deliver(over)
        assert service.active(at(0)) == []


def test_alertmanager_has_an_alert_that_grew_worse_once() -> None:
    raised, updated, over = life(NOW_S - 5)
    with told("alertmanager") as (sink, service, _):
        sink.deliver(structs.replace(raised, severity=Severity.LOW))
        sink.deliver(structs.replace(updated, severity=Severity.CRITICAL))
        assert [one["severity"] for one in service.active(at(0))] == ["critical"]
        sink.deliver(structs.replace(over, severity=Severity.CRITICAL))
        assert service.active(at(0)) == []


def test_alertmanager_is_told_of_what_it_missed_as_over() -> None:
    with told("alertmanager") as (sink, service, _):
        sink.deliver_digest(Digest("digest-1", (*life(NOW_S - 90), *life(NOW_S - 60))))
        assert [len(body) for body in service.bodies] == [2]
        assert service.active(at(0)) == []


@every_service
def test_a_service_that_is_busy_is_asked_later_and_one_that_refuses_is_not(name: str) -> None:
    with told(name) as (sink, _, server):
        server.judge, server.headers = None, {"Retry-After": "30"}
        server.answer = lambda count: 429 if count == 0 else 400
        with pytest.raises(SinkUnavailable) as busy:
            sink.deliver(event())
        assert busy.value.retry_after_s == 30
        with pytest.raises(SinkRejected, match="answered 400 Bad Request: invalid_payload"):
            sink.deliver(event())


def test_what_a_service_says_is_told_without_our_secrets() -> None:
    with told("pagerduty", url="http://127.0.0.1:1/") as (made, _, server):
        hook = f"http://127.0.0.1:{server.port}/services/T0123456789?token=tok3n-1"
        sink = WebhookSettings(
            url=hook, template="pagerduty", routing_key=KEY, headers={"x-a": "hush-hush"}
        ).build(SinkContext(ManualClock(), "site", Path()))
        made.close()
        server.judge, server.answer = None, lambda _: 400
        server.said = f"{KEY} T0123456789 tok3n-1 hush-hush {'x' * 3000}".encode()
        with pytest.raises(SinkRejected) as caught:
            sink.deliver(event())
        sink.close()
        assert "400 Bad Request: *** *** *** *** xxx" in str(caught.value)
        assert len(str(caught.value)) < 500


def test_a_routing_key_is_told_nowhere_but_in_the_body() -> None:
    with told("pagerduty") as (sink, service, server):
        sink.deliver(event())
        assert service.bodies[0]["routing_key"] == KEY
        shown = [repr(sink), repr(vars(sink)), repr(server.requests[0].headers)]
        assert not [text for text in shown if KEY in text]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"template": "pagerduty"}, "needs a routing_key"),
        ({"template": "pagerduty", "routing_key": ""}, "needs a routing_key"),
        ({"template": "slack", "routing_key": KEY}, "no other has one"),
        ({"template": "carrier-pigeon"}, "template"),
        ({"template": "slack", "page": "watch.test"}, "page"),
        ({"template": "alertmanager", "stands_s": 1}, "stands_s"),
    ],
)
def test_unusable_settings_of_a_template_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WebhookSettings.model_validate({"url": "http://h/"} | wrong)


def test_every_template_that_can_be_named_is_there() -> None:
    named = WebhookSettings.model_json_schema()["properties"]["template"]["enum"]
    assert set(named) == set(TEMPLATES) == {"plain", *SERVICES}
