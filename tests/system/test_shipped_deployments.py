"""Every deployment that is shipped is recorded, learnt and run as it stands, on stand-in devices.

``home.yaml`` has a test of its own (`test_home`), and ``demo.yaml`` is run by the demo that
`test_docs_commands` types.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from nodes.commission import commission_scene
from nodes.free_ports import free_ports
from nodes.places import fusion_store
from pipeline.config import load_deployment
from pipeline.core.errors import RecordingError
from pipeline.models.settings import DetectorSettings
from pipeline.recording.reader import Recording
from tests.command_line import fusewatch
from tests.imported_site import made_site
from tests.requirements import require_module
from tests.system.home_site import Watched
from tests.system.mosquitto import Mosquitto
from tests.system.pulse import SoundServer
from tests.system.rtsp import RtspServer, write_flash_and_beep
from tests.system.stand_ins import log_file, messages, put_camera, repeated, serial_line
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
TESTED_HERE = {"machine-room", "many-sites", "imported"}
RECORDED_S, LEARNT_S = 3, 42  # what is recorded happens again and again in what is learnt
SECOND_NS = 1_000_000_000
QUICK = DetectorSettings(evidence=(), drift_hours=0)
END_S = 90.0
WINDOWS, DELIVERED = "fusewatch_windows_total", "fusewatch_delivered_total"


def test_every_shipped_deployment_is_run_somewhere() -> None:
    assert {file.stem for file in CONFIGS.glob("*.yaml")} == TESTED_HERE | {"home", "demo"}


class Site:
    """A shipped deployment with what a user exports for it, in processes of its own."""

    def __init__(self, name: str, folder: Path, variables: Mapping[str, str]) -> None:
        self.config = CONFIGS / f"{name}.yaml"
        self.folder = folder
        self.variables = dict(variables)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def start(self, name: str, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        """Start ``fusewatch ARGUMENTS``; what it says goes to a file of this name."""
        places = os.pathsep.join((str(self.folder / "cameras"), str(ROOT)))
        with (self.folder / f"{name}.txt").open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "nodes.cli", *arguments],
                cwd=self.folder,
                env={**os.environ, **self.variables, **more, "PYTHONPATH": places},
                stdout=out,
                stderr=out,
            )
        self.processes[name] = process
        return process

    def stop(self) -> None:
        """Ask each process to end, as they were started last to first; all end with 0."""
        for name, process in reversed(self.processes.items()):
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_S) == 0, f"{name}: {self.said()}"

    def learn(self) -> None:
        """Record a few seconds by the command, and learn each scene from them, repeated."""
        deployment = load_deployment(self.config, environ=self.variables)
        target = self.folder / "few.mcap"
        record = self.start("record", "record", str(self.config), "--direct", "-o", str(target))
        sources = [source for node in deployment.nodes.values() for source in node.sources]
        streams = {stream for source in sources for stream in source.stream_names()}
        try:
            wait_until(lambda: streams <= long_enough(target), END_S)
        except AssertionError as error:
            raise AssertionError(self.said()) from error
        record.send_signal(signal.SIGINT)
        assert record.wait(END_S) == 0, self.said()
        del self.processes["record"]
        normal = repeated([target], self.folder / "normal.mcap", LEARNT_S)
        for name, scene in deployment.scenes.items():
            assert scene.model is not None
            scene.model.parent.mkdir(parents=True, exist_ok=True)
            commission_scene(deployment, name, [normal], scene.model, settings=QUICK)

    def said(self) -> str:
        return "\n".join(f"{f.name}: {f.read_text()}" for f in sorted(self.folder.glob("*.txt")))

    def wait_scored(self, data: Path, scenes: Sequence[str]) -> None:
        """Wait until the fusion node has scored windows of each scene."""
        watched = Watched(data)
        for scene in scenes:
            try:
                watched.wait_total(4, "fusion", WINDOWS, scene=scene)
            except AssertionError as error:
                raise AssertionError(self.said()) from error

    def wait_heard(self, data: Path, node: str, streams: Sequence[str]) -> None:
        """Wait until samples of each stream of a capture node were committed."""
        watched = Watched(data)
        for stream in streams:
            watched.wait_total(2, f"capture-{node}", DELIVERED, stream=stream)
            assert watched.total(f"capture-{node}", "fusewatch_unexplained", stream=stream) == 0


def long_enough(recording: Path) -> set[str]:
    """Streams of which a recording that is being made has enough by now."""
    try:
        with Recording(recording) as made:
            spans = {name: total.end_ns - total.start_ns for name, total in made.totals.items()}
    except RecordingError:  # nothing is in it yet
        return set()
    return {name for name, span_ns in spans.items() if span_ns > RECORDED_S * SECOND_NS}


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A broker with meters, a sound server, an RTSP camera: variables that name them."""
    for module in ("av", "sounddevice", "paho", "serial", "torch"):
        require_module(module)
    folder = tmp_path_factory.mktemp("devices")
    clip = write_flash_and_beep(folder / "clip.mkv", 120)
    noise = (np.random.default_rng(1).normal(0, 900, 120 * 16_000)).astype(np.int16)
    with (
        RtspServer(clip) as camera,
        Mosquitto(folder / "broker") as broker,
        SoundServer(folder) as sound,
        messages(broker.port, "room/pump/state", pump),
        messages(broker.port, "workshop/main/power", lambda n: {"watts": 900 + n % 7}),
    ):
        sound.play(noise, 16_000)
        yield sound.environment | {"RTSP": camera.url, "BROKER": str(broker.port)}


