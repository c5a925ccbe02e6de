"""A sound that tells the time: every sample says its number, so a block shows when it was made.

`TimeCodeSource` speaks it into a pipe that a sound server takes for a microphone.
"""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from pipeline.core.clock import Clock
from tests.system.pulse import SoundServer

RATE_HZ = 16_000
CHUNK = 80
STEP = 32
SECOND_NS = 1_000_000_000


def time_code(first: int, count: int) -> npt.NDArray[np.int16]:
    """`count` samples ``(N,)`` from number `first`; they tell numbers below 1,048,576 (65 s)."""
    return ((first + np.arange(count)) // STEP).astype(np.int16)


def told_number(value: float) -> float:
    """The number that a sample tells, to within half a step."""
    return (value + 0.5) * STEP


class TimeCodeSource:
    """Speaks from when it is entered; sample `n` is made at ``begun_ns`` plus `n` periods.

    Args:
        server: The running server; its recordings are of this source from then on.
        fifo: Where to put the pipe.
        clock: Time of the test.
    """

    def __init__(self, server: SoundServer, fifo: Path, clock: Clock) -> None:
        wanted = [f"file={fifo}", "source_name=pipe", "format=s16le", "channels=1"]
        command = ["pactl", "load-module", "module-pipe-source", *wanted, f"rate={RATE_HZ}"]
        env = {**os.environ, **server.environment}
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
        self._pipe = os.open(fifo, os.O_WRONLY)
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self.begun_ns = 0
        self.latest_ns = 0  # how late the latest chunk was said

    def __enter__(self) -> TimeCodeSource:
        self.begun_ns = self._clock.now_ns()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        os.close(self._pipe)

    def made_ns(self, value: float) -> float:
        """When a sample of this value was made."""
        return self.begun_ns + told_number(value) * SECOND_NS / RATE_HZ

    def _speak(self) -> None:
        """Write each chunk once its last sample is due; one that is late is followed at once."""
        said = 0
        while not self._stopping.wait(self._wait_s(said + CHUNK)):
            os.write(self._pipe, time_code(said, CHUNK).tobytes())
            said += CHUNK
            late_ns = self._clock.now_ns() - self.begun_ns - said * SECOND_NS // RATE_HZ
            self.latest_ns = max(self.latest_ns, late_ns)

    def _wait_s(self, number: int) -> float:
        due_ns = self.begun_ns + number * SECOND_NS // RATE_HZ
        return max(0.0, (due_ns - self._clock.now_ns()) / SECOND_NS)
