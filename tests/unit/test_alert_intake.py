from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from structlog.testing import capture_logs

from nodes.alert import AlertNode
from nodes.health import Health
from pipeline.config import Deployment
from pipeline.core.clock import NodeClock
from pipeline.core.errors import StoreError
from pipeline.core.event import Event, from_json, to_json
from pipeline.sinks.jsonl import JsonlSettings
from pipeline.sources.base import SourceSettings
from pipeline.store import OutboxStore
from pipeline.transport.event_receiver import EventDelivery
from tests.event_samples import event, life


class ScriptedLink:
    """Gives what was put in, and again what was not acknowledged."""

    def __init__(self) -> None:
        self.inbox: list[EventDelivery] = []
        self.acked: list[str] = []
        self.closed = 0
        self.address = "tcp://127.0.0.1:1"
        self.counters = {"malformed": 2}

    def put(self, *events: Event) -> None:
        for each in events:
            self.put_bytes(to_json(each), each.key)

    def put_bytes(self, body: bytes, key: str) -> None:
        self.inbox.append(EventDelivery(key, body, (b"connection", key)))

    def poll(self, timeout_s: float) -> list[EventDelivery]:
        taken, self.inbox = self.inbox, []
        return taken

    def ack(self, handle: tuple[bytes, str]) -> None:
        self.acked.append(handle[1])

    def close(self) -> None:
        self.closed += 1


class Alert:
    """An alert node on a scripted link, writing to a file."""

    def __init__(self, folder: Path, sinks: bool = True, group: bool = False) -> None:
        self.out = folder / "events.jsonl"
        self.data = folder / "data"
        self.link = ScriptedLink()
        self.health = Health(registry=CollectorRegistry())
        sink = JsonlSettings(path=self.out, fsync=False, group=group)
        deployment = Deployment.model_validate(
            {
                "name": "site",
                "data": self.data,
                "nodes": {"edge": {"sources": [SourceSettings(type="any")]}},
                "scenes": {"hall": {"streams": ["cam"]}},
                "alert": {"sinks": [sink] if sinks else []},
            }
        )
        self.node = AlertNode(deployment, NodeClock(), lambda: self.link, Random(1))
        self.node.register(self.health, self.health.registry)

    def metrics(self) -> str:
        return generate_latest(self.health.registry).decode()

    def written(self) -> list[Event]:
        return [from_json(line) for line in self.out.read_bytes().splitlines()]


@pytest.fixture
def alert(tmp_path: Path):
    made = Alert(tmp_path)
    yield made
    made.node.close()


def test_events_are_accepted_then_acknowledged_then_delivered(alert: Alert) -> None:
    alert.node.start()
    alert.link.put(*life())
    assert alert.node.step(0)
    assert alert.link.acked == [each.key for each in life()]
    alert.node.drain(60)
    assert alert.written() == life()


def test_a_repeated_event_is_acknowledged_and_delivered_once(alert: Alert) -> None:
    alert.node.start()
    alert.link.put(event(), event())
    alert.node.step(0)
    alert.link.put(event())
    alert.node.step(0)
    assert len(alert.link.acked) == 3
    alert.node.drain(60)
    assert alert.written() == [event()]
    text = alert.metrics()
    assert 'fusewatch_alert_events_total{outcome="accepted"} 1.0' in text
    assert 'fusewatch_alert_events_total{outcome="repeated"} 2.0' in text
    assert 'fusewatch_sink_delivered_total{sink="jsonl"} 1.0' in text
    assert 'fusewatch_outbox_pending{sink="jsonl"} 0.0' in text


@pytest.mark.parametrize("body", [b'{"not": "an event"}', b'{"id": "\xff"}'])
def test_what_is_not_an_event_is_refused_counted_and_does_not_stop_the_next(alert, body) -> None:
    alert.node.start()
    alert.link.put_bytes(body, "odd.0")
    alert.link.put(event())
    with capture_logs() as logs:
        alert.node.step(0)
    assert len(alert.link.acked) == 2
    assert next(entry["event"] for entry in logs) == "refused what is not an event"
    assert 'fusewatch_alert_events_total{outcome="refused"} 1.0' in alert.metrics()


def test_nothing_is_acknowledged_while_the_outbox_cannot_be_written(
    alert: Alert, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert.node.start()
    real = OutboxStore.accept

    def full(*_: object) -> bool:
        raise StoreError("the disk is full")

    monkeypatch.setattr(OutboxStore, "accept", full)
    alert.link.put(*life())
    alert.node.step(0)
    alert.node.step(0)
    assert alert.link.acked == []
    assert not alert.health.readyz()["outbox"].ok
    assert "disk is full" in alert.health.readyz()["outbox"].detail
    monkeypatch.setattr(OutboxStore, "accept", real)
    alert.node.step(0)
    alert.node.step(0)
    assert alert.link.acked == [each.key for each in life()]
    assert alert.health.readyz()["outbox"].ok


def test_it_is_ready_once_it_listens_and_the_outbox_is_open(alert: Alert) -> None:
    assert not any(check.ok for check in alert.health.readyz().values())
    alert.node.start()
    assert all(check.ok for check in alert.health.readyz().values())
    assert {"link", "outbox"} <= set(alert.health.readyz())


def test_an_orderly_end_lets_go_of_everything_and_twice_is_fine(alert: Alert) -> None:
    before = threading.active_count()
    alert.node.start()
    alert.link.put(event())
    alert.node.drain(60)
    alert.node.close()
    alert.node.close()
    assert alert.link.closed == 1
    assert threading.active_count() == before
    assert alert.written() == [event()]


def test_without_sinks_events_are_kept(tmp_path: Path) -> None:
    alert = Alert(tmp_path, sinks=False)
    with capture_logs() as logs:
        alert.node.start()
    assert any("no sinks" in entry["event"] for entry in logs)
    alert.link.put(event())
    alert.node.step(0)
    alert.node.close()
    assert len(alert.link.acked) == 1
    with closing(OutboxStore(alert.data / "alert.db", create=False)) as store:
        assert not store.accept(event(), [])


def test_deliveries_of_a_sink_that_was_taken_out_are_told(alert: Alert) -> None:
    with closing(OutboxStore(alert.data / "alert.db")) as store:
        store.accept(event(), ["gone", "jsonl"])
    with capture_logs() as logs:
        alert.node.start()
    (told,) = [entry for entry in logs if "not configured" in entry["event"]]
    assert (told["sink"], told["pending"]) == ("gone", 1)
    assert 'fusewatch_outbox_pending{sink="gone"} 1.0' in alert.metrics()


def test_a_node_that_could_not_open_its_outbox_closes_cleanly(alert: Alert) -> None:
    alert.data.write_text("a file where the folder should be")
    with pytest.raises(StoreError):
        alert.node.start()
    alert.node.close()
