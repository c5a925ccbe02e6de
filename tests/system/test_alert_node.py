"""The alert node as a process: real link, real endpoint, killed at the worst moments."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from pipeline.core.event import Event
from pipeline.store import OutboxStore
from tests.event_samples import event, life
from tests.http_receiver import HttpReceiver
from tests.system.alert_process import WAIT_S, AlertProcess, environment

pytestmark = pytest.mark.system


@pytest.fixture
def hook() -> Iterator[HttpReceiver]:
    with HttpReceiver() as started:
        yield started


@pytest.fixture
def alert(tmp_path: Path, hook: HttpReceiver) -> Iterator[AlertProcess]:
    made = AlertProcess(tmp_path, hook.url)
    yield made
    made.close()


def keys(events: list[Event]) -> list[str]:
    return [each.key for each in events]


def first_times(seen: list[str]) -> list[str]:
    return list(dict.fromkeys(seen))


def test_events_go_through_to_every_sink_and_sigterm_ends_it_in_order(alert, hook) -> None:
    alert.start()
    alert.send(*life(0), *life(9))
    alert.wait_confirmed(*life(0), *life(9))
    hook.wait_accepted(6)
    alert.wait_until(lambda: len(alert.written()) == 6, "all events are in the file")
    status, text = alert.page("metrics")
    assert status == 200
    assert 'fusewatch_alert_events_total{outcome="accepted"} 6.0' in text
    assert alert.page("livez")[0] == 200
    assert alert.terminate() == 0
    assert [r.key for r in hook.accepted] == keys([*life(0), *life(9)])
    assert alert.written() == keys([*life(0), *life(9)])
    assert not (alert.data / "run" / "alert.json").exists()
    assert "a very secret word" not in alert.log()


def test_killed_between_send_and_commit_the_event_comes_again_with_its_key(alert, hook) -> None:
    alert.start()
    alert.send(life()[0])
    alert.wait_confirmed(life()[0])
    with closing(sqlite3.connect(alert.data / "alert.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # from here on the node cannot commit
        alert.send(life()[1])
        for _ in range(40):
            alert.pump()
        alert.kill()
        other.execute("ROLLBACK")
    assert alert.confirmed == [life()[0].key]
    with closing(OutboxStore(alert.data / "alert.db", create=False)) as store:
        assert store.deliveries(life()[1].id)[-1].event.revision == 0
    alert.start()
    alert.send(life()[2])
    alert.wait_confirmed(*life())
    alert.wait_until(
        lambda: set(keys(life())) <= {r.key for r in hook.accepted}, "the endpoint has all"
    )
    alert.wait_until(lambda: len(alert.written()) == 3, "the file has all")
    assert first_times([r.key for r in hook.accepted]) == keys(life())
    assert alert.written() == keys(life())


def test_killed_again_and_again_under_load_nothing_is_lost_and_order_is_kept(alert, hook) -> None:
    rng = Random(11)
    events = [each for start in range(12) for each in life(start)]
    hook.answer = lambda count: 503 if count % 5 == 3 else 200
    for part in range(3):
        alert.start(wait=False)
        alert.send(*events[part * 12 : part * 12 + 12])
        alert.wait_until(lambda part=part: len(alert.confirmed) > part * 8, "some are confirmed")
        for _ in range(rng.randrange(6)):
            alert.pump()
        alert.kill()
    alert.start()
    alert.wait_confirmed(*events)
    alert.wait_until(
        lambda: len(first_times([r.key for r in hook.accepted])) == len(events),
        "the endpoint has every event",
    )
    alert.wait_until(lambda: len(alert.written()) == len(events), "the file has every event")
    assert alert.accepted() == keys(events)
    assert first_times([r.key for r in hook.accepted]) == keys(events)
    assert alert.written() == keys(events)
    assert len(hook.accepted) <= len(events) + 4  # one repeat a kill at most, and here they end


def test_an_endpoint_that_failed_through_a_restart_gets_everything_after(alert, hook) -> None:
    hook.answer = lambda _: 500
    alert.start()
    alert.send(*life())
    alert.wait_confirmed(*life())
    hook.wait_requests(1)
    assert alert.terminate() == 0
    hook.answer = lambda _: 200
    alert.start()
    hook.wait_accepted(3)
    assert [r.key for r in hook.accepted] == keys(life())
    assert alert.written() == keys(life())


def test_a_rejected_event_is_listed_and_retried_by_command(alert, hook) -> None:
    hook.answer = lambda _: 400
    alert.start()
    alert.send(event())
    alert.wait_until(lambda: "event moved aside" in alert.log(), "the event is moved aside")
    (letter,) = json.loads(alert_command(alert, "list", str(alert.config), "--dead", "--json"))
    assert (letter["sink"], letter["attempts"]) == ("webhook", 3)
    hook.answer = lambda _: 200
    said = alert_command(alert, "retry", str(alert.config), "--all", "--json")
    assert json.loads(said) == {"revived": 1}
    alert.wait_until(lambda: bool(hook.accepted), "the endpoint has it")
    assert [r.key for r in hook.accepted] == [event().key]


def alert_command(alert: AlertProcess, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "nodes.cli", "events", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_S,
        env=environment(),
    )
    return ended.stdout


def test_a_taken_address_ends_it_with_a_clear_error(alert: AlertProcess) -> None:
    alert.start()
    other = alert.config.with_name("other.yaml")
    other.write_text(alert.config.read_text().replace("data: data", "data: other"))
    second = second_node(other)
    assert second.returncode == 69
    assert "cannot listen" in second.stderr
    assert alert.address in second.stderr


def test_a_second_node_on_the_same_data_is_refused(alert: AlertProcess) -> None:
    alert.start()
    second = second_node(alert.config)
    assert second.returncode == 69
    assert f"process {alert.process.pid} runs alert on this data folder" in second.stderr


def second_node(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "nodes.cli", "alert", str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
        env=environment(),
    )
