"""An HTTP endpoint in a thread, which keeps what it was sent and answers as it is told."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from tests.certificates import Certificates

WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int

    @property
    def key(self) -> str:
        return msgspec.json.decode(self.body)["id"]


class HttpReceiver:
    """Answers POST with the status that `answer` gives; stays on its port over restarts.

    With a `judge` the status depends on what was sent. `said` is the body of every answer.

    Args:
        tls: Serve HTTPS with these.
    """

    def __init__(self, tls: Certificates | None = None) -> None:
        self.answer: Callable[[int], int] = lambda count: 204
        self.judge: Callable[[Mapping[str, str], bytes], int] | None = None
        self.said = b""
        self.headers: Mapping[str, str] = {}
        self.requests: list[Request] = []
        self.port = 0
        self._news = threading.Condition()
        self._tls = tls
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hook"

    def start(self) -> HttpReceiver:
        handler = type("Handler", (_Handler,), {"receiver": self})
        self._server = server = _Server(("127.0.0.1", self.port), handler)
        self.port = server.server_address[1]
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._tls.certificate, self._tls.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> HttpReceiver:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        with self._news:
            given = self.answer(len(self.requests))
            status = given if self.judge is None else self.judge(headers, body)
            self.requests.append(Request(path, headers, body, status))
            self._news.notify_all()
        return status

    @property
    def accepted(self) -> list[Request]:
        """Requests that were answered with 2xx, in order."""
        with self._news:
            return [r for r in self.requests if 200 <= r.status < 300]

    def wait_accepted(self, count: int) -> None:
        with self._news:
            got = self._news.wait_for(
                lambda: sum(200 <= r.status < 300 for r in self.requests) >= count, WAIT_S
            )
        if not got:
            raise TimeoutError(f"only {len(self.accepted)} of {count} were accepted")

    def wait_requests(self, count: int) -> None:
        with self._news:
            if not self._news.wait_for(lambda: len(self.requests) >= count, WAIT_S):
                raise TimeoutError(f"only {len(self.requests)} of {count} requests came")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    receiver: HttpReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.receiver.take(self.path, headers, body)
        self.send_response(status)
        for name, value in self.receiver.headers.items():
            self.send_header(name, value)
        said = b"" if status == 204 else self.receiver.said
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""
