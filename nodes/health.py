"""Is this process alive, is it ready, what does it count: over HTTP.

``/livez``   the process works: 200, or 503 when something that must run does not
``/readyz``  it does its job: 200, or 503 while something it needs is missing
``/metrics`` OpenMetrics

The two answers are JSON: ``{"ok": false, "checks": {"camera": {"ok": false, "detail": "lost"}}}``.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import structlog
from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from nodes.http_server import BoundedServer
from pipeline.config.addresses import http_address, is_loopback, require_guard
from pipeline.config.http_settings import HttpSettings
from pipeline.core.errors import FusewatchError

log = structlog.get_logger(__name__)

POLL_S = 0.1
"""A server looks this often whether it is to end."""


@dataclass(frozen=True, slots=True)
class Check:
    """Outcome of one check."""

    ok: bool
    detail: str = ""


class Health:
    """What is known of the health of this process; may be told from any thread.

    Args:
        registry: Metrics of this process; None: a new one with the process's own figures.
        now_s: Monotonic seconds.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry or new_registry()
        self._now_s = now_s
        self._lock = threading.Lock()
        self._alive: dict[str, Check] = {}
        self._ready: dict[str, Check] = {}
        self._beats: dict[str, tuple[float, float]] = {}

    def alive(self, name: str, ok: bool, detail: str = "") -> None:
        """Say whether something without which the process is useless works."""
        with self._lock:
            self._alive[name] = Check(ok, detail)

    def ready(self, name: str, ok: bool, detail: str = "") -> None:
        """Say whether something that is needed to do the job is there."""
        with self._lock:
            self._ready[name] = Check(ok, detail)

    def beat(self, name: str, limit_s: float) -> None:
        """Say that `name` runs now; it counts as dead when silent for longer than `limit_s`."""
        with self._lock:
            self._beats[name] = (self._now_s(), limit_s)

    def forget(self, name: str) -> None:
        """Drop everything said under `name`."""
        with self._lock:
            self._alive.pop(name, None)
            self._ready.pop(name, None)
            self._beats.pop(name, None)

    def livez(self) -> dict[str, Check]:
        """Checks of ``/livez`` by name."""
        with self._lock:
            now_s = self._now_s()
            checks = dict(self._alive)
            for name, (last_s, limit_s) in self._beats.items():
                silent_s = now_s - last_s
                late = silent_s > limit_s
                checks[name] = Check(not late, f"silent for {silent_s:.1f} s" if late else "")
            return checks

    def readyz(self) -> dict[str, Check]:
        """Checks of ``/readyz`` by name; nothing said yet is not ready."""
        with self._lock:
            return dict(self._ready) or {"start": Check(False, "starting")}


def new_registry() -> CollectorRegistry:
    """A registry with the process's own figures: memory, CPU, open files, start."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


class HealthServer:
    """Serves a `Health` over HTTP in threads of its own.

    An address that other machines can reach is served with TLS, to who brings the token; this
    machine is then served on its loopback as ever, on a port of its own.

    Args:
        address: ``HOST:PORT``; port 0: any free one.
        health: What is served.
        outside: Token and certificate for an address that is not on the loopback.

    Raises:
        ConfigError: The address is not one, or others can reach it and `outside` is not given.
    """

    def __init__(self, address: str, health: Health, outside: HttpSettings | None = None) -> None:
        self._address = http_address(address)
        self._health = health
        self._outside = None if is_loopback(self._address[0]) else outside
        if self._outside is None and not is_loopback(self._address[0]):
            raise require_guard(address)
        self._refused = Counter(
            "fusewatch_http_refused", "By reason", ["reason"], registry=health.registry
        )
        self._servers: list[BoundedServer] = []

    def start(self) -> int:
        """Start serving; the port on the loopback.

        Raises:
            ConfigError: The certificate or its key cannot be used.
            FusewatchError: The port is taken.
        """
        if self._outside is None:
            return self._serve(self._address, None)
        port = self._serve(self._address, self._outside)
        log.info("other machines are served", https=port)
        return self._serve(("127.0.0.1", 0), None)

    def close(self) -> None:
        """Stop serving; may be called twice."""
        while self._servers:
            server = self._servers.pop()
            server.shutdown()
            server.server_close()

    def _serve(self, address: tuple[str, int], outside: HttpSettings | None) -> int:
        handler = type("Handler", (_Handler,), {"health": self._health})
        try:
            server = BoundedServer(address, handler, self._refused, outside)
        except OSError as error:
            self.close()
            host, port = address
            raise PortTaken(
                f"cannot listen on {host}:{port}: {error.strerror}",
                fix="write port 0 for any free one",
            ) from error
        self._servers.append(server)
        serve = partial(server.serve_forever, POLL_S)
        threading.Thread(target=serve, name="health", daemon=True).start()
        return int(server.server_address[1])


class PortTaken(FusewatchError):
    """The HTTP port is in use."""

    exit_code = 69


class _Handler(BaseHTTPRequestHandler):
    health: ClassVar[Health]
    server_version = "fusewatch"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one of the three pages."""
        page = self.path.partition("?")[0]
        if not self._admitted():
            self._turn_away(page)
        elif page == "/livez":
            self._checks(self.health.livez())
        elif page == "/readyz":
            self._checks(self.health.readyz())
        elif page == "/metrics":
            metrics = generate_latest(self.health.registry)  # type: ignore[no-untyped-call]
            self._send(200, CONTENT_TYPE_LATEST, metrics)
        else:
            self._send(404, "text/plain", b"try /livez, /readyz or /metrics\n")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Say nothing: probes come every few seconds."""

    def _admitted(self) -> bool:
        header = self.headers.get("Authorization", "")
        return isinstance(self.server, BoundedServer) and self.server.admits(header)

    def _turn_away(self, page: str) -> None:
        """Without the token: whether the process lives, and nothing else."""
        if page == "/livez":
            ok = all(check.ok for check in self.health.livez().values())
            body = json.dumps({"ok": ok}).encode() + b"\n"
            self._send(200 if ok else 503, "application/json", body)
            return
        if isinstance(self.server, BoundedServer):
            self.server.count("token")
        self._send(401, "text/plain", b"a token is needed: Authorization: Bearer TOKEN\n")

    def _checks(self, checks: dict[str, Check]) -> None:
        ok = all(check.ok for check in checks.values())
        body = {"ok": ok, "checks": {name: asdict(check) for name, check in checks.items()}}
        self._send(200 if ok else 503, "application/json", json.dumps(body).encode() + b"\n")

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
