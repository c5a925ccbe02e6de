"""A home with a real camera server, broker, sound server and webhook, and the command line in it.

Everything is on ports and in folders of its own, and reaches `configs/home.yaml` through the
variables that its header names, as a user's would.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from nodes.run_files import RunFile, read_run_files
from tests.http_receiver import HttpReceiver
from tests.requirements import SHARED_DATA, require_command
from tests.system.mosquitto import Mosquitto
from tests.system.ports import free_port
from tests.system.pulse import SoundServer
from tests.system.rtsp import RtspServer, transcode
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
TOPIC = "home/hall/climate"
USER, PASSWORD = "hallway", "brok3r-pw-s3cret"
WEBHOOK_SECRET = "h00k-s3cret-0123456789"
RTSP_PASSWORD = "geheim"
SECRETS = (PASSWORD, WEBHOOK_SECRET, RTSP_PASSWORD)

ORDINARY_S = 5.3  # no multiple of the hop: windows cut it everywhere, as they would live
SERVED_S = 240
SOUND_HZ = 16_000
CLIMATE_EVERY_S = 0.47


class Home:
    """The house and what is in it; one at a time per folder."""

    def __init__(self, folder: Path) -> None:
        require_command("ffmpeg")
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        (folder / "sound").mkdir()
        self.camera = RtspServer(footage(folder))
        self.broker = Mosquitto(folder / "broker", users={USER: PASSWORD})
        self.sound = SoundServer(folder / "sound")
        self.hook = HttpReceiver()
        self.climate: Climate | None = None
        self._ambience = ambience(folder)
        self._ports = {"HOME_FUSION_PORT": free_port(), "HOME_ALERT_PORT": free_port()}
        self._said: list[Path] = []

    def __enter__(self) -> Home:
        self.camera.start()
        self.broker.start()
        self.hook.start()
        self.sound.start()
        self.play_ambience()
        self.climate = Climate(self.broker.port)
        return self

    def __exit__(self, *_: object) -> None:
        if self.climate is not None:
            self.climate.close()
        self.sound.__exit__(None, None, None)
        self.hook.stop()
        self.broker.kill()
        self.camera.kill()

    @property
    def config(self) -> Path:
        return ROOT / "configs" / "home.yaml"

    @property
    def variables(self) -> dict[str, str]:
        """What a user exports."""
        return {
            "HOME_RTSP_URL": self.camera.url,
            "HOME_MICROPHONE": "pulse",
            "HOME_MQTT_HOST": self.broker.host,
            "HOME_MQTT_PORT": str(self.broker.port),
            "HOME_MQTT_USER": USER,
            "HOME_MQTT_PASSWORD": PASSWORD,
            "HOME_WEBHOOK_URL": self.hook.url,
            "HOME_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "HOME_DATA": str(self.data),
            "HOME_BUDGET": "6/hour",  # as one would choose after so little of normal
            **{name: str(port) for name, port in self._ports.items()},
        }

    @property
    def said(self) -> Iterator[tuple[Path, str]]:
        """Everything that commands wrote, by file."""
        for path in self._said:
            yield path, path.read_text()

    def play_ambience(self) -> None:
        """Play the ordinary sound of the hall, for longer than any test lasts."""
        self.sound.play_file(self._ambience)

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start ``fusewatch ARGUMENTS`` with the variables set."""
        path = self.folder / f"said-{len(self._said)}-{arguments[0]}.txt"
        self._said.append(path)
        with path.open("wb") as out:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "nodes.cli", *map(str, arguments)],
                cwd=self.folder,
                env=self._environment(),
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def type(self, *arguments: str | Path, deadline_s: float = 120.0) -> str:
        """Type ``fusewatch ARGUMENTS`` and wait; what it wrote.

        Raises:
            AssertionError: It did not end with 0.
        """
        process = self.start(*arguments)
        try:
            code = process.wait(deadline_s)
        finally:
            process.kill()
        text = self._said[-1].read_text()
        if code:
            raise AssertionError(f"fusewatch {arguments[0]} ended with {code}:\n{text}")
        return text

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("HOME_")}
        here = {"PYTHONPATH": str(ROOT), "COLUMNS": "120"}
        return {**inherited, **self.sound.environment, **self.variables, **here}


