"""A small HTTP server that strangers may knock at: bounded, and with TLS and a token outside.

At most `MOST` connections are open; one more ends the oldest, so that slow clients cannot keep
others out. TLS handshakes happen in the connection's own thread. A certificate that is renewed
on disk is used from the next connection on.
"""

from __future__ import annotations

import hmac
import socket
import ssl
import stat
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import Counter

from pipeline.config.http_settings import HttpSettings
from pipeline.core.errors import ConfigError

log = structlog.get_logger(__name__)

MOST = 32
TIMEOUT_S = 5.0


class Tls:
    """The certificate of this server, read again when its files change.

    Raises:
        ConfigError: The files cannot be read, do not belong together, or others may read the key.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        self._lock = threading.Lock()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._stamps = self._load()

    def wrap(self, line: socket.socket) -> ssl.SSLSocket:
        """The encrypted connection on `line`, before its handshake."""
        # While the files are being replaced, those before are still good.
        with self._lock, suppress(OSError, ConfigError):
            if self._stamps != self._stamps_now():
                self._stamps = self._load()
        return self._context.wrap_socket(line, server_side=True, do_handshake_on_connect=False)

    def _load(self) -> list[int]:
        certificate, key = self._files
        try:
            stamps = self._stamps_now()
            if key.stat().st_mode & stat.S_IRWXO:
                raise ConfigError(
                    "every user can read this key", where=str(key), fix=f"chmod 600 {key}"
                )
            self._context.load_cert_chain(certificate, key)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(
                f"not a certificate and its key: {error.strerror or error}",
                where=f"{certificate}, {key}",
                fix="security.http names PEM files that this user may read",
            ) from error
        return stamps

    def _stamps_now(self) -> list[int]:
        return [path.stat().st_mtime_ns for path in self._files]


class BoundedServer(ThreadingHTTPServer):
    """See the module.

    Args:
        address: Host and port.
        handler: Answers a request; asks `admits` first where that matters.
        refused: Counts connections and requests that were not answered, by reason.
        outside: Token and certificate; None: neither.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = MOST

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        refused: Counter,
        outside: HttpSettings | None = None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._refused = refused
        self._token = outside.token.get_secret_value().encode() if outside else None
        self._tls = Tls(outside.certificate, outside.key) if outside else None
        self._open: dict[Any, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def admits(self, authorization: str) -> bool:
        """Whether a request with this header may see everything."""
        if self._token is None:
            return True
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode("utf-8", "replace")
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self._token)

    def count(self, reason: str) -> None:
        """Something was not answered."""
        self._refused.labels(reason).inc()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Take a connection in; the oldest goes when there are too many."""
        with self._lock:
            self._open[client_address] = request
            oldest = next(iter(self._open)) if len(self._open) > MOST else None
            crowded = None if oldest is None else self._open.pop(oldest)
        if crowded is not None:
            self.count("crowded")
            _shut(crowded)
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Answer, after the handshake; in the connection's own thread."""
        request.settimeout(TIMEOUT_S)
        try:
            if self._tls is None:
                super().finish_request(request, client_address)
                return
            with self._tls.wrap(request) as line:
                with self._lock:
                    if client_address in self._open:
                        self._open[client_address] = line
                line.do_handshake()
                super().finish_request(line, client_address)
        finally:
            with self._lock:
                self._open.pop(client_address, None)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Count a client that went or was too slow, or a handshake that failed; tell the rest."""
        del request, client_address
        error = sys.exception()
        if isinstance(error, OSError):  # so is what TLS and timeouts raise
            self.count("broken_off")
        else:
            self.count("failed")
            log.error("a page failed", exc_info=error)


def _shut(line: socket.socket) -> None:
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # gone already
