"""A camera and a microphone that witness the same flashes and beeps, wherever they run.

Both are outside plug-ins. What happens is one file, in the monotonic time that all processes of
this machine share, so it is the truth for nodes whatever their own clocks say. Each device has
a crystal of its own, and a driver that says when each frame or chunk was taken, give or take
the jitter of its stamps: how late the process itself gets to run makes no difference.

The camera exposes all of its period and stamps the end of it, so a frame is as bright as the
light was on during its exposure, and the moment of a flash can be read to a grey level. The
microphone stamps the first sample of a chunk; a beep begins at its loudest.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from pipeline.core.clock import Clock
from pipeline.core.errors import SourceEnded
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.sources.base import SourceContext, SourceSettings
from tests.installed_package import unpack_package

SECOND_NS = 1_000_000_000
FLASH_NS = BEEP_NS = 150_000_000
FRAME_HZ, HEIGHT, WIDTH = 25, 48, 64
DARK, LIT = 40, 200
SOUND_HZ, CHUNK = 16_000, 640
TONE_HZ, LOUDNESS, NOISE = 1_000, 12_000, 20
_KEPT_NOISE = 16

PACKAGE = {
    "fusewatch_witnesses-1.0.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: fusewatch-witnesses\nVersion: 1.0\n"
    ),
    "fusewatch_witnesses-1.0.dist-info/entry_points.txt": (
        "[fusewatch.sources]\n"
        "witness_camera = tests.system.witnesses:CameraSettings\n"
        "witness_microphone = tests.system.witnesses:MicrophoneSettings\n"
    ),
}


def unpack(folder: Path) -> Path:
    """Put the installed form of the plug-ins into `folder`, which belongs on ``PYTHONPATH``."""
    return unpack_package(PACKAGE, folder)


@dataclass(frozen=True, slots=True)
class Script:
    """What happens.

    Attributes:
        moments_ns: Monotonic time of each flash and beep.
        end_ns: When the devices end, likewise.
    """

    moments_ns: tuple[int, ...]
    end_ns: int

    def write(self, path: Path) -> None:
        """Write it for `read`."""
        _write(path, asdict(self))

    @staticmethod
    def read(path: Path) -> Script:
        found = json.loads(path.read_text())
        return Script(tuple(found["moments_ns"]), found["end_ns"])


@dataclass(frozen=True, slots=True)
class Crystal:
    """When a device took what.

    Attributes:
        begun_ns: Monotonic time at which its first frame or chunk began.
        step_ns: True time from one to the next.
    """

    begun_ns: int
    step_ns: float

    def begin_ns(self, number: int) -> int:
        """Monotonic time at which frame or chunk `number` began."""
        return self.begun_ns + round(number * self.step_ns)

    def write(self, path: Path) -> None:
        """Write it for `read`."""
        _write(path, asdict(self))

    @staticmethod
    def read(path: Path) -> Crystal:
        return Crystal(**json.loads(path.read_text()))


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write JSON such that readers see all of it or nothing."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content))
    draft.replace(path)


class WitnessSettings(SourceSettings):
    """What the two have in common."""

    stream: str
    """Name of the stream."""

    script: Path
    """File with what happens; nothing does while it is not there."""

    crystal: Path
    """File to write when the device has begun."""

    slow_ppm: float
    """By how much the device's period is too long, parts per million."""

    jitter_ms: float
    """Stamps are off by up to this, either way."""

    seed: int
    """Of jitter and noise."""

    nominal_ns: ClassVar[int]

    def stream_names(self) -> tuple[str, ...]:
        return (self.stream,)


