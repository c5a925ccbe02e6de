"""A whole deployment full of secrets, of which none may turn up in anything it says or writes.

Every way in which a secret can be given is used (written down, by variable, by file, in a URL)
and every one of them is used wrongly by somebody: the camera, the broker and the database are
not there, the webhook refuses. What is said, answered, stored and recorded is then searched.
"""

from __future__ import annotations

import base64
import os
import signal
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.store import OutboxStore
from pipeline.transport.key_store import KeyStore, Role
from tests.certificates import make_certificates
from tests.command_line import fusewatch
from tests.event_samples import event
from tests.http_receiver import HttpReceiver
from tests.requirements import require_module
from tests.system.home_site import Watched
from tests.system.ports import free_port
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
PLANTED = {
    "rtsp": "pl4nted-rtsp@word",
    "broker": "pl4nted-broker-pass",
    "hook_path": "pl4nted-hook-path",
    "hook_query": "pl4nted-hook-query",
    "hook_user": "pl4nted-hook-user-pass",
    "hook_header": "pl4nted-hook-header",
    "hook_signing": "pl4nted-hook-signing",
    "sql": "pl4nted-sql/password",
    "sink_broker": "pl4nted-sink-broker",
    "pager": "pl4nted-routing-key-0123456789ab",
    "kafka": "pl4nted-kafka-pass",
    "http": "pl4nted-http-token-0123456789",
}
DEPLOYMENT = """
name: planted
data: data
nodes:
  site:
    sources:
      - {{type: scene, size: [64, 48], anomalies: none}}
      - type: media
        url: rtsp://viewer:{rtsp}@127.0.0.1:{closed}/live
        video: door
      - type: mqtt
        host: 127.0.0.1
        port: {closed}
        username: reader
        password_file: broker.txt
        streams:
          - {{name: climate, topic: a/b, channels: [{{name: t, path: t}}]}}
scenes:
  site: {{streams: [site-camera, site-microphone, site-sensors]}}
fusion:
  listen: tcp://127.0.0.1:{fusion}
  record: {{folder: recordings}}
alert:
  listen: tcp://127.0.0.1:{alert}
  http: 0.0.0.0:{https}
  sinks:
    - type: webhook
      url: http://caller:{hook_user}@127.0.0.1:{hook}/{hook_path}?token={hook_query}
      headers: {{Authorization: "Bearer ${{HOOK_TOKEN}}"}}
      secret: ${{HOOK_SIGNING}}
    - type: sql
      url: postgresql+psycopg://writer:{sql_quoted}@127.0.0.1:{closed}/events
    - type: mqtt
      host: 127.0.0.1
      port: {closed}
      username: writer
      password: {sink_broker}
    - type: webhook
      name: pager
      template: pagerduty
      url: http://127.0.0.1:{hook}/enqueue
      routing_key_file: pager.txt
    - type: kafka
      servers: ["127.0.0.1:{closed}"]
      sasl: plain
      username: writer
      password: {kafka}
security:
  curve: "on"
  keys: keys
  http: {{token_file: token.txt, certificate: server.crt, key: server.key}}
"""


