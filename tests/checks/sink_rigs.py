"""The receiving end of every kind of sink, for the contract they share."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.event import from_json
from tests.event_samples import event, life
from tests.http_receiver import HttpReceiver
from tests.mail_server import MailServer
from tests.requirements import require_module

SECRET = "s3cr3t-w0rd"


class Rig:
    """The receiving end of one kind."""

    kind = ""
    can_go_down = True
    confirms = True
    """Whether what was delivered is known to have been received."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capture = capture

    def settings(self) -> dict[str, Any]:
        return {}

    def secretive_settings(self) -> dict[str, Any]:
        """Settings with `SECRET` in every place that may hold one."""
        return self.settings()

    def received(self) -> list[str]:
        """Keys (`Event.key`) that the receiver has, in order, repeats included."""
        raise NotImplementedError

    def digests(self) -> list[dict[str, Any]]:
        """Digests that the receiver has, in order."""
        raise NotImplementedError

    def answers(self) -> list[str]:
        """Keys of the answers that the receiver has, in order."""
        return self.received()

    def go_down(self) -> None:
        raise NotImplementedError

    def come_back(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


class ConsoleRig(Rig):
    kind = "console"
    can_go_down = False

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        super().__init__(folder, capture)
        self.text = ""

    def received(self) -> list[str]:
        self.text += self.capture.readouterr().out
        words = [
            (word.upper(), number) for number, word in enumerate(["raised", "updated", "cleared"])
        ]
        lines = [line for line in self.text.splitlines() if "a sound without its cause" in line]
        return [f"{event().id}.{n}" for line in lines for word, n in words if word in line]


class JsonlRig(Rig):
    kind = "jsonl"

    @property
    def path(self) -> Path:
        return self.folder / "out" / "events.jsonl"

    def settings(self) -> dict[str, Any]:
        return {"path": self.path}

    def received(self) -> list[str]:
        return [from_json(line).key for line in self.path.read_bytes().splitlines()]

    def go_down(self) -> None:
        if self.path.parent.exists():
            self.path.parent.rename(self.folder / "aside")
        self.path.parent.write_text("a file where the folder should be")

    def come_back(self) -> None:
        self.path.parent.unlink()
        with suppress(FileNotFoundError):
            (self.folder / "aside").rename(self.path.parent)


class SqlRig(Rig):
    kind = "sql"

    @property
    def path(self) -> Path:
        return self.folder / "db" / "events.db"

    def settings(self) -> dict[str, Any]:
        self.path.parent.mkdir(exist_ok=True)
        return {"url": f"sqlite:///{self.path}"}

    def secretive_settings(self) -> dict[str, Any]:
        return {"url": f"postgresql+psycopg://me:{SECRET}@localhost/db"}

    def received(self) -> list[str]:
        with closing(sqlite3.connect(self.path)) as database:
            rows = database.execute("SELECT body FROM fusewatch_events ORDER BY rowid").fetchall()
        return [from_json(body).key for (body,) in rows]

    def go_down(self) -> None:
        self.path.parent.rename(self.folder / "aside")

    def come_back(self) -> None:
        (self.folder / "aside").rename(self.path.parent)


class ServerRig(Rig):
    """A receiver that is a server of ours."""

    server: HttpReceiver | MailServer

    def go_down(self) -> None:
        self.server.stop()

    def come_back(self) -> None:
        self.server.start()

    def close(self) -> None:
        self.server.stop()


class WebhookRig(ServerRig):
    server: HttpReceiver

    kind = "webhook"

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        super().__init__(folder, capture)
        require_module("httpx")
        self.server = HttpReceiver().start()

    def settings(self) -> dict[str, Any]:
        return {"url": self.server.url, "secret": "a key"}

    def secretive_settings(self) -> dict[str, Any]:
        return {
            "url": f"https://me:{SECRET}@localhost/hook/{SECRET}?token={SECRET}",
            "secret": SECRET,
            "headers": {"Authorization": f"Bearer {SECRET}"},
        }

    def received(self) -> list[str]:
        return [json.loads(request.body)["id"] for request in self.server.accepted]

    def digests(self) -> list[dict[str, Any]]:
        bodies = [json.loads(request.body) for request in self.server.accepted]
        assert [request.headers["webhook-id"] for request in self.server.accepted] == [
            body["id"] for body in bodies
        ]
        return [b["data"] for b in bodies if b["type"] == "org.fusewatch.digest"]


class MqttRig(Rig):
    kind = "mqtt"

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        super().__init__(folder, capture)
        require_module("paho")
        from tests.mqtt_listener import MqttListener
        from tests.system.mosquitto import Mosquitto

        self.broker = Mosquitto(folder / "broker").start()
        self.listener = MqttListener(self.broker.port)

    def settings(self) -> dict[str, Any]:
        return {"port": self.broker.port}

    def secretive_settings(self) -> dict[str, Any]:
        return {"port": self.broker.port, "username": "me", "password": SECRET}

    def received(self) -> list[str]:
        self._settle()
        return [from_json(m.payload).key for m in self.listener.on("/event")]

    def digests(self) -> list[dict[str, Any]]:
        self._settle()
        states = [json.loads(m.payload) for m in self.listener.on("/state")]
        assert [(s["state"], s["key"]) for s in states] == [("OFF", life(5)[-1].key)]
        return [json.loads(m.payload) for m in self.listener.on("/digest")]

    def answers(self) -> list[str]:
        self._settle()
        return [json.loads(m.payload)["key"] for m in self.listener.on("/answer")]

    def _settle(self) -> None:
        """What was published last is what the listener waits for, so nothing is under way."""
        with closing(_Flush(self.broker.port)) as flush:
            flush.publish()
            self.listener.wait(lambda got: any(m.topic == flush.topic for m in got))

    def go_down(self) -> None:
        self.broker.stop()

    def come_back(self) -> None:
        self.broker.start()

    def close(self) -> None:
        self.listener.__exit__()
        self.broker.kill()


class EmailRig(ServerRig):
    server: MailServer

    kind = "email"

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        super().__init__(folder, capture)
        require_module("aiosmtpd")
        self.server = MailServer().start()

    def settings(self) -> dict[str, Any]:
        return {
            "server": "127.0.0.1",
            "port": self.server.port,
            "security": "none",
            "sender": "watch@site.test",
            "to": ["ada@site.test"],
        }

    def secretive_settings(self) -> dict[str, Any]:
        return self.settings() | {"username": "me", "password": SECRET}

    def received(self) -> list[str]:
        return [mail["Message-ID"].strip("<>").partition("@")[0] for mail in self.server.mails]

    def digests(self) -> list[dict[str, Any]]:
        return [told_as_text(mail.get_content()) for mail in self.server.mails]


class AppriseRig(ServerRig):
    server: HttpReceiver

    kind = "apprise"

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        super().__init__(folder, capture)
        require_module("apprise")
        self.server = HttpReceiver().start()

    def settings(self) -> dict[str, Any]:
        return {"urls": [f"json://127.0.0.1:{self.server.port}/hook"]}

    def secretive_settings(self) -> dict[str, Any]:
        return {"urls": [f"json://me:{SECRET}@localhost/{SECRET}"]}

    def _texts(self) -> list[str]:
        return [json.loads(request.body)["message"] for request in self.server.accepted]

    def received(self) -> list[str]:
        return [text.rpartition("id:")[2].strip() for text in self._texts()]

    def digests(self) -> list[dict[str, Any]]:
        return [told_as_text(text) for text in self._texts()]


class KafkaRig(Rig):
    kind = "kafka"

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        super().__init__(folder, capture)
        require_module("confluent_kafka")
        from tests.kafka_broker import KafkaBroker

        self.broker = KafkaBroker()

    def settings(self) -> dict[str, Any]:
        return {"servers": [self.broker.address]}

    def secretive_settings(self) -> dict[str, Any]:
        return self.settings() | {"sasl": "plain", "username": "me", "password": SECRET}

    def received(self) -> list[str]:
        return [from_json(value).key for _, value, _ in self.broker.records("fusewatch-events")]

    def go_down(self) -> None:
        self.broker.go_down()

    def come_back(self) -> None:
        self.broker.come_back()

    def close(self) -> None:
        self.broker.stop()


class ZmqPubRig(Rig):
    kind = "zmq_pub"
    can_go_down = confirms = False

    def settings(self) -> dict[str, Any]:
        return {"listen": f"ipc://{self.folder / 'events.sock'}"}


def told_as_text(text: str) -> dict[str, Any]:
    """What a digest for people says, in the shape of one for programs."""
    count = len([line for line in text.splitlines() if "a sound without its cause" in line])
    events = (life(1), life(5))[:count]
    return {
        "key": text.rpartition("id:")[2].strip(),
        "events": [{"id": one[0].id, "keys": [phase.key for phase in one]} for one in events],
    }


class _Flush:
    """Publishes a mark behind everything that was confirmed before."""

    made = 0

    def __init__(self, port: int) -> None:
        import paho.mqtt.client as paho

        type(self).made += 1
        self.topic = f"flush/{self.made}"
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def publish(self) -> None:
        self.client.publish(self.topic, b"", qos=1).wait_for_publish(30)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


_ALL = (
    ConsoleRig,
    JsonlRig,
    SqlRig,
    WebhookRig,
    MqttRig,
    EmailRig,
    AppriseRig,
    KafkaRig,
    ZmqPubRig,
)
RIGS = {rig.kind: rig for rig in _ALL}
CONFIRMS = [kind for kind, rig in RIGS.items() if rig.confirms]
GOES_DOWN = [kind for kind, rig in RIGS.items() if rig.can_go_down]