def ports(prefix: str) -> dict[str, str]:
    fusion, alert = free_ports(2)
    return {f"{prefix}_FUSION_PORT": str(fusion), f"{prefix}_ALERT_PORT": str(alert)}


def pump(number: int) -> object:
    return {
        "motor": {"current": 4.2 + 0.1 * (number % 3), "speed": 1480 + number % 5},
        "pressure": 2.1,
    }


def test_the_machine_room(devices: dict[str, str], tmp_path: Path) -> None:
    put_camera(tmp_path / "cameras")
    shaking = np.random.default_rng(2).normal(0, 0.01, (1000, 3))
    data = tmp_path / "data"
    with (
        serial_line(lambda n: ",".join(f"{x:.3f}" for x in shaking[n % 1000]), 100) as port,
        log_file(tmp_path / "pump.log", lambda n: f"valve {n % 3} opened\n") as log,
    ):
        variables = {
            "ROOM_DATA": str(data),
            "ROOM_SERIAL": port,
            "ROOM_LOG": str(log),
            "ROOM_MQTT_PORT": devices["BROKER"],
            **ports("ROOM"),
        }
        with Site("machine-room", tmp_path, variables) as site:
            site.learn()
            site.start("run", "run", str(site.config))
            site.wait_scored(data, ["pump"])
            streams = ["pump-camera", "pump-vibration", "pump-drive", "controller-log"]
            site.wait_heard(data, "cabinet", streams)
            site.stop()
    assert list((data / "recordings").glob("*.mcap"))


def test_many_sites(devices: dict[str, str], tmp_path: Path) -> None:
    """Every node with data and keys of its own; all links encrypted, as between machines."""
    put_camera(tmp_path / "cameras")
    room = tmp_path / "room"
    variables = {
        **{k: v for k, v in devices.items() if k.isupper() and k not in {"RTSP", "BROKER"}},
        "SITES_FUSION_HOST": "127.0.0.1",
        **ports("SITES"),
        "SITES_DATA": str(room),
        "SITES_KEYS": str(room / "keys"),
        "NORTH_RTSP_URL": devices["RTSP"],
        "SOUTH_RTSP_URL": devices["RTSP"],
        "WORKSHOP_MICROPHONE": "pulse",
        "WORKSHOP_MQTT_HOST": "127.0.0.1",
        "WORKSHOP_MQTT_PORT": devices["BROKER"],
        "WORKSHOP_MQTT_TLS": "false",
    }
    nodes = {
        "north-gate": ("north-camera", "north-sound"),
        "south-gate": ("south-camera", "south-sound"),
        "workshop": ("workshop-camera", "workshop-sound", "workshop-power"),
    }
    make_keys(tmp_path, list(nodes))
    with Site("many-sites", tmp_path, variables) as site:
        site.learn()
        config = str(site.config)
        site.start("alert", "alert", config, **apart(tmp_path / "alert"))
        site.start("fusion", "fusion", config)
        for node in nodes:
            site.start(node, "capture", config, "--node", node, **apart(tmp_path / node))
        for node, streams in nodes.items():
            site.wait_heard(tmp_path / node, node, streams)
        site.wait_scored(room, ["north", "south", "workshop"])
        wait_until(lambda: Watched(tmp_path / "alert").page("alert", "/readyz")[0] == 200)
        site.stop()


def apart(data: Path) -> dict[str, str]:
    return {"SITES_DATA": str(data), "SITES_KEYS": str(data / "keys")}


def make_keys(folder: Path, nodes: Sequence[str]) -> None:
    """Keys of each machine, and the others' enrolled where they are needed."""
    roles = {"room": "fusion", "alert": "alert", **dict.fromkeys(nodes, "capture")}
    for place, role in roles.items():
        name = "fusion" if place == "room" else place
        keys = folder / place / "keys"
        assert fusewatch("keys", "create", name, "--role", role, "--keys", keys) == 0
    public = {p: next((folder / p / "keys").glob("*.public.json")) for p in roles}
    for here, other in [*(("room", p) for p in roles if p != "room"), ("alert", "room")]:
        assert fusewatch("keys", "enrol", public[other], "--keys", folder / here / "keys") == 0
    for node in nodes:
        assert fusewatch("keys", "enrol", public["room"], "--keys", folder / node / "keys") == 0


def test_what_was_imported_is_played_as_if_live(tmp_path: Path) -> None:
    require_module("torch")
    files = made_site(tmp_path)
    whole, part = tmp_path / "site.mcap", tmp_path / "part.mcap"
    made = ["--scene", "site", "--video-size", "128x96", "-o", whole]
    assert fusewatch("import", *made, *files.options) == 0
    assert fusewatch("recording", "cut", whole, "--from", 10, "--to", 18, "-o", part) == 0
    variables = {
        "IMPORTED_DATA": str(tmp_path / "data"),
        "IMPORTED_FILE": str(part),
        "IMPORTED_MODEL": str(tmp_path / "site.model"),
        **ports("IMPORTED"),
    }
    with Site("imported", tmp_path, variables) as site:
        deployment = load_deployment(site.config, environ=variables)
        model = tmp_path / "site.model"
        commission_scene(deployment, "site", [whole], model, to_s=40, settings=QUICK)
        process = site.start("run", "run", str(site.config))
        assert process.wait(END_S) == 0, site.said()  # it ends by itself, with what it plays
        scored = fusion_store(deployment)
        assert scored.checkpoint("site") is not None
        scored.close()