class Planted:
    """The deployment, run once; what there is to search."""

    def __init__(self, folder: Path, hook: HttpReceiver) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self.config = folder / "planted.yaml"
        self.https = free_port()
        (folder / "broker.txt").write_text(PLANTED["broker"])
        (folder / "token.txt").write_text(PLANTED["http"])
        (folder / "pager.txt").write_text(PLANTED["pager"])
        for name in ("broker.txt", "token.txt", "pager.txt"):
            (folder / name).chmod(0o600)
        make_certificates(folder)
        self.config.write_text(
            DEPLOYMENT.format(
                closed=free_port(),
                fusion=free_port(),
                alert=free_port(),
                hook=hook.port,
                https=self.https,
                sql_quoted=urllib.parse.quote(PLANTED["sql"], safe=""),
                **PLANTED,
            )
        )
        store = KeyStore(folder / "keys")
        roles = {"site": Role.CAPTURE, "fusion": Role.FUSION, "alert": Role.ALERT}
        for node, role in roles.items():
            store.create(node, role)
        self.key_secrets = [store.own(node, role).secret for node, role in roles.items()]
        self.pages: list[str] = []
        self.commands: list[bytes] = []

    def queue_event(self) -> None:
        """An event that the alert node has yet to deliver."""
        with closing(OutboxStore(self.data / "alert.db")) as outbox:
            outbox.accept(event(scene="site"), ["webhook", "sql", "mqtt", "pager", "kafka"])

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", ""))),
            "FUSEWATCH_LOG_LEVEL": "debug",
            "HOOK_TOKEN": PLANTED["hook_header"],
            "HOOK_SIGNING": PLANTED["hook_signing"],
        }

    def run(self, hook: HttpReceiver) -> None:
        """Run it until everything has gone wrong once, then stop it in order."""
        with (self.folder / "said-run.txt").open("wb") as out:
            command = [sys.executable, "-P", "-m", "nodes.cli", "run", str(self.config)]
            process = subprocess.Popen(command, env=self.environment, stdout=out, stderr=out)
        watched = Watched(self.data)
        try:
            wait_until(lambda: both_refused(hook) or process.poll() is not None, 40.0)
            assert process.poll() is None, (self.folder / "said-run.txt").read_text()
            for name, page, words in (
                ("alert", "/metrics", "fusewatch_sink"),
                ("capture-site", "/readyz", "media-1"),
                ("capture-site", "/metrics", "fusewatch_captured_total"),
                ("fusion", "/metrics", 'fusewatch_node_connected{node="site"} 1.0'),
            ):
                wait_until(lambda n=name, p=page, w=words: w in watched.page(n, p)[1], 40.0)
            said = self.folder / "said-run.txt"
            for words in ("rtsp://", "postgresql", "climate", "kafka"):
                wait_until(lambda w=words: w in said.read_text(), 40.0)
            for name in ("alert", "capture-site", "fusion"):
                self.pages += [watched.page(name, p)[1] for p in ("/livez", "/readyz", "/metrics")]
                pid = watched.files()[name].pid
                self.commands.append(Path(f"/proc/{pid}/cmdline").read_bytes())
            self.pages.append(self.outside())
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def outside(self) -> str:
        """The metrics as another machine reads them, with the token."""
        context = ssl.create_default_context(cafile=str(self.folder / "server.crt"))
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.https}/metrics",
            headers={"Authorization": f"Bearer {PLANTED['http']}"},
        )
        with urllib.request.urlopen(request, context=context, timeout=20) as page:
            return page.read().decode()


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Iterator[Planted]:
    require_module("torch")
    with HttpReceiver() as hook:
        hook.judge = refuse_and_tell(hook)
        found = Planted(tmp_path_factory.mktemp("planted"), hook)
        found.queue_event()
        found.run(hook)
        yield found


def refuse_and_tell(hook: HttpReceiver) -> Callable[[Mapping[str, str], bytes], int]:
    """A service that says in its refusal all that it was sent."""

    def judge(headers: Mapping[str, str], body: bytes) -> int:
        hook.said = f"cannot take {dict(headers)} {body.decode()}".encode()
        return 400 if hook.requests else 500

    return judge


def both_refused(hook: HttpReceiver) -> bool:
    return {request.path.startswith("/enqueue") for request in hook.requests} == {True, False}


def forms(secret: str) -> list[bytes]:
    """A secret as it may be written."""
    quoted = urllib.parse.quote(secret, safe="")
    encoded = base64.b64encode(secret.encode()).rstrip(b"=")
    return [secret.encode(), quoted.encode(), encoded]


@pytest.fixture
def say(planted: Planted, monkeypatch, capsys) -> Callable[..., str]:
    """What a command says, on both its outputs."""
    monkeypatch.setenv("HOOK_TOKEN", PLANTED["hook_header"])
    monkeypatch.setenv("HOOK_SIGNING", PLANTED["hook_signing"])

    def said(*arguments: str | Path) -> str:
        fusewatch(*arguments)
        return "".join(capsys.readouterr())

    return said


def found_in(content: bytes, planted: Planted) -> list[str]:
    everything = {**PLANTED, **{f"key {n}": s for n, s in enumerate(planted.key_secrets)}}
    return [name for name, secret in everything.items() if any(f in content for f in forms(secret))]


