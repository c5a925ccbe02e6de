"""The dashboard as a node: the web server in a thread, stopped with the process."""

from __future__ import annotations

import threading

import structlog
import uvicorn
from prometheus_client import CollectorRegistry

from nodes.dashboard.access import FILE, Access, page_token
from nodes.dashboard.app import Desk, build_app
from nodes.dashboard.live_feed import LiveFeed
from nodes.dashboard.records import Records
from nodes.health import Health, PortTaken
from pipeline.config.addresses import is_loopback
from pipeline.config.deployment import DashboardSettings, Deployment
from pipeline.core.clock import Clock
from pipeline.core.errors import ConfigError

log = structlog.get_logger(__name__)

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class DashboardNode:
    """The web page of a deployment.

    Args:
        deployment: The deployment.
        clock: Node time.
    """

    name = "dashboard"

    def __init__(self, deployment: Deployment, clock: Clock) -> None:
        self._deployment = deployment
        self._settings = deployment.dashboard or DashboardSettings()
        self._host, self._port = listen_address(self._settings)
        self._clock = clock
        self._health = Health()
        self._records: Records | None = None
        self._feed: LiveFeed | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    @property
    def address(self) -> str:
        """Where the page is, without the token."""
        scheme = "https" if self._settings.certificate else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}/"

    def register(self, health: Health, registry: CollectorRegistry) -> None:
        """Take what health is reported to."""
        self._health = health

    def start(self) -> None:
        """Open what is shown and listen.

        Raises:
            AuthenticationError: The token of the page can be read by others.
            PortTaken: The port is in use.
        """
        access = Access(page_token(self._deployment.data), self._clock)
        self._records = Records(self._deployment, self._clock)
        self._feed = LiveFeed(self._deployment.data)
        hosts = (*_LOOPBACK, self._host, *self._settings.hosts)
        secure = self._settings.certificate is not None
        desk = Desk(self._deployment, access, self._records, self._feed, secure, hosts)
        config = uvicorn.Config(
            build_app(desk),
            host=self._host,
            port=self._port,
            ssl_certfile=self._settings.certificate,
            ssl_keyfile=self._settings.private_key,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._serve(config)

    def step(self, timeout_s: float) -> bool:
        """Wait: the server works in its own thread."""
        self._health.ready("page", not self._ended.wait(timeout_s), self.address)
        return not self._ended.is_set()

    def drain(self, timeout_s: float) -> None:
        """Nothing is under way that must be finished."""

    def close(self) -> None:
        """Stop the server and let go of what was opened."""
        if self._feed is not None:
            self._feed.end()
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        if self._feed is not None:
            self._feed.close()
        if self._records is not None:
            self._records.close()

    def _serve(self, config: uvicorn.Config) -> None:
        self._server = uvicorn.Server(config)
        try:
            listening = config.bind_socket()
        except SystemExit as error:
            raise PortTaken(
                f"cannot listen on {self._host}:{self._port}",
                fix="give the page another port: dashboard.listen",
            ) from error
        listening.listen()  # whoever comes before the server is ready waits
        self._port = listening.getsockname()[1]
        self._thread = threading.Thread(
            target=self._run, args=(self._server, listening), name="page", daemon=True
        )
        self._thread.start()
        # Fields named like secrets are not shown, so not even where the token is would be.
        log.info("page", address=self.address, log_in_with=str(self._deployment.data / FILE))

    def _run(self, server: uvicorn.Server, listening: object) -> None:
        try:
            server.run(sockets=[listening])  # type: ignore[list-item]
        finally:
            self._ended.set()


def listen_address(settings: DashboardSettings) -> tuple[str, int]:
    """Host and port to listen on.

    Raises:
        ConfigError: It is no address, or leaves this machine without TLS.
    """
    host, _, port = settings.listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(
            f"dashboard.listen: {settings.listen!r} is not HOST:PORT",
            fix="write for example 127.0.0.1:7780",
        )
    if not is_loopback(host) and not (settings.certificate and settings.private_key):
        raise ConfigError(
            f"dashboard.listen: {settings.listen!r} can be reached from other machines, which "
            "needs TLS",
            fix="set certificate and private_key, or listen on 127.0.0.1 behind a proxy with TLS",
        )
    return host, int(port)