class Witness(ABC):
    """A device; see the module. Kinds say what a frame or chunk of theirs is."""

    def __init__(self, settings: WitnessSettings, context: SourceContext) -> None:
        self._settings = settings
        self._clock = context.clock
        self._script: Script | None = None
        self._count = 0
        self._random = np.random.default_rng(settings.seed)
        step_ns = settings.nominal_ns * (1 + settings.slow_ppm * 1e-6)
        self.crystal = Crystal(time.monotonic_ns(), step_ns)

    def open(self) -> tuple[StreamInfo, ...]:
        self.crystal.write(self._settings.crystal)
        return (self.info(),)

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """The next frame or chunk, once it is over."""
        begin_ns = self.crystal.begin_ns(self._count)
        end_ns = self.crystal.begin_ns(self._count + 1)
        wait_s = (end_ns - time.monotonic_ns()) / SECOND_NS
        time.sleep(max(0.0, min(wait_s, timeout_s)))
        if wait_s > timeout_s:
            return ()
        if self._script is None and self._settings.script.exists():
            self._script = Script.read(self._settings.script)
        if self._script is not None and begin_ns >= self._script.end_ns:
            raise SourceEnded("the script is over")
        self._count += 1
        moments_ns = self._script.moments_ns if self._script is not None else ()
        return (self.take(begin_ns, end_ns, moments_ns),)

    def close(self) -> None:
        self._script = None

    @abstractmethod
    def info(self) -> StreamInfo:
        """Its stream."""

    @abstractmethod
    def take(self, begin_ns: int, end_ns: int, moments_ns: Sequence[int]) -> Sample:
        """What it saw or heard from one monotonic time to another."""

    def _sample(self, true_ns: int, data: npt.NDArray[Any], encoding: Encoding) -> Sample:
        stamp_ns, unsure_ns = on_clock(true_ns, self._clock)
        stamp_ns += round(self._random.uniform(-1, 1) * self._settings.jitter_ms * 1e6)
        position = (self._count - 1) * len(data) if encoding is Encoding.PCM else 0
        stream = self._settings.stream
        return Sample(stream, 0, stamp_ns, data, encoding, unsure_ns, position=position)


class Camera(Witness):
    """Grey frames as bright as the light was on while they were exposed."""

    def __init__(self, settings: WitnessSettings, context: SourceContext) -> None:
        super().__init__(settings, context)
        self._noise = self._random.normal(0, 2, (_KEPT_NOISE, HEIGHT, WIDTH, 3))

    def info(self) -> StreamInfo:
        shape = (HEIGHT, WIDTH, 3)
        name, rate_hz = self._settings.stream, float(FRAME_HZ)
        return StreamInfo(name, Modality.VIDEO, rate_hz, shape, "uint8", stamp="grab")

    def take(self, begin_ns: int, end_ns: int, moments_ns: Sequence[int]) -> Sample:
        lit_ns = sum(
            max(0, min(end_ns, moment + FLASH_NS) - max(begin_ns, moment)) for moment in moments_ns
        )
        level = DARK + (LIT - DARK) * lit_ns / (end_ns - begin_ns)
        picture = np.rint(self._noise[self._count % _KEPT_NOISE] + level).astype(np.uint8)
        return self._sample(end_ns, picture, Encoding.RAW)


class Microphone(Witness):
    """Faint noise, and a tone from each moment on."""

    def info(self) -> StreamInfo:
        name, rate_hz = self._settings.stream, float(SOUND_HZ)
        return StreamInfo(name, Modality.AUDIO, rate_hz, (1,), "int16", stamp="adc")

    def take(self, begin_ns: int, end_ns: int, moments_ns: Sequence[int]) -> Sample:
        sound = self._random.normal(0, NOISE, CHUNK)
        times_ns = np.linspace(0, end_ns - begin_ns, CHUNK, endpoint=False)
        for moment in moments_ns:
            since_ns = times_ns - (moment - begin_ns)
            on = (since_ns >= 0) & (since_ns < BEEP_NS)
            sound[on] += LOUDNESS * np.cos(2 * np.pi * TONE_HZ / SECOND_NS * since_ns[on])
        return self._sample(begin_ns, np.rint(sound[:, None]).astype(np.int16), Encoding.PCM)


class CameraSettings(WitnessSettings):
    """A camera."""

    type: Literal["witness_camera"] = "witness_camera"
    nominal_ns: ClassVar[int] = SECOND_NS // FRAME_HZ

    def build(self, context: SourceContext) -> Camera:
        return Camera(self, context)


class MicrophoneSettings(WitnessSettings):
    """A microphone."""

    type: Literal["witness_microphone"] = "witness_microphone"
    nominal_ns: ClassVar[int] = CHUNK * SECOND_NS // SOUND_HZ

    def build(self, context: SourceContext) -> Microphone:
        return Microphone(self, context)


def on_clock(true_ns: int, clock: Clock) -> tuple[int, int]:
    """What a clock says at a recent monotonic time, and how sure that is.

    Taken as an age from now, by the tightest of a few brackets.
    """
    brackets = []
    for _ in range(3):
        before_ns = time.monotonic_ns()
        now_ns = clock.now_ns()
        after_ns = time.monotonic_ns()
        age_ns = (before_ns + after_ns) // 2 - true_ns
        brackets.append((after_ns - before_ns, now_ns - age_ns))
    width_ns, stamp_ns = min(brackets)
    return stamp_ns, width_ns // 2 + 1
