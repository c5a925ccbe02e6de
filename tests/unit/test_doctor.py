"""What the doctor says about machines of all kinds."""

from __future__ import annotations

import json
import re
import socket

import typer
from typer.testing import CliRunner

from nodes import doctor
from nodes.commands.doctor import register
from nodes.doctor import Level
from pipeline.core import extras
from pipeline.core.errors import DependencyMissing
from pipeline.sources.video_devices import VideoDevice


def by_name(findings):
    return {finding.about: finding for finding in findings}


def test_a_camera_that_may_not_be_opened_is_a_problem_with_its_cure(monkeypatch):
    devices = [VideoDevice("/dev/video0", "C270", True), VideoDevice("/dev/video2", "C920", False)]
    monkeypatch.setattr(doctor, "list_cameras", lambda: devices)
    found = by_name(doctor.cameras())
    assert found["camera /dev/video0"].level is Level.OK
    assert found["camera /dev/video2"].level is Level.PROBLEM
    assert "usermod" in found["camera /dev/video2"].fix


def test_no_camera_is_worth_a_note_only(monkeypatch):
    monkeypatch.setattr(doctor, "list_cameras", list)
    (finding,) = doctor.cameras()
    assert finding.level is Level.NOTE
    assert finding.fix


def test_a_port_in_use_is_noticed():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = doctor.port_finding("fusion", f"tcp://127.0.0.1:{port}")
        assert (found.level, found.text) == (Level.NOTE, "in use")
    assert doctor.port_finding("fusion", f"tcp://127.0.0.1:{port}").level is Level.OK
    elsewhere = doctor.port_finding("fusion", "tcp://192.0.2.1:7710")
    assert "not this machine" in elsewhere.text


def test_a_missing_package_of_an_extra_is_named_with_how_to_install_it(monkeypatch):
    monkeypatch.setattr(extras, "is_installed", lambda name: name != "paho-mqtt")
    found = by_name(doctor.extras())
    assert found["extra mqtt"].text == "lacks paho-mqtt"
    assert re.fullmatch(r"\S*pip install 'paho-mqtt>=[\d.]+'", found["extra mqtt"].fix)
    assert found["extra serial"].level is Level.OK
    assert "extra dev" not in found


def test_kinds_that_lack_something_stand_in_brackets(monkeypatch):
    class Kinds:
        name = "sources"

        def kinds(self):
            return ("camera", "lsl")

        def settings(self, kind):
            if kind == "lsl":
                raise DependencyMissing("needs pylsl")

    assert doctor._usable(Kinds()) == ["camera", "(lsl)"]


def test_decoders_of_ip_cameras_are_there():
    found = by_name(doctor.codecs())
    assert {"h264", "hevc", "mjpeg", "pcm_alaw"} <= set(found["decoders"].text.split(", "))


def test_the_command_prints_a_table_or_json():
    app, runner = typer.Typer(), CliRunner()
    register(app)
    assert "Python" in runner.invoke(app).output
    findings = json.loads(runner.invoke(app, ["--json"]).output)
    assert {"about", "level", "text", "fix"} == set(findings[0])
