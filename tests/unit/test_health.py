from __future__ import annotations

import http.client
import json
import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import Counter, Gauge
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from nodes.health import Health, HealthServer, PortTaken
from pipeline.core.errors import ConfigError
from tests.waiting import wait_until


class Page:
    def __init__(self, port: int, path: str) -> None:
        try:
            answer = urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            self.status: int = answer.status
            self.body = answer.read().decode()
            self.content_type = answer.headers["Content-Type"]


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def port(health: Health) -> Iterator[int]:
    server = HealthServer("127.0.0.1:0", health)
    yield server.start()
    server.close()
    server.close()


def test_nothing_said_yet_is_alive_and_not_ready(health: Health, port: int) -> None:
    assert Page(port, "/livez").status == 200
    page = Page(port, "/readyz")
    assert page.status == 503
    assert json.loads(page.body)["checks"] == {"start": {"ok": False, "detail": "starting"}}


def test_readiness_follows_its_checks(health: Health, port: int) -> None:
    health.ready("camera", True)
    health.ready("broker", False, "connection refused")
    page = Page(port, "/readyz")
    assert page.status == 503
    assert json.loads(page.body) == {
        "ok": False,
        "checks": {
            "camera": {"ok": True, "detail": ""},
            "broker": {"ok": False, "detail": "connection refused"},
        },
    }
    health.ready("broker", True)
    assert Page(port, "/readyz").status == 200
    assert Page(port, "/readyz?verbose").status == 200


def test_what_must_run_is_missed_when_it_falls_silent() -> None:
    now = [0.0]
    health = Health(now_s=lambda: now[0])
    health.beat("loop", 5.0)
    now[0] = 4.0
    assert health.livez()["loop"].ok
    now[0] = 6.0
    assert health.livez()["loop"].detail == "silent for 6.0 s"
    health.beat("loop", 5.0)
    assert health.livez()["loop"].ok
    health.alive("disk", False, "full")
    assert not health.livez()["disk"].ok
    health.forget("disk")
    assert set(health.livez()) == {"loop"}


def test_metrics_are_open_metrics_with_the_process_figures(health: Health, port: int) -> None:
    Counter("frames", "Frames seen.", ["stream"], registry=health.registry).labels("cam").inc(3)
    page = Page(port, "/metrics")
    assert page.content_type.startswith("application/openmetrics-text")
    assert 'frames_total{stream="cam"} 3.0' in page.body
    assert "process_resident_memory_bytes" in page.body
    assert page.body.endswith("# EOF\n")


def test_two_healths_have_metrics_of_their_own() -> None:
    assert Health().registry is not Health().registry


def test_other_pages_and_methods_are_refused(port: int) -> None:
    assert Page(port, "/").status == 404
    assert Page(port, "/livez/../etc").status == 404
    head = urllib.request.Request(f"http://127.0.0.1:{port}/livez", method="HEAD")
    with urllib.request.urlopen(head, timeout=10) as answer:
        assert answer.read() == b""
    post = urllib.request.Request(f"http://127.0.0.1:{port}/livez", method="POST", data=b"x")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(post, timeout=10)
    assert caught.value.code == 501
    caught.value.close()


@pytest.mark.parametrize("address", ["", "127.0.0.1", ":80", "127.0.0.1:x", "127.0.0.1:70000"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="not HOST:PORT"):
        HealthServer(address, Health())


def test_a_taken_port_is_a_clear_error(port: int) -> None:
    with pytest.raises(PortTaken, match="cannot listen on"):
        HealthServer(f"127.0.0.1:{port}", Health()).start()


def refused(health: Health, reason: str) -> float:
    name = "fusewatch_http_refused_total"
    return health.registry.get_sample_value(name, {"reason": reason}) or 0.0


def test_a_client_that_vanishes_is_counted_and_nothing_printed(
    health: Health, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    long = Gauge("long", "More than any buffer takes", ["name"], registry=health.registry)
    long.labels("x" * 20_000_000).set(1)
    line = socket.create_connection(("127.0.0.1", port), timeout=20)
    line.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert line.recv(100)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()  # by a reset, in the middle of the answer
    wait_until(lambda: refused(health, "broken_off") == 1)
    assert "Traceback" not in capfd.readouterr().err
    assert Page(port, "/livez").status == 200


class Broken(Collector):
    def collect(self) -> Iterator[Gauge]:
        raise ValueError("a figure that cannot be told")


def test_a_page_that_fails_by_itself_is_told_and_not_taken_for_a_client_that_went(
    health: Health, port: int
) -> None:
    broken = Broken()
    health.registry.register(broken)
    with capture_logs() as logs, pytest.raises(http.client.RemoteDisconnected):
        Page(port, "/metrics")
    health.registry.unregister(broken)
    wait_until(lambda: refused(health, "failed") == 1)
    assert [str(line["exc_info"]) for line in logs] == ["a figure that cannot be told"]
    assert refused(health, "broken_off") == 0
