import json
import queue

import pytest

from pipeline.core.clock import NodeClock
from pipeline.core.errors import SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Modality
from tests.requirements import require_module
from tests.system.mosquitto import Mosquitto
from tests.unit.sources import context, read_count, read_until

require_module("paho")

from paho.mqtt.client import Client  # noqa: E402
from paho.mqtt.enums import CallbackAPIVersion  # noqa: E402

from pipeline.sources.mqtt import MqttSettings  # noqa: E402
from pipeline.sources.text_log import TextLogSettings  # noqa: E402

pytestmark = pytest.mark.system
WAIT_S = 20.0


@pytest.fixture
def broker(tmp_path):
    with Mosquitto(tmp_path) as running:
        yield running


class Publisher:
    def __init__(self, broker):
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()

    def say(self, topic, message, retain=False):
        payload = message if isinstance(message, str | bytes) else json.dumps(message)
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(WAIT_S)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def publisher(broker):
    running = Publisher(broker)
    yield running
    running.close()


def settings(broker, **changes):
    climate = {
        "name": "climate",
        "topic": "home/+/climate",
        "channels": [{"name": "t", "path": "air.temp"}, {"name": "h", "path": "air.hum[0]"}],
    }
    log = {"name": "log", "topic": "home/log/#", "modality": "text"}
    given = {"host": "127.0.0.1", "port": broker.port, "streams": [climate, log], **changes}
    return MqttSettings.model_validate(given)


def test_readings_and_lines_come_from_wildcard_topics_and_bad_ones_are_counted(broker, publisher):
    ctx, refusals = context(NodeClock())
    source = settings(broker).build(ctx)
    infos = source.open()
    assert [i.modality for i in infos] == [Modality.SENSOR, Modality.TEXT]
    publisher.say("home/hall/climate", {"air": {"temp": 21.5, "hum": [40]}})
    publisher.say("home/hall/climate", "not json")
    publisher.say("home/hall/climate", {"air": {"temp": "hot"}})
    publisher.say("home/cellar/climate", {"air": {"temp": 12}})
    publisher.say("home/log/door", "door opened")
    samples = read_count(source, 3)
    source.close()
    assert [s.stream for s in samples] == ["climate", "climate", "log"]
    assert list(samples[0].data) == [21.5, 40]
    assert samples[2].data == "door opened"
    assert refusals == {("climate", DropReason.CORRUPT): 2}


def test_the_will_says_whether_the_source_is_there(broker, publisher):
    said = queue.Queue()
    publisher.client.on_message = lambda _client, _user, message: said.put(message.payload)
    publisher.client.subscribe("state", qos=1)
    ctx, _ = context(NodeClock())
    source = settings(broker, will_topic="state").build(ctx)
    source.open()
    assert said.get(timeout=WAIT_S) == b"online"
    source.close()
    assert said.get(timeout=WAIT_S) == b"offline"


def test_nobody_listening_is_told_at_once(broker):
    wrong = settings(broker)
    broker.stop()
    ctx, _ = context(NodeClock())
    with pytest.raises(SourceUnavailable, match="cannot connect"):
        wrong.build(ctx).open()


@pytest.mark.parametrize(
    ("times", "kept"), [({"climate": "at"}, False), ({"climate": "at", "log": "at"}, True)]
)
def test_what_came_meanwhile_is_kept_only_where_all_of_it_says_when_it_was(
    broker, publisher, times, kept
):
    made = settings(broker).model_dump()["streams"]
    made[1]["text_path"] = "line"
    for stream in made:
        stream["time"] = {"path": times[stream["name"]]} if stream["name"] in times else None
    away = settings(broker, streams=made)
    ctx, _ = context(NodeClock())
    source = away.build(ctx)
    source.open()
    source.close()
    publisher.say("home/hall/climate", {"at": 1_700_000_000, "air": {"temp": 21.5}})
    publisher.say("home/log/door", {"at": 1_700_000_001, "line": "opened"})
    source.open()
    publisher.say("home/log/door", {"at": 1_700_000_002, "line": "closed"})
    samples = read_until(source, lambda samples: any(str(s.data) == "closed" for s in samples))
    source.close()
    assert len(samples) == (3 if kept else 1)
    if kept:
        assert [s.timestamp_ns // 10**9 % 10 for s in samples] == [0, 1, 2]


def test_a_log_may_come_from_a_topic(broker, publisher):
    ctx, _ = context(NodeClock())
    origin = {"host": "127.0.0.1", "port": broker.port, "topic": "logs"}
    source = TextLogSettings(stream="log", mqtt=origin).build(ctx)
    source.open()
    publisher.say("logs", "hello")
    (sample,) = read_count(source, 1)
    source.close()
    assert sample.data == "hello"


def test_reading_waits_no_longer_than_told(broker):
    ctx, _ = context(NodeClock())
    source = settings(broker).build(ctx)
    source.open()
    assert source.read(0.01) == []
    source.close()
    assert read_until(source, lambda samples: True) == []
