"""A real sound server with a null sink whose monitor is the microphone."""

from __future__ import annotations

import os
import socket
import subprocess
import wave
from pathlib import Path
from types import TracebackType

import numpy as np

from tests.requirements import require_command, require_module
from tests.waiting import wait_until

SINK = "mic"
ASOUNDRC = "pcm.pulse { type pulse }\nctl.pulse { type pulse }\n"


class SoundServer:
    """One PulseAudio; what is played is what the device ``pulse`` records."""

    def __init__(self, folder: Path) -> None:
        require_command("pulseaudio", "paplay", "pactl")
        require_module("sounddevice")
        self._folder = folder
        self._socket = folder / "native"
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        (folder / ".asoundrc").write_text(ASOUNDRC)
        self.environment = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(runtime),
            "PULSE_SERVER": f"unix:{self._socket}",
            "PULSE_SOURCE": f"{SINK}.monitor",
            "PULSE_SINK": SINK,
        }
        self._server: subprocess.Popen[bytes] | None = None
        self._players: list[subprocess.Popen[bytes]] = []

    def start(self) -> SoundServer:
        self._socket.unlink(missing_ok=True)
        with (self._folder / "pulseaudio.log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    *("pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no"),
                    "--exit-idle-time=-1",
                    f"--load=module-null-sink sink_name={SINK}",
                    f"--load=module-native-protocol-unix socket={self._socket} auth-anonymous=1",
                ],
                env=self._env(),
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers)
        return self

    def play(self, samples: np.ndarray, rate_hz: int) -> None:
        """Play int16 ``(N,)`` samples in the background."""
        path = self._folder / f"play{len(self._players)}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes(samples.astype("<i2").tobytes())
        self.play_file(path)

    def play_file(self, path: Path) -> None:
        """Play a sound file in the background."""
        self._players.append(
            subprocess.Popen(["paplay", str(path)], env=self._env(), stderr=subprocess.DEVNULL)
        )

    def kill(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def __enter__(self) -> SoundServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        for player in self._players:
            player.kill()
            player.wait()

    def _env(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
            except OSError:
                return False
        found = subprocess.run(
            ["pactl", "list", "short", "sources"], env=self._env(), capture_output=True, check=False
        )
        return f"{SINK}.monitor".encode() in found.stdout
