"""``configs/home.yaml`` as it is shipped, with a camera, a broker and a microphone of one's own.

Each step is typed as a user types it. One deployment serves all tests, in the order in which
they stand here; the last ones end it and read what it left behind.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from nodes.demo import read_events, same_bytes
from pipeline.core.arrival import LedgerReport, SampleArrived
from pipeline.core.event import Event, Phase, from_json
from pipeline.core.ledger import missing
from pipeline.recording.merge import read_many
from pipeline.recording.reader import Recording
from pipeline.sinks.signature import signature
from tests.requirements import require_module
from tests.system.home_site import SECRETS, SOUND_HZ, WEBHOOK_SECRET, Home, Watched, alarm_tone
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

NORMAL_S = 50
STREAMS = ("hall-camera", "hall-microphone", "hall-climate")
NODES = ("capture-house", "fusion", "alert")
WINDOWS = "fusewatch_windows_total"
CAPTURED = "fusewatch_captured_total"
DELIVERED = "fusewatch_delivered_total"
RESTARTS = "fusewatch_source_restarts"
CLEAR = 0.01
END_S = 60.0


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    for module in ("av", "sounddevice", "paho", "httpx", "torch"):
        require_module(module)
    with Home(tmp_path_factory.mktemp("home")) as home:
        yield home


@pytest.fixture(scope="module")
def checked(home):
    return home.type("config", "check", home.config)


@pytest.fixture(scope="module")
def normal(home, checked):
    said = home.type("record", home.config, "--seconds", str(NORMAL_S), "-o", "normal.mcap")
    return home.folder / "normal.mcap", said


@pytest.fixture(scope="module")
def commissioned(home, normal):
    return home.type("commission", home.config, "--recording", "normal.mcap")


class Running:
    """``fusewatch run``, from its start until it was asked to stop."""

    def __init__(self, home: Home) -> None:
        self.watched = Watched(home.data)
        self.process = home.start("run", home.config)
        self.scraped = ""

    def wait_total(self, least: float, name: str, metric: str, **labels: str) -> float:
        assert self.process.poll() is None, "fusewatch run ended by itself"
        return self.watched.wait_total(least, name, metric, **labels)

    def stop(self) -> int:
        self.scraped = "".join(self.watched.page(name, "/metrics")[1] for name in NODES)
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(END_S)


@pytest.fixture(scope="module")
def running(home, commissioned):
    running = Running(home)
    try:
        running.wait_total(4, "fusion", WINDOWS)
        yield running
    finally:
        if running.process.poll() is None:
            running.process.terminate()
            try:
                running.process.wait(END_S)
            finally:
                running.process.kill()


@pytest.fixture(scope="module")
def stopped(home, running):
    running.code = running.stop()
    return running


def recordings(home: Home) -> list[Path]:
    return sorted((home.data / "recordings").glob("*.mcap"))


def told(home: Home) -> list[Event]:
    """Events as the webhook took them."""
    bodies = [msgspec.json.decode(request.body) for request in home.hook.accepted]
    return [msgspec.convert(body["data"], Event) for body in bodies]


def wait_told(home: Home, detector: str, since_ns: int) -> Event:
    """Wait until the webhook was told of something that this detector saw after `since_ns`."""

    def found() -> list[Event]:
        return [
            event
            for event in told(home)
            if event.end_ns > since_ns
            and detector in event.modalities
            and event.modalities[detector].p < CLEAR
        ]

    wait_until(found, 60.0)
    return found()[0]


def wait_over(home: Home, event: Event) -> None:
    """Wait until the webhook was told that an event has cleared."""
    wait_until(lambda: any(e.id == event.id and e.phase is Phase.CLEARED for e in told(home)), 60.0)


def test_the_check_says_what_it_found(checked):
    assert "1 node, 3 sources, 3 streams, 1 scene, 3 sinks" in checked
    assert "make it with 'fusewatch commission'" in checked


def test_every_source_is_recorded(normal):
    path, said = normal
    with Recording(path) as recording:
        assert recording.truncated is None
        assert set(recording.streams) == set(STREAMS)
        spans = {n: (t.end_ns - t.start_ns) / 1e9 for n, t in recording.totals.items()}
        picture = recording.streams["hall-camera"].shape
    assert all(span > NORMAL_S / 2 for span in spans.values()), spans
    assert picture[1] == 640
    assert all(stream in said for stream in STREAMS)


def test_the_scene_is_commissioned_from_it(home, commissioned):
    assert (home.data / "hall.model").exists()
    assert "scene hall" in commissioned


def test_all_three_processes_are_alive_and_ready(running):
    for name in NODES:
        wait_until(lambda name=name: running.watched.page(name, "/readyz")[0] == 200, 60.0)
        assert running.watched.page(name, "/livez")[0] == 200


def test_they_count_what_they_do(running):
    for stream in STREAMS:
        running.wait_total(1, "capture-house", DELIVERED, stream=stream)
        unexplained = running.watched.total("capture-house", "fusewatch_unexplained", stream=stream)
        assert unexplained == 0
    assert running.watched.total("capture-house", "fusewatch_link_connected") == 1
    assert running.watched.total("fusion", "fusewatch_node_connected", node="house") == 1
    assert running.watched.total("alert", "fusewatch_sink_up", sink="webhook") == 1


def test_a_jump_of_the_temperature_is_told(home, running):
    since_ns = time.time_ns()
    home.climate.lift = 30.0
    event = wait_told(home, "sensor:hall-climate", since_ns)
    home.climate.lift = 0.0
    assert event.scene == "hall"
    wait_over(home, event)


def test_a_siren_is_told_with_a_picture(home, running):
    since_ns = time.time_ns()
    home.sound.play(alarm_tone(4.0), SOUND_HZ)
    event = wait_told(home, "audio:hall-microphone", since_ns)
    assert event.summary
    snapshot = home.data / "evidence" / event.evidence.snapshot
    wait_until(snapshot.is_file)
    assert cv2.imread(str(snapshot)).shape[1] == 640


def test_the_webhook_is_signed(home, running):
    request = home.hook.accepted[0]
    seconds = int(request.headers["webhook-timestamp"])
    wanted = signature(WEBHOOK_SECRET, request.headers["webhook-id"], seconds, request.body)
    assert request.headers["webhook-signature"] == wanted


def test_what_a_running_deployment_receives_can_be_recorded(home, running):
    home.type("record", home.config, "--seconds", "4", "-o", "running.mcap")
    path = home.folder / "running.mcap"
    wait_until(lambda: whole(path))
    samples = [a for a in read_many([path]) if isinstance(a, SampleArrived)]
    assert {a.sample.stream for a in samples} == set(STREAMS)


def whole(path: Path) -> bool:
    with Recording(path) as recording:
        return recording.truncated is None


def test_broker_and_sound_server_may_go_and_come_back(home, running):
    watched = running.watched
    home.broker.stop()
    home.sound.kill()
    wait_lost(running, "mqtt-2")
    wait_lost(running, "microphone-1")
    windows = watched.total("fusion", WINDOWS)
    running.wait_total(windows + 4, "fusion", WINDOWS)
    home.broker.start()
    home.sound.start()
    home.play_ambience()
    wait_more(running, "hall-climate")
    wait_more(running, "hall-microphone")
    assert watched.total("capture-house", RESTARTS, source="media-0") == 0


def test_the_camera_may_go_and_come_back(home, running):
    home.camera.kill()
    wait_lost(running, "media-0")
    home.camera.start()
    wait_more(running, "hall-camera")
    for stream in STREAMS:
        wait_more(running, stream)


def wait_lost(running: Running, source: str) -> None:
    running.wait_total(1, "capture-house", RESTARTS, source=source)


def wait_more(running: Running, stream: str) -> None:
    """Wait until four samples of a stream that are yet to be captured were taken for fusion."""
    before = running.watched.total("capture-house", CAPTURED, stream=stream)
    running.wait_total(before + 4, "capture-house", DELIVERED, stream=stream)


def test_it_stops_in_order_when_asked(home, stopped):
    assert stopped.code == 0
    assert not Watched(home.data).files()


def test_streams_that_came_back_say_so_and_the_others_never_stopped(home, stopped):
    samples = [a.sample for a in read_many(recordings(home)) if isinstance(a, SampleArrived)]
    of = {name: [s for s in samples if s.stream == name] for name in STREAMS}
    for stream in of.values():
        assert stream[-1].epoch > stream[0].epoch
        assert np.diff([s.sequence for s in stream]).min() == 1
    seen = [s.timestamp_ns for s in of["hall-camera"]]
    last = int(np.diff(seen).argmax())
    assert np.diff(seen[: last + 1]).max() < 1.5e9
    away_ns = (seen[last], seen[last + 1])
    assert of["hall-camera"][last].epoch < of["hall-camera"][last + 1].epoch
    heard = [s.timestamp_ns for s in of["hall-microphone"] if between(s.timestamp_ns, away_ns)]
    assert np.diff(heard).max() < 1.5e9


def between(value: int, span: tuple[int, int]) -> bool:
    return span[0] < value < span[1]


def test_the_books_balance_and_nothing_waits(home, stopped):
    reports = [a for a in read_many(recordings(home)) if isinstance(a, LedgerReport)]
    accounts = reports[-1].accounts
    assert set(accounts) == set(STREAMS)
    assert not missing(accounts)
    for account in accounts.values():
        assert account.captured == account.delivered + sum(account.dropped.values())


def test_every_sink_was_told_the_same(home, stopped):
    lines = (home.data / "events.jsonl").read_bytes().splitlines()
    assert [from_json(line) for line in lines] == told(home)
    assert [e.key for e in read_events(home.data / "events.jsonl")]


def test_a_replay_of_what_was_recorded_tells_the_same_events(home, stopped):
    files = recordings(home)
    home.type("replay", *files, "--config", home.config, "--events", "replayed.jsonl")
    assert same_bytes(home.data / "events.jsonl", home.folder / "replayed.jsonl")


def test_no_secret_is_told_anywhere(home, stopped):
    for path, text in home.said:
        assert not found_in(text.encode()), path
    assert not found_in(stopped.scraped.encode())
    for path in home.data.rglob("*"):
        if path.is_file():
            assert not found_in(path.read_bytes()), path


def found_in(content: bytes) -> list[str]:
    return [secret for secret in SECRETS if secret.encode() in content]
