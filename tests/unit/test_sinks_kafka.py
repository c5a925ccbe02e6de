from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from pydantic import ValidationError

from pipeline.core.clock import ManualClock
from pipeline.core.errors import SinkRejected, SinkUnavailable
from pipeline.core.event import to_json
from pipeline.sinks.base import SinkContext
from pipeline.sinks.kafka import KafkaSettings, KafkaSink
from tests.certificates import make_certificates
from tests.event_samples import event, life
from tests.http_receiver import HttpReceiver
from tests.kafka_broker import PRODUCE, KafkaBroker

NEVER = [KafkaError.POLICY_VIOLATION, KafkaError.TOPIC_AUTHORIZATION_FAILED]


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    made = KafkaBroker()
    yield made
    made.stop()


def sink_to(server: str, **more: Any) -> KafkaSink:
    chosen = {"servers": [server], "topic": "alarms", "timeout_s": 2} | more
    made = KafkaSettings.model_validate(chosen)
    return made.build(SinkContext(ManualClock(), "site", Path()))


def test_a_record_is_the_event_keyed_by_its_scene_and_says_how_to_tell_a_repeat(broker) -> None:
    sink = sink_to(broker.address)
    sink.deliver(event())
    sink.deliver(event(scene="yard"))
    sink.close()
    found = {key: (value, headers) for key, value, headers in broker.records("alarms")}
    value, headers = found[b"hall"]
    assert value == to_json(event())
    assert headers["idempotency-key"].decode() == event().key == json.loads(value)["key"]
    assert set(found) == {b"hall", b"yard"}


def test_a_scenes_events_keep_their_order(broker: KafkaBroker) -> None:
    sent = [
        phase for start in range(4) for scene in ("a", "b", "c") for phase in life(start, scene)
    ]
    sink = sink_to(broker.address)
    for phase in sent:
        sink.deliver(phase)
    sink.close()
    found = broker.records("alarms")
    for scene in (b"a", b"b", b"c"):
        mine = [to_json(phase) for phase in sent if phase.scene.encode() == scene]
        assert [value for key, value, _ in found if key == scene] == mine


@pytest.mark.parametrize("code", NEVER)
def test_what_the_brokers_will_never_take_is_rejected(broker: KafkaBroker, code: int) -> None:
    sink = sink_to(broker.address)
    broker.answer(PRODUCE, code)
    with pytest.raises(SinkRejected, match="the brokers refused"):
        sink.deliver(event())
    sink.close()


def test_a_broker_in_trouble_is_asked_again_and_has_the_record_once(broker) -> None:
    sink = sink_to(broker.address, timeout_s=10)
    broker.answer(PRODUCE, KafkaError.KAFKA_STORAGE_ERROR)
    sink.deliver(event())
    sink.close()
    assert [value for _, value, _ in broker.records("alarms")] == [to_json(event())]


def test_a_record_larger_than_any_broker_takes_is_rejected_without_asking(broker) -> None:
    sink = sink_to(broker.address)
    with pytest.raises(SinkRejected, match="MSG_SIZE_TOO_LARGE"):
        sink.deliver(event(summary="x" * 1_100_000))
    sink.deliver(event())
    sink.close()
    assert len(broker.records("alarms")) == 1


def test_what_was_not_confirmed_in_time_is_not_delivered(broker: KafkaBroker) -> None:
    sink = sink_to(broker.address, timeout_s=0.5)
    sink.open()
    broker.go_down()
    with pytest.raises(SinkUnavailable, match=r"timed out|did not confirm in time"):
        sink.deliver(event())  # says whose patience ended first, the client's own or the sink's
    sink.close()


def test_the_certificate_is_checked_before_the_password_is_told(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    login: dict[str, Any] = {"sasl": "scram-sha-512", "username": "me", "password": "hush-hush"}
    login |= {"tls": True, "timeout_s": 1}
    with HttpReceiver(tls=made) as server:
        address = f"127.0.0.1:{server.port}"
        with pytest.raises(SinkUnavailable, match="certificate verify failed") as stranger:
            sink_to(address, **login).open()
        with pytest.raises(SinkUnavailable) as trusted:
            sink_to(address, ca_file=made.certificate, **login).open()
    assert "certificate" not in str(trusted.value)
    assert "hush-hush" not in str(stranger.value) + str(trusted.value)


def test_a_certificate_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SinkUnavailable, match=r"ssl\.ca\.location"):
        sink_to("127.0.0.1:1", tls=True, ca_file=tmp_path / "none.pem").open()


@pytest.mark.parametrize(
    "wrong",
    [
        {"servers": []},
        {"topic": "no/topic"},
        {"sasl": "plain"},
        {"sasl": "plain", "username": "me"},
        {"username": "me", "password": "hush"},
        {"sasl": "kerberos", "username": "me", "password": "hush"},
    ],
)
def test_unusable_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KafkaSettings.model_validate({"servers": ["h:9092"]} | wrong)