class Climate:
    """Publishes readings every half second, through restarts of the broker."""

    def __init__(self, port: int) -> None:
        self.lift = 0.0
        self._rows = climate_rows()
        self._closing = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="climate")
        self._client.username_pw_set(USER, PASSWORD)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        while not self._closing.wait(CLIMATE_EVERY_S):
            temperature, humidity = next(self._rows)
            reading = {"temperature": temperature + self.lift, "humidity": humidity}
            self._client.publish(TOPIC, json.dumps(reading))


def climate_rows() -> Iterator[tuple[float, float]]:
    """Temperature and humidity of a room without end: recorded ones, or made up alike.

    A few readings in random order: a room that goes on drifting after a minute was learnt would
    rightly be told, and in a fixed order they would keep step with the footage while it is
    learnt and fall out of step later, which would be told as well.
    """
    path = SHARED_DATA / "room_climate/datasets-location_A"
    path /= "room_climate-location_A-measurement02.csv"
    rows = [(21 + 0.2 * math.sin(n), 42 + 0.5 * math.sin(n / 2)) for n in range(10)]
    if path.exists():
        table = np.loadtxt(path, delimiter=",", max_rows=4000)
        first_node = table[table[:, 3] == table[0, 3]]
        rows = [(float(row[4]), float(row[5])) for row in first_node[: len(rows)]]
    order = random.Random(1)
    while True:
        yield order.choice(rows)


def footage(folder: Path) -> Path:
    """Minutes of video with a sound track: people on a square, or a test card that moves."""
    short, long = folder / "short.mkv", folder / "footage.mkv"
    video = SHARED_DATA / "video_vtest/vtest.avi"
    sound = SHARED_DATA / "ambience_blanket/city.ogg"
    if not (video.exists() and sound.exists()):
        video, sound = folder / "made.mkv", folder / "made.wav"
        length = ["-t", str(ORDINARY_S)]
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=768x576:rate=10", *length, str(video))
        ffmpeg("-f", "lavfi", "-i", "sine=frequency=200", *length, str(sound))
    transcode(video, sound, short, ORDINARY_S)
    ffmpeg(*looped(short), str(long))
    return long


def ambience(folder: Path) -> Path:
    """Minutes of ordinary sound as a file for `SoundServer.play_file`: rain, or noise."""
    sound = folder / "ambience.wav"
    rain = SHARED_DATA / "ambience_blanket/rain.ogg"
    noise = ["-f", "lavfi", "-i", "anoisesrc=color=pink:amplitude=0.1:seed=1"]
    source = ["-stream_loop", "-1", "-i", str(rain)] if rain.exists() else noise
    ffmpeg(*source, "-t", str(SERVED_S), "-ar", str(SOUND_HZ), "-ac", "1", str(sound))
    return sound


def looped(short: Path) -> list[str]:
    """The same again and again: what is learnt in a minute must be all there is to see."""
    return ["-stream_loop", "-1", "-i", str(short), "-t", str(SERVED_S), "-c", "copy"]


def alarm_tone(seconds: float) -> np.ndarray:
    """A loud two-tone siren, int16 ``(N,)`` at `SOUND_HZ`."""
    t = np.arange(int(seconds * SOUND_HZ)) / SOUND_HZ
    pitch = np.where((t * 2).astype(int) % 2, 650.0, 950.0)
    return (np.sin(2 * np.pi * np.cumsum(pitch) / SOUND_HZ) * 28_000).astype(np.int16)


def ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True)


class Watched:
    """Processes of a running deployment, seen through their health servers.

    Args:
        data: The deployment's data folder.
    """

    def __init__(self, data: Path) -> None:
        self._data = data

    def files(self) -> dict[str, RunFile]:
        return {found.name: found for found in read_run_files(self._data)}

    def page(self, name: str, page: str) -> tuple[int, str]:
        """Status and text of ``/livez``, ``/readyz`` or ``/metrics``; 0 when it is not up."""
        found = self.files().get(name)
        if found is None:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{found.http}{page}", timeout=10) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()
        except OSError:
            return 0, ""

    def total(self, name: str, metric: str, **labels: str) -> float:
        """Sum over a metric's samples that have these labels; 0 while there are none."""
        status, text = self.page(name, "/metrics")
        found = _samples(text) if status == 200 else ()
        return sum(
            value
            for sample, own, value in found
            if sample == metric and labels.items() <= own.items()
        )

    def wait_total(self, least: float, name: str, metric: str, **labels: str) -> float:
        """Wait until `total` is at least so much."""
        wait_until(lambda: self.total(name, metric, **labels) >= least, 60.0)
        return self.total(name, metric, **labels)


def _samples(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, float(sample.value)
