"""The HTTP pages where other machines can reach them: TLS, a token, and strangers in bounds."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from nodes.health import Health, HealthServer
from nodes.http_server import MOST
from nodes.top_reading import Place, read
from pipeline.config.http_settings import HttpSettings
from pipeline.core.errors import ConfigError
from tests.certificates import Certificates, make_certificates
from tests.system.ports import free_port
from tests.waiting import wait_until

TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def settings(certificates: Certificates) -> HttpSettings:
    return HttpSettings(
        token=SecretStr(TOKEN), certificate=certificates.certificate, key=certificates.key
    )


@dataclass
class Served:
    """A health that is served on all interfaces."""

    health: Health
    port: int
    inner: int
    certificate: Path

    def get(self, page: str, authorization: str = "") -> tuple[int, str]:
        context = ssl.create_default_context(cafile=str(self.certificate))
        line = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=20)
        line.request("GET", page, headers={"Authorization": authorization} if authorization else {})
        answer = line.getresponse()
        body = answer.read().decode()
        line.close()
        return answer.status, body

    def refused(self, reason: str) -> float:
        name = "fusewatch_http_refused_total"
        return self.health.registry.get_sample_value(name, {"reason": reason}) or 0.0


@pytest.fixture
def served(certificates: Certificates, tmp_path) -> Iterator[Served]:
    own = Certificates(tmp_path / "server.crt", tmp_path / "server.key")
    shutil.copy(certificates.certificate, own.certificate)
    shutil.copy(certificates.key, own.key)
    health, port = Health(), free_port()
    health.alive("loop", True, "a detail of ours")
    health.ready("node", True)
    server = HealthServer(f"0.0.0.0:{port}", health, settings(own))
    inner = server.start()
    yield Served(health, port, inner, own.certificate)
    server.close()


def test_top_reads_it_with_the_token_and_not_without(served: Served, certificates) -> None:
    guard = settings(Certificates(served.certificate, certificates.key))
    address = f"localhost:{served.port}"
    assert read(Place("fusion", address, guard)).one("process_resident_memory_bytes")
    wrong = guard.model_copy(update={"token": SecretStr("not-the-token-of-it")})
    refused = read(Place("fusion", address, wrong)).error
    assert refused == f"{address}: it does not take our token (security.http.token)"
    assert read(Place("fusion", address)).error


def test_who_brings_the_token_sees_everything(served: Served) -> None:
    for scheme in ("Bearer", "bearer"):
        status, body = served.get("/metrics", f"{scheme} {TOKEN}")
        assert status == 200
        assert "process_resident_memory_bytes" in body
    assert served.get("/readyz", f"Bearer {TOKEN}") == (
        200,
        '{"ok": true, "checks": {"node": {"ok": true, "detail": ""}}}\n',
    )


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
def test_nobody_else_sees_more_than_that_it_lives(served: Served, authorization: str) -> None:
    for page in ("/metrics", "/readyz", "/", "/livez/../metrics"):
        assert served.get(page, authorization)[0] == 401
    assert served.get("/livez", authorization) == (200, '{"ok": true}\n')
    assert served.refused("token") == 4
    served.health.alive("loop", False, "a detail of ours")
    assert served.get("/livez", authorization) == (503, '{"ok": false}\n')


def test_this_machine_is_served_on_its_loopback_as_ever(served: Served) -> None:
    line = http.client.HTTPConnection("127.0.0.1", served.inner, timeout=20)
    line.request("GET", "/livez")
    assert "a detail of ours" in json.dumps(json.loads(line.getresponse().read()))
    line.close()


def test_without_tls_nothing_is_answered_and_nothing_printed(served: Served, capfd) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as line:
        line.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"ok" not in line.recv(1_000)
    wait_until(lambda: served.refused("broken_off") == 1)
    assert "Traceback" not in capfd.readouterr().err
    assert served.get("/livez")[0] == 200


def test_slow_clients_do_not_keep_others_out(served: Served) -> None:
    slow = [socket.create_connection(("127.0.0.1", served.port), timeout=20) for _ in range(MOST)]
    for line in slow:
        line.sendall(b"\x16")
    assert served.get("/livez")[0] == 200
    assert served.refused("crowded") >= 1
    assert slow[0].recv(1) == b""
    for line in slow:
        line.close()


def test_a_renewed_certificate_is_used_without_a_restart(served: Served, tmp_path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    new = make_certificates(folder)
    assert served.get("/livez")[0] == 200
    shutil.copy(new.key, tmp_path / "server.key")
    shutil.copy(new.certificate, tmp_path / "server.crt")
    assert served.get("/livez")[0] == 200


@pytest.mark.parametrize("address", ["0.0.0.0:0", "*:0", "[::]:0", "192.168.1.5:80", "a.org:80"])
def test_without_token_and_certificate_other_machines_are_not_served(address: str) -> None:
    with pytest.raises(ConfigError, match=r"needs a token and TLS.*security\.http"):
        HealthServer(address, Health())


@pytest.mark.parametrize("spoilt", ["certificate", "key"])
def test_a_certificate_that_cannot_be_used_is_a_clear_error(
    certificates: Certificates, tmp_path, spoilt: str
) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("not a certificate")
    for path in (broken, tmp_path / "missing.pem"):
        changed = settings(certificates).model_copy(update={spoilt: path})
        with pytest.raises(ConfigError, match=path.name):
            HealthServer("0.0.0.0:0", Health(), changed).start()


def test_a_key_that_every_user_can_read_is_refused(certificates: Certificates, tmp_path) -> None:
    open_key = tmp_path / "open.key"
    shutil.copy(certificates.key, open_key)
    open_key.chmod(0o644)
    changed = settings(certificates).model_copy(update={"key": open_key})
    with pytest.raises(ConfigError, match="chmod 600"):
        HealthServer("0.0.0.0:0", Health(), changed).start()