def test_everything_went_wrong_that_was_to(planted: Planted) -> None:
    said = (planted.folder / "said-run.txt").read_text()
    assert "rtsp://***@127.0.0.1" in said
    assert "postgresql+psycopg://***@127.0.0.1" in said
    kept = b"".join(file.read_bytes() for file in planted.data.glob("alert.db*"))
    assert b"400 Bad Request: cannot take" in kept
    assert all("process_cpu_seconds_total" in planted.pages[at] for at in (2, 5, 8, 9))


def test_no_secret_is_in_what_the_processes_said_and_wrote(planted: Planted) -> None:
    given = {"planted.yaml", "broker.txt", "token.txt", "pager.txt", "server.key"}
    files = [p for p in planted.folder.rglob("*") if p.is_file() and p.name not in given]
    assert len(files) > 8
    for path in files:
        if not path.name.endswith(".secret.json"):
            assert not found_in(path.read_bytes(), planted), path
    assert list((planted.folder / "recordings").glob("*.mcap"))


def test_no_secret_is_in_what_they_answered_or_were_started_with(planted: Planted) -> None:
    for page in planted.pages:
        assert not found_in(page.encode(), planted)
    for command in planted.commands:
        assert b"nodes.cli" in command
        assert not found_in(command, planted)


@pytest.mark.parametrize(
    "arguments",
    [
        ("config", "check"),
        ("config", "check", "--json"),
        ("events", "list"),
        ("events", "list", "--dead"),
        ("events", "list", "--dead", "--json"),
        ("events", "retry", "--dry-run"),
        ("doctor",),
        ("spool", "show"),
        ("--debug", "run"),
    ],
    ids=" ".join,
)
def test_no_secret_is_in_what_commands_say(
    planted: Planted, say: Callable[..., str], arguments: tuple[str, ...]
) -> None:
    if arguments[-1] == "run":
        broken = planted.folder / "broken.yaml"
        broken.write_text(planted.config.read_text().replace("type: sql", "type: sqll"))
        said = say(*arguments, broken)
        assert "sqll" in said
        broken.unlink()
    else:
        said = say(*arguments, planted.config)
    assert said
    assert not found_in(said.encode(), planted)


FAULTS = {
    "ftp for a webhook": ("http://caller", "ftp://caller"),
    "no database": ("postgresql+psycopg://writer:", "postgresql+psycopg//writer:"),
    "a list for a password": ("password: pl4", "password: [pl4"),
    "a broken line": ("username: writer", "username: writer: x"),
    "an unknown key": ("      password: pl4", "      passwrd: pl4"),
    "a secret and its file": ("password_file: broker.txt", "password_file: a\n        password: b"),
    "a port that is none": ("@127.0.0.1:{hook}", "@127.0.0.1:x"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_secret_is_in_what_is_said_of_a_broken_deployment(
    planted: Planted, say: Callable[..., str], fault: str
) -> None:
    before, after = FAULTS[fault]
    text = planted.config.read_text()
    hook = text.partition(f"{PLANTED['hook_user']}@127.0.0.1:")[2].partition("/")[0]
    broken = planted.folder / "faulty.yaml"
    changed = text.replace(before.format(hook=hook), after)
    assert changed != text
    broken.write_text(changed)
    said = say("config", "check", broken)
    broken.unlink()
    assert "faulty.yaml:" in said
    assert not found_in(said.encode(), planted)


def test_no_secret_is_in_what_is_sent_to_those_who_help(
    planted: Planted, say: Callable[..., str], tmp_path: Path
) -> None:
    log = tmp_path / "careless.log"
    careless = [f"Bearer {PLANTED['hook_header']}", planted.config.read_text()]
    careless += [PLANTED[name] for name in ("rtsp", "broker", "hook_signing", "sql", "http")]
    log.write_text("\n".join([(planted.folder / "said-run.txt").read_text(), *careless]))
    said = say("support", "bundle", planted.config, "-o", tmp_path / "help.zip", "--log", log)
    assert not found_in(said.encode(), planted)
    with zipfile.ZipFile(tmp_path / "help.zip") as opened:
        parts = {name: opened.read(name) for name in opened.namelist()}
    assert {"deployment.json", "kept.json", "processes/fusion.json", "log.txt"} <= parts.keys()
    assert b"rtsp://***@127.0.0.1" in parts["log.txt"]
    for name, content in parts.items():
        assert not found_in(content, planted), name
