"""A microphone or line input of this machine, through PortAudio.

PortAudio calls back with each block and says when its first sample was converted; that time
is put on the node's clock. Samples are counted, and a block the driver reports as lost is
counted in: the position of what follows says how much is missing. The first blocks are held
back, for 1.5 s at most, until the driver's times can be trusted (`sound_blocks`).
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from pipeline.core.clock import Clock
from pipeline.core.errors import SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.sources.base import Source, SourceContext, SourceSettings
from pipeline.sources.sound_blocks import (
    Block,
    BlockClock,
    BlockCounter,
    BlockStatus,
    BlockTimes,
    Stamped,
    adc_time_ns,
)
from pipeline.sources.sound_devices import advice, portaudio

SECOND_NS = 1_000_000_000
QUEUED_BLOCKS = 256
SILENCE_S = 2.0
"""A running stream that calls back no more for this long is gone (or 10 blocks, if longer)."""
FIRST_BLOCK_S = 3.4
"""How long the first block may take: sound servers fill their own buffers first.

With the time that blocks are then held back it is less than the 5 s of a stall.
"""


class MicrophoneSettings(SourceSettings):
    """A sound input of this machine."""

    type: Literal["microphone"] = "microphone"
    """Kind of source."""

    stream: str
    """Name of the stream."""

    device: int | str | None = None
    """Number or name (or part of it) as ``fusewatch doctor`` lists it; none: the default."""

    hz: int = Field(default=16_000, ge=1000, le=192_000)
    """Samples a second."""

    channels: int = Field(default=1, ge=1, le=32)
    """Channels to record."""

    block_ms: float = Field(default=40.0, ge=5.0, le=1000.0)
    """Length of a chunk, milliseconds."""

    isolated: ClassVar[bool] = True
    default_stall_s: ClassVar[float | None] = 5.0

    @field_validator("device")
    @classmethod
    def _device(cls, value: int | str | None) -> int | str | None:
        """Variables give text: an empty one is the default device, digits are its number."""
        if isinstance(value, str):
            return int(value) if value.isdigit() else value or None
        return value

    def stream_names(self) -> tuple[str, ...]:
        """The one stream."""
        return (self.stream,)

    def build(self, context: SourceContext) -> Source:
        """Make the reader."""
        return MicrophoneSource(self, context)


class MicrophoneSource:
    """Reads a sound input; see `MicrophoneSettings`."""

    def __init__(self, settings: MicrophoneSettings, context: SourceContext) -> None:
        self._settings = settings
        self._context = context
        self._clock: Clock = context.clock
        self._stream: Any = None
        self._counter = BlockCounter(settings.hz)
        self._block_clock = BlockClock(settings.hz)
        self._blocks: queue.Queue[Block] = queue.Queue(QUEUED_BLOCKS)
        self._finished = threading.Event()
        self._heard_ns = 0
        self._has_heard = False

    def open(self) -> tuple[StreamInfo, ...]:
        """See `Source`."""
        own = self._settings
        try:
            self._stream = portaudio.InputStream(
                device=own.device,
                samplerate=own.hz,
                channels=own.channels,
                dtype="int16",
                blocksize=int(own.hz * own.block_ms / 1000),
                callback=self._on_block,
                finished_callback=self._finished.set,
            )
            self._stream.start()
        except (portaudio.PortAudioError, ValueError) as error:
            raise SourceUnavailable(
                f"cannot open sound input {self._shown}: {error}", fix=advice()
            ) from error
        self._heard_ns = self._clock.now_ns()
        info = StreamInfo(
            own.stream,
            Modality.AUDIO,
            rate_hz=float(own.hz),
            shape=(own.channels,),
            dtype="int16",
            stamp="adc",
        )
        return (info,)

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """See `Source`."""
        blocks = self._take_blocks(timeout_s)
        if blocks:
            return self._samples(s for b in blocks for s in self._block_clock.take(b))
        fault = self._fault()
        held = self._samples(self._block_clock.release()) if fault else []
        if fault and not held:
            raise SourceUnavailable(fault)
        return held

    def close(self) -> None:
        """See `Source`."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)

    @property
    def _shown(self) -> str:
        return "(the default)" if self._settings.device is None else repr(self._settings.device)

    def _on_block(
        self, data: npt.NDArray[np.int16], frames: int, times: BlockTimes, status: BlockStatus
    ) -> None:
        """Called by PortAudio's thread; `data` is its buffer and is used again."""
        now_ns = self._clock.now_ns()
        self._heard_ns, self._has_heard = now_ns, True
        adc_ns = adc_time_ns(times, frames, self._settings.hz, now_ns)
        overflow = status.input_overflow
        block = self._counter.block(adc_ns, now_ns, data.copy(), overflow=overflow)
        if block.lost != 0:
            lost = "some" if block.lost is None else block.lost
            self._overrun(f"{lost} samples were lost by the driver")
        self._queue(block)

    def _queue(self, block: Block) -> None:
        while True:
            try:
                return self._blocks.put_nowait(block)
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._blocks.get_nowait()
                    self._overrun("blocks came faster than they were taken")

    def _overrun(self, detail: str) -> None:
        self._context.reject(self._settings.stream, DropReason.READER_OVERRUN, detail)

    def _take_blocks(self, timeout_s: float) -> list[Block]:
        """The blocks that came since the last call; none when none came in time."""
        try:
            blocks = [self._blocks.get(timeout=timeout_s)]
        except queue.Empty:
            return []
        while not self._blocks.empty():
            blocks.append(self._blocks.get_nowait())
        return blocks

    def _fault(self) -> str:
        """Why the device is gone: the stream ended by itself, or calls back no more."""
        if self._finished.is_set():
            return f"sound input {self._shown} was unplugged or stopped"
        silent_s = (self._clock.now_ns() - self._heard_ns) / SECOND_NS
        usual_s = SILENCE_S if self._has_heard else FIRST_BLOCK_S
        if silent_s > max(usual_s, self._settings.block_ms / 100):
            return f"sound input {self._shown} gave nothing for {silent_s:.1f} s"
        return ""

    def _samples(self, stamped: Iterable[Stamped]) -> list[Sample]:
        name = self._settings.stream
        return [
            Sample(
                name,
                0,
                each.timestamp_ns,
                each.block.pcm,
                Encoding.PCM,
                each.uncertainty_ns,
                0,
                each.block.position,
            )
            for each in stamped
        ]


PLUGIN = MicrophoneSettings
