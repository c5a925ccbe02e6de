"""Sinks behind the outbox against real servers that fail and come back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from nodes.sink_trial import try_sinks
from pipeline.config import load_deployment
from pipeline.core.clock import NodeClock
from pipeline.core.errors import SinkRejected, SinkUnavailable
from pipeline.core.event import HEALTH_PREFIX, Event, Phase, from_json
from pipeline.sinks.base import Sink, SinkContext
from pipeline.sinks.delivery import DeliveryPolicy
from pipeline.sinks.kafka import KafkaSettings
from pipeline.sinks.lane import Outlet
from pipeline.sinks.mqtt import LONGEST_SNAPSHOT, MqttSettings, MqttSink
from pipeline.sinks.outbox import OutboxDelivery
from pipeline.sinks.webhook import WebhookSettings
from pipeline.store import OutboxStore
from tests.certificates import make_certificates
from tests.event_samples import event, life
from tests.http_receiver import HttpReceiver
from tests.kafka_broker import KafkaBroker
from tests.mqtt_listener import MqttListener, Received
from tests.system.mosquitto import Mosquitto

pytestmark = pytest.mark.system

QUICK = DeliveryPolicy(first_wait_s=0.05, longest_wait_s=0.2)


@contextmanager
def delivering(folder: Path, sinks: Mapping[str, Sink]) -> Iterator[Callable[..., None]]:
    """Workers that deliver what the yielded function is given."""
    store = OutboxStore(folder / "alert.db")
    outlets = {name: Outlet([sink]) for name, sink in sinks.items()}
    delivery = OutboxDelivery(store, outlets, NodeClock(), rng=Random(5), policy=QUICK)

    def accept(*events: Event) -> None:
        for each in events:
            store.accept(each, list(sinks))
            delivery.notify()

    delivery.start()
    try:
        yield accept
    finally:
        delivery.drain(30)
        left = {name: count["pending"] for name, count in store.counts().items()}
        store.close()
    assert not any(left.values()), left


def context(*scenes: str) -> SinkContext:
    return SinkContext(NodeClock(), "site", Path(), scenes)


def mqtt(broker: Mosquitto, *scenes: str, **settings: Any) -> MqttSink:
    made = MqttSettings.model_validate({"port": broker.port, "timeout_s": 5} | settings)
    return made.build(context(*scenes))


def keys(events: list[Event]) -> list[str]:
    return [e.key for e in events]


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"never happened: {what}")
        time.sleep(0.02)


def test_an_endpoint_that_answers_500_for_a_while_gets_each_phase_once_and_in_order(
    tmp_path: Path,
) -> None:
    events = [each for start in range(5) for each in life(start)]
    with HttpReceiver() as server:
        server.answer = lambda count: 500 if count < 7 else 200
        settings = WebhookSettings.model_validate({"url": server.url, "secret": "shared"})
        with delivering(tmp_path, {"hook": settings.build(context())}) as accept:
            accept(*events)
            server.wait_accepted(len(events))
        assert [r.key for r in server.accepted] == keys(events)
        assert [r.key for r in server.requests[:7]] == [events[0].key] * 7
        for request in server.requests:
            stamp = request.headers["webhook-timestamp"]
            signed = f"{request.key}.{stamp}.".encode() + request.body
            digest = hmac.new(b"shared", signed, hashlib.sha256).digest()
            expected = f"v1,{base64.b64encode(digest).decode()}"
            assert hmac.compare_digest(request.headers["webhook-signature"], expected)
            assert abs(int(stamp) - time.time()) < 300


def test_an_endpoint_that_is_gone_for_a_while_loses_nothing(tmp_path: Path) -> None:
    server = HttpReceiver().start()
    settings = WebhookSettings.model_validate({"url": server.url})
    with delivering(tmp_path, {"hook": settings.build(context())}) as accept:
        accept(life(0)[0])
        server.wait_accepted(1)
        server.stop()
        accept(*life(0)[1:], *life(1))
        server.start()
        server.wait_accepted(6)
    server.stop()
    assert [r.key for r in server.accepted] == keys([*life(0), *life(1)])


def test_a_broker_that_is_restarted_loses_nothing(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "broker").start()
    with MqttListener(broker.port) as listener:
        with delivering(tmp_path, {"mqtt": mqtt(broker, "hall")}) as accept:
            accept(life(0)[0])
            listener.wait(lambda got: len(events_in(got)) >= 1)
            broker.stop()
            accept(*life(0)[1:], *life(1))
            broker.start()
            listener.wait(lambda got: len(set(keys(events_in(got)))) >= 6)
        seen = list(dict.fromkeys(keys(events_in(listener.messages))))
        assert seen == keys([*life(0), *life(1)])
    broker.kill()


def test_a_kafka_broker_that_goes_away_for_a_while_loses_nothing(tmp_path: Path) -> None:
    kafka = KafkaBroker()
    settings = KafkaSettings(servers=[kafka.address], timeout_s=2)
    sent = [*life(0), *life(1)]
    with delivering(tmp_path, {"kafka": settings.build(context())}) as accept:
        accept(sent[0])
        wait_until(lambda: len(kafka.records(settings.topic)) == 1, "the first is written")
        kafka.go_down()
        accept(*sent[1:])
        kafka.come_back()
        wait_until(lambda: len(kafka.records(settings.topic)) >= 6, "all are written")
    written = [from_json(value) for _, value, _ in kafka.records(settings.topic)]
    assert list(dict.fromkeys(keys(written))) == keys(sent)
    kafka.stop()


def events_in(messages: list[Received]) -> list[Event]:
    return [from_json(m.payload) for m in messages if m.topic == "fusewatch/site/hall/event"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as started:
        yield started


def test_who_comes_later_still_finds_state_availability_and_discovery(broker) -> None:
    sink = mqtt(broker, "hall", "yard")
    sink.open()
    for each in life()[:2]:
        sink.deliver(each)
    with MqttListener(broker.port, "later") as listener:
        listener.wait(lambda got: len(got) >= 3)
        found = {m.topic: m for m in listener.messages}
        assert all(m.retained for m in listener.messages)
        assert found["fusewatch/site/status"].payload == b"online"
        assert json.loads(found["fusewatch/site/hall/state"].payload)["state"] == "ON"
        assert "fusewatch/site/yard/state" not in found
        config = json.loads(found["homeassistant/device/fusewatch_site/config"].payload)
        assert config["availability_topic"] == "fusewatch/site/status"
        assert config["components"]["yard_problem"]["state_topic"] == "fusewatch/site/yard/state"
        sink.close()
        listener.wait_last(b"offline")


def test_the_broker_says_offline_when_the_sink_dies_and_online_when_it_returns(broker) -> None:
    with MqttListener(broker.port) as listener:
        sink = mqtt(broker)
        sink.open()
        listener.wait(lambda got: [m.payload for m in got] == [b"online"])
        client = sink._client
        assert client is not None
        client.socket().close()  # what a SIGKILL or a pulled cable looks like to the broker
        statuses = [b"online", b"offline", b"online"]
        listener.wait(lambda got: [m.payload for m in got] == statuses)
        sink.close()


def test_a_scene_unknown_at_the_start_is_announced_with_its_first_event(broker) -> None:
    with MqttListener(broker.port) as listener:
        sink = mqtt(broker, discovery_prefix="ha", prefix="house/watch")
        sink.open()
        sink.deliver(event(scene="cellar"))
        sink.close()
        listener.wait_last(b"offline")
        found = {m.topic: m.payload for m in listener.messages}
        announced = json.loads(found["ha/device/fusewatch_site/config"])["components"]
        assert announced["cellar_event"]["state_topic"] == "house/watch/cellar/event"
        assert "house/watch/cellar/event" in found


def test_the_picture_of_what_is_raised_stays_at_the_broker(broker, tmp_path: Path) -> None:
    (tmp_path / "hall").mkdir()
    picture = tmp_path / "hall" / "a.jpg"
    picture.write_bytes(b"\xff\xd8 a picture \xff\xd9")
    settings = {"port": broker.port, "timeout_s": 5}
    told = SinkContext(NodeClock(), "site", tmp_path, ("hall",))
    silent = MqttSettings(**settings, name="silent", prefix="quiet", snapshots=False).build(told)
    sink = MqttSettings(**settings).build(told)
    for phase in life():
        sink.deliver(phase)
        silent.deliver(phase)
    picture.write_bytes(b"\xff\xd8" + bytes(LONGEST_SNAPSHOT))
    sink.deliver(event(5))
    picture.unlink()
    sink.deliver(event(6))
    sink.close()
    silent.close()
    with MqttListener(broker.port, "later") as listener:
        listener.wait(
            lambda got: {"quiet/status", "fusewatch/site/status"} <= {m.topic for m in got}
        )
        (shown,) = listener.on("/snapshot")
        assert shown.retained and shown.topic == "fusewatch/site/hall/snapshot"
        assert shown.payload == b"\xff\xd8 a picture \xff\xd9"


def test_a_late_phase_does_not_turn_back_a_state_from_before_a_restart(broker) -> None:
    with closing(mqtt(broker, "hall", "yard", home_assistant=False)) as before:
        before.deliver(life(1000)[2])
    with MqttListener(broker.port) as listener:
        with closing(mqtt(broker, "hall", "yard", home_assistant=False)) as after:
            for each in (life(0)[0], life(0, "yard")[0], life(2000)[0]):
                after.deliver(each)
        listener.wait(lambda got: bool(got) and got[-1].payload == b"offline")
        states = {m.topic: [] for m in listener.on("/state")}
        for message in listener.on("/state"):
            if not message.retained:
                states[message.topic].append(json.loads(message.payload)["start_ns"])
    assert states == {
        "fusewatch/site/hall/state": [life(2000)[0].start_ns],
        "fusewatch/site/yard/state": [0],
    }


def test_a_broker_that_lets_nobody_read_still_gets_what_happens(tmp_path: Path) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic write fusewatch/#\n")
    with (
        Mosquitto(tmp_path / "broker", rules=(f"acl_file {rules}",)) as broker,
        closing(mqtt(broker, "hall", home_assistant=False)) as sink,
    ):
        sink.deliver(event())


def test_a_state_of_the_future_does_not_stay_for_good(broker) -> None:
    late_s = int(time.time()) + 86_400
    with closing(mqtt(broker, "hall", home_assistant=False)) as wrong_clock:
        wrong_clock.deliver(event(late_s))
    with closing(mqtt(broker, "hall", home_assistant=False)) as sink:
        sink.deliver(event(5))
    with MqttListener(broker.port) as listener:
        listener.wait(lambda got: any(m.topic.endswith("/state") for m in got))
        assert json.loads(listener.on("/state")[0].payload)["start_ns"] == 5 * 10**9


def test_a_late_phase_does_not_turn_the_state_back(broker) -> None:
    raised, _, cleared = life()
    with MqttListener(broker.port) as listener:
        sink = mqtt(broker, home_assistant=False)
        sink.open()
        for each in (cleared, raised, event(start_s=500)):
            sink.deliver(each)
        sink.close()
        listener.wait_last(b"offline")
        states = [json.loads(m.payload)["phase"] for m in listener.on("/state")]
        assert states == [Phase.CLEARED, Phase.RAISED]
        assert len(listener.on("/event")) == 3


def test_a_trial_neither_cuts_the_running_node_off_nor_says_that_it_is_offline(
    broker, tmp_path: Path
) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(
        "name: site\nnodes:\n  a: {sources: [{type: scene, video: cam, audio: mic, sensor: plc}]}\n"
        "scenes:\n  hall: {streams: [cam]}\nalert:\n"
        f"  sinks: [{{type: mqtt, port: {broker.port}, timeout_s: 5}}]\n"
    )
    cut: list[object] = []
    with MqttListener(broker.port) as listener:
        running = mqtt(broker, "hall")
        running.open()
        running._client.on_disconnect = lambda *_: cut.append(_)
        assert [tried.error for tried in try_sinks(load_deployment(file), NodeClock())] == [""]
        running.deliver(event(7))
        listener.wait(lambda got: len(events_in(got)) >= 3)
        assert [m.payload for m in listener.on("/status")] == [b"online"]
        assert cut == []
        running.close()
        listener.wait_last(b"offline")


def test_an_event_of_the_equipment_leaves_the_scenes_state_alone(broker) -> None:
    with MqttListener(broker.port) as listener:
        sink = mqtt(broker, home_assistant=False)
        sink.open()
        for each in (event(), event(9, id=f"{HEALTH_PREFIX}0", phase=Phase.CLEARED)):
            sink.deliver(each)
        sink.close()
        listener.wait_last(b"offline")
        assert len(listener.on("/event")) == 2
        assert [json.loads(m.payload)["state"] for m in listener.on("/state")] == ["ON"]


def test_login_and_encryption_are_asked_for_and_given(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    with Mosquitto(tmp_path / "broker", users={"fw": "right"}, tls=made) as broker:
        good = {"tls": True, "ca_file": made.certificate, "username": "fw", "password": "right"}
        for protocol in ("5", "3.1.1"):
            sink = mqtt(broker, protocol=protocol, **good)
            sink.open()
            sink.deliver(event())
            sink.close()
        for bad, said in [
            ({"password": "wrong-one"}, "(?i)not authorized"),
            ({"username": None, "password": None}, "(?i)not authorized"),
            ({"ca_file": None}, "CERTIFICATE_VERIFY_FAILED"),
            ({"tls": False}, "mqtt://127.0.0.1"),
            ({"ca_file": tmp_path / "none"}, "cannot set up TLS"),
        ]:
            sink = mqtt(broker, **(good | {"timeout_s": 2} | bad))
            with pytest.raises(SinkUnavailable, match=said) as caught:
                sink.open()
            assert "wrong-one" not in str(caught.value)
            sink.close()


def test_a_broker_that_forbids_the_topic_is_a_rejection(tmp_path: Path) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic write fusewatch/site/status\n")
    with Mosquitto(tmp_path / "broker", rules=(f"acl_file {rules}",)) as broker:
        sink = mqtt(broker)
        sink.open()
        with pytest.raises(SinkRejected, match=r"(?i)not authorized"):
            sink.deliver(event())
        sink.close()
