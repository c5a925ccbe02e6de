"""The alert node killed between a sink's answer and its own commit, a real process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.event import Event
from tests.event_samples import life
from tests.http_receiver import HttpReceiver, Request
from tests.system.alert_process import AlertProcess

pytestmark = pytest.mark.system


@pytest.fixture
def hook() -> Iterator[HttpReceiver]:
    with HttpReceiver() as started:
        yield started


def kill_before_answering(alert: AlertProcess, hook: HttpReceiver, numbers: set[int]) -> None:
    """Let the endpoint take these requests, and kill the node before it hears of it."""

    def answer(count: int) -> int:
        if count in numbers and alert.process is not None:
            alert.process.kill()
            alert.process.wait()
        return 204

    hook.answer = answer


def restart_until(alert: AlertProcess, hook: HttpReceiver, keys: set[str]) -> int:
    """Start the node whenever it is gone, until the endpoint has all; how often it was gone."""
    gone = 0
    while not keys <= {key for request in hook.accepted for key in told(request)}:
        if alert.process is None or alert.process.poll() is not None:
            gone += alert.process is not None
            alert.start(wait=False)
        alert.pump(0.05)
    return gone


def told(request: Request) -> list[str]:
    body = json.loads(request.body)
    if body["type"] != "org.fusewatch.digest":
        return [body["id"]]
    return [key for entry in body["data"]["events"] for key in entry["keys"]]


def keys_of(events: list[Event]) -> list[str]:
    return [event.key for event in events]


def test_what_was_sent_and_not_committed_comes_again_with_the_same_key(
    tmp_path: Path, hook: HttpReceiver
) -> None:
    alert = AlertProcess(tmp_path, hook.url)
    events = [phase for start in range(3) for phase in life(start)]
    kill_before_answering(alert, hook, {1, 5})
    alert.send(*events)
    assert restart_until(alert, hook, set(keys_of(events))) == 2
    alert.wait_until(lambda: len(alert.written()) == len(events), "the file has every event")
    alert.close()
    seen = [request.headers["webhook-id"] for request in hook.accepted]
    assert Counter(seen) == Counter(keys_of(events)) + Counter([seen[1], seen[5]])
    assert (seen[1], seen[5]) == (seen[2], seen[6])
    assert list(dict.fromkeys(seen)) == keys_of(events)
    assert alert.written() == keys_of(events)
    bodies = {request.key: json.loads(request.body)["data"] for request in hook.accepted}
    assert all(json.loads(r.body)["data"] == bodies[r.key] for r in hook.accepted)


def test_a_digest_that_was_sent_and_not_committed_comes_again_as_it_was(
    tmp_path: Path, hook: HttpReceiver
) -> None:
    alert = AlertProcess(tmp_path, hook.url, digest_after_s="900")
    early, late = [*life(1), *life(2)], life(3)
    hook.answer = lambda _: 503
    alert.start()
    alert.send(*early)
    alert.wait_confirmed(*early)
    alert.wait_until(lambda: any(len(told(r)) > 1 for r in list(hook.requests)), "a digest came")
    alert.kill()  # the digest is bound; what comes now is over as well, and not of it
    hook.requests.clear()
    kill_before_answering(alert, hook, {0})
    alert.send(*late)
    restart_until(alert, hook, set(keys_of([*early, *late])))
    alert.close()
    first, again, *rest = hook.accepted
    assert first.body == again.body
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert told(first) + [key for r in rest for key in told(r)] == keys_of([*early, *late])
