"""A real RTSP server on a port that stays the same over restarts, and clips for it."""

from __future__ import annotations

import os
import signal
import subprocess
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from tests.requirements import missing, require_command
from tests.system.ports import free_port

PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("rtsp_server.py")
RATE_HZ = 8000
BEEP_HZ = 1000.0


class RtspServer:
    """Serves one clip at ``url``; each client gets it from its beginning, in real time."""

    def __init__(self, clip: Path) -> None:
        require_gstreamer()
        self.clip = clip
        self.port = free_port()
        self.url = f"rtsp://user:geheim@127.0.0.1:{self.port}/live"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> RtspServer:
        self._process = subprocess.Popen(
            [PYTHON, str(SCRIPT), str(self.port), str(self.clip)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self._process.stdout.readline()
        if line.strip() != "ready":
            raise RuntimeError(f"the RTSP server did not start: {line!r}")
        return self

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """Let it keep its connections and say nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def __enter__(self) -> RtspServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def require_gstreamer() -> None:
    check = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        found = subprocess.run([PYTHON, "-c", check], capture_output=True, check=False)
    except FileNotFoundError:
        missing("the system's Python is not installed")
    if found.returncode:
        missing("gir1.2-gst-rtsp-server-1.0 and python3-gi are not installed")


def write_flash_and_beep(path: Path, seconds: int, fps: int = 10) -> Path:
    """A clip whose picture flashes and whose sound beeps for the first 0.2 s of each second."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        video.gop_size = fps
        audio = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for number in range(seconds * fps):
            shade = 235 if number % fps < fps // 5 else 20
            image = np.full((240, 320, 3), shade, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(video.encode(frame))
            container.mux(audio.encode(_sound(number, RATE_HZ // fps, fps)))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def _sound(number: int, count: int, fps: int) -> av.AudioFrame:
    t = (number * count + np.arange(count)) / RATE_HZ
    loud = number % fps < fps // 5
    wave = np.sin(2 * np.pi * BEEP_HZ * t) * (16_000 if loud else 0)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, number * count, Fraction(1, RATE_HZ)
    return frame


def transcode(video: Path, sound: Path, target: Path, seconds: float) -> Path:
    """Footage and a sound track as one clip the server can serve."""
    require_command("ffmpeg")
    command = ["ffmpeg", "-v", "error", "-y", "-t", str(seconds), "-i", str(video)]
    command += ["-t", str(seconds), "-i", str(sound), "-map", "0:v:0", "-map", "1:a:0"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10"]
    command += ["-pix_fmt", "yuv420p", "-c:a", "pcm_s16le", "-ar", str(RATE_HZ), "-ac", "1"]
    subprocess.run([*command, str(target)], check=True)
    return target
