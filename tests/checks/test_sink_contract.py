"""One contract, every kind of sink. A new kind needs a rig here, or its tests fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.core.answered import EventAnswer, answer_key
from pipeline.core.clock import ManualClock
from pipeline.core.digest import Digest
from pipeline.core.errors import SinkUnavailable
from pipeline.sinks.base import (
    SINKS,
    AnswerSettings,
    AnswerSink,
    DigestSettings,
    DigestSink,
    Sink,
    SinkContext,
    SinkSettings,
)
from pipeline.sinks.delivery import Pace
from tests.checks.sink_rigs import CONFIRMS, GOES_DOWN, RIGS, SECRET, Rig
from tests.event_samples import event, life


@pytest.fixture
def rig(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Rig]:
    made = RIGS[request.param](tmp_path, capsys)
    yield made
    made.close()


def build(rig: Rig, **more: Any) -> Sink:
    settings = SINKS.settings(rig.kind).model_validate(rig.settings() | {"timeout_s": 5} | more)
    context = SinkContext(ManualClock(1_700_000_000 * 10**9), "site", rig.folder, ("hall",))
    return settings.build(context)


every_kind = pytest.mark.parametrize("rig", list(RIGS), indirect=True)
every_kind_that_confirms = pytest.mark.parametrize("rig", CONFIRMS, indirect=True)
every_kind_that_goes_down = pytest.mark.parametrize("rig", GOES_DOWN, indirect=True)


def test_every_built_in_kind_has_a_rig() -> None:
    assert set(SINKS._builtin()) == set(RIGS)


@pytest.mark.parametrize("kind", list(RIGS))
def test_settings_are_described_frozen_and_strict(kind: str) -> None:
    settings = SINKS.settings(kind)
    assert issubclass(settings, SinkSettings)
    assert all(info.description for info in settings.model_fields.values())
    assert settings.model_fields["type"].default == kind
    assert settings.model_config["frozen"]
    assert settings.model_config["extra"] == "forbid"


@every_kind_that_confirms
def test_each_phase_is_delivered_once(rig: Rig) -> None:
    sink = build(rig)
    sink.open()
    for phase in life():
        sink.deliver(phase)
    sink.close()
    assert rig.received() == [e.key for e in life()]


@every_kind_that_confirms
def test_the_same_key_twice_does_no_harm(rig: Rig) -> None:
    sink = build(rig)
    sink.open()
    for phase in life():
        sink.deliver(phase)
        sink.deliver(phase)
    sink.close()
    assert list(dict.fromkeys(rig.received())) == [e.key for e in life()]


@every_kind_that_confirms
def test_a_sink_can_be_closed_twice_and_opened_again(rig: Rig) -> None:
    sink = build(rig)
    sink.close()
    sink.open()
    sink.close()
    sink.close()
    sink.open()
    sink.deliver(event())
    sink.close()
    assert rig.received() == [event().key]


@every_kind
def test_secrets_are_not_told(rig: Rig) -> None:
    settings = SINKS.settings(rig.kind).model_validate(rig.secretive_settings())
    said = [repr(settings), str(settings), settings.model_dump_json()]
    sink = settings.build(SinkContext(ManualClock(), "site", rig.folder))
    said += [repr(sink), str(sink)]
    assert not [text for text in said if SECRET in text]


@every_kind_that_goes_down
def test_a_receiver_that_is_down_from_the_start_is_unavailable(rig: Rig) -> None:
    sink = build(rig, timeout_s=2)
    rig.go_down()
    with pytest.raises(SinkUnavailable) as caught:
        sink.open()
        sink.deliver(event())
    assert caught.value.where
    sink.close()
    rig.come_back()
    sink.open()
    sink.deliver(event())
    sink.close()
    assert rig.received() == [event().key]


@every_kind_that_goes_down
def test_a_receiver_that_goes_down_in_between_is_unavailable_until_it_is_back(rig: Rig) -> None:
    raised, updated, _ = life()
    sink = build(rig, timeout_s=2)
    sink.open()
    sink.deliver(raised)
    rig.go_down()
    with pytest.raises(SinkUnavailable):
        sink.deliver(updated)
    rig.come_back()
    sink.close()
    sink.open()
    sink.deliver(updated)
    sink.close()
    assert list(dict.fromkeys(rig.received())) == [raised.key, updated.key]


TELLS_TOGETHER = [kind for kind in RIGS if issubclass(SINKS.settings(kind), DigestSettings)]


@pytest.mark.parametrize("rig", TELLS_TOGETHER, indirect=True)
def test_a_digest_is_delivered_under_its_key_and_says_what_came_and_went(rig: Rig) -> None:
    phases = (*life(1), *life(5))
    sink = build(rig)
    assert isinstance(sink, DigestSink)
    sink.open()
    sink.deliver_digest(Digest("digest-1", phases))
    sink.close()
    (body,) = rig.digests()
    assert body["key"] == "digest-1"
    assert [one["id"] for one in body["events"]] == [life(1)[0].id, life(5)[0].id]
    assert [key for one in body["events"] for key in one["keys"]] == [p.key for p in phases]


def test_kinds_that_keep_every_event_are_told_none_together() -> None:
    assert set(RIGS) - set(TELLS_TOGETHER) == {"console", "jsonl", "kafka", "sql", "zmq_pub"}
    assert SINKS.settings("jsonl").model_validate({}).pace == Pace()


ANSWERING = [kind for kind in RIGS if issubclass(SINKS.settings(kind), AnswerSettings)]


@pytest.mark.parametrize("rig", ANSWERING, indirect=True)
def test_an_answer_is_delivered_under_its_key(rig: Rig) -> None:
    sink = build(rig)
    assert isinstance(sink, AnswerSink)
    sink.open()
    given = EventAnswer(position=3, action="seen", who="Ada", at_ns=1)
    back = msgspec.structs.replace(given, withdrawn_ns=2, withdrawn_by="Bob")
    sink.deliver_answer(life()[1], given)
    sink.deliver_answer(life()[1], back)
    sink.close()
    assert rig.answers() == [answer_key(event().id, given), answer_key(event().id, back)]
