"""``fusewatch init`` asks a real camera, a real broker and a person, and writes what it heard."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config import load_deployment
from tests.command_line import fusewatch
from tests.requirements import require_module
from tests.system.mosquitto import Mosquitto
from tests.system.rtsp import RtspServer, write_flash_and_beep

pytestmark = pytest.mark.system
PATIENCE_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


def publish(broker: Mosquitto) -> None:
    """Kept by the broker, so that whoever subscribes has them at once."""
    require_module("paho")
    from paho.mqtt import publish

    messages = [
        {"topic": "house/hall/climate", "payload": '{"temperature": 21.5}', "retain": True},
        {"topic": "house/hall/lamp", "payload": "ON", "retain": True},
        {"topic": "homeassistant/x/config", "payload": '{"min": 1}', "retain": True},
        {"topic": "house/meter/power", "payload": "230.5", "retain": True},
    ]
    auth = {"username": "ada", "password": "geheim2"}
    publish.multiple(messages, hostname=broker.host, port=broker.port, auth=auth)


class Conversation:
    """The command on a terminal, and somebody who answers."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._terminal, theirs = pty.openpty()
        command = [sys.executable, "-m", "nodes.cli", "init", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment
        )
        os.close(theirs)
        self.said = ""

    def answer(self, question: str, answer: str) -> None:
        while question not in self.said.rpartition("\n")[2]:
            heard, _, _ = select.select([self._terminal], [], [], PATIENCE_S)
            assert heard, f"{question!r} is not asked: {self.said}"
            self.said += os.read(self._terminal, 4096).decode()
        self.said += "\n"
        os.write(self._terminal, answer.encode() + b"\n")

    def end(self) -> int:
        try:
            while more := os.read(self._terminal, 4096):
                self.said += more.decode()
        except OSError:  # the other end of a terminal that closes is an error
            pass
        os.close(self._terminal)
        return self._process.wait()


def test_a_person_answers_and_has_a_file_that_checks_green(tmp_path: Path) -> None:
    clip = write_flash_and_beep(tmp_path / "clip.mkv", 20)
    users = {"ada": "geheim2"}
    with RtspServer(clip) as camera, Mosquitto(tmp_path / "broker", users=users) as broker:
        publish(broker)
        talk = Conversation(tmp_path, "--camera", "/dev/video9", "--listen", "1.5")
        talk.answer("Name of the place", "back-door")
        talk.answer("Network camera", camera.url)
        talk.answer("One more", "")
        talk.answer("sound input", "n")
        talk.answer("MQTT broker", f"{broker.host}:{broker.port}")
        talk.answer("Its user", "ada")
        talk.answer("Its password: ", "geheim2")  # the blank comes once it is not echoed
        talk.answer("Use house/hall/climate (temperature)?", "y")
        talk.answer("Use house/meter/power (a number)?", "n")
        talk.answer("Tell Home Assistant", "")  # its topics were heard
        talk.answer("False alarms", "")
        talk.answer("Web address", "")
        assert talk.end() == 0, talk.said
    assert "checks green" in talk.said
    assert ": pictures and sound" in talk.said
    assert "geheim" not in talk.said.replace(camera.url, "")  # which the person typed
    deployment = load_deployment(tmp_path / "site.yaml")
    assert deployment.scenes["back-door"].streams == [
        "back-door-camera",
        "back-door-view",
        "back-door-sound",
        "back-door-hall-climate",
    ]
    told = {sink.type: sink for sink in deployment.alert.sinks}["mqtt"]
    assert told.port == broker.port
    assert told.password.get_secret_value() == "geheim2"


def test_without_a_person_it_takes_what_it_hears(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--yes", "--no-microphone", "--listen", 1.5, "--scene", "hall")
    with Mosquitto(tmp_path / "broker") as broker:
        from paho.mqtt import publish

        publish.single("a/b", "1", retain=True, hostname=broker.host, port=broker.port)
        where = f"{broker.host}:{broker.port}"
        assert fusewatch("init", tmp_path / "site.yaml", *flags, "--broker", where) == 0
    deployment = load_deployment(tmp_path / "site.yaml")
    assert deployment.scenes["hall"].streams == ["hall-a-b"]
    assert [sink.type for sink in deployment.alert.sinks] == ["console", "jsonl"]  # none heard
    other = ("--broker", where, "--camera", "/dev/video0")
    assert fusewatch("init", tmp_path / "late.yaml", *flags, *other) == 0
    assert "it does not answer" in capsys.readouterr().out
