"""Evidence on disk: JPEG, MP4 and WAV.

PyAV does the encoding (H.264 and AAC): every browser and phone plays the result. A file is
written under a temporary name and renamed when it is whole, so a name that exists is good.

What an event names must come to be, whatever is killed and when. So pictures, and the material
of clips (`evidence_material`), are written by one thread that `settle` waits for before the
event is committed. Clips take seconds: a second thread makes them from their material, after a
note of what is wanted (`.clip`) was left beside it. Notes that an earlier run left are worked
off at the start; so is one of a clip that was held for full pictures (`full_evidence`).
"""

from __future__ import annotations

import os
import wave
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import av.error
import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import simplejpeg
import structlog

from pipeline.core.errors import BadReading
from pipeline.core.event import Evidence
from pipeline.core.explanation import Box
from pipeline.core.sample import Encoding, Sample
from pipeline.detection.evidence import CLIP, SOUND
from pipeline.detection.evidence_material import QUALITY, Material, read_material, small
from pipeline.detection.full_frames import FULL, fuller

log = structlog.get_logger(__name__)

MILLISECONDS = Fraction(1, 1000)
MILLISECOND_NS = 1_000_000
MATERIAL, NOTE = ".material", ".clip"
_RED = (40, 40, 255)  # blue, green, red


class _Wanted(msgspec.Struct):
    """A clip and a sound to be made; empty: not this one."""

    clip: str
    sound: str
    rate_hz: float


class EvidenceFiles:
    """Writes evidence below `folder`; see `EvidenceWriter` for the contract.

    Attributes:
        failed: Files that could not be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._quick = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evidence")
        self._slow = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clips")
        self._last: Future[None] | None = None
        self._materials: dict[str, Material] = {}
        self._refused: set[str] = set()
        self.failed = 0
        for note in sorted(folder.glob(f"*/{NOTE}")):
            self._submit(self._slow, note.parent.name, partial(self._make, note.parent))

    def snapshot(self, name: str, frame: Sample) -> None:
        """Write one frame as a JPEG."""
        self._picture(name, lambda: jpeg_of(frame))

    def explained(self, name: str, frame: Sample, box: Box) -> None:
        """Write one frame as a JPEG with a box drawn around what is unusual."""
        self._picture(name, lambda: boxed_jpeg(frame, box))

    def keep(self, event_id: str, sample: Sample) -> None:
        """Keep a sample for the clip of an event."""
        self._last = self._submit(self._quick, event_id, lambda: self._keep(event_id, sample))

    def finish(
        self, event_id: str, evidence: Evidence, rate_hz: float, *, hold: bool = False
    ) -> None:
        """Make the clip and the sound of an event from what was kept; held ones wait for `make`."""
        wanted = _Wanted(evidence.clip, evidence.sound, rate_hz)
        self._last = self.quick(event_id, lambda: self._note(event_id, wanted, hold=hold))

    def make(self, event_id: str, why: str) -> None:
        """Make what was held; `why` says why full pictures of it are missing, if any are."""
        folder = self._folder / event_id
        made = partial(self._make, folder, why)
        self.quick(event_id, lambda: self._submit(self._slow, event_id, made))

    def quick(self, event_id: str, work: Callable[[], object]) -> Future[None]:
        """Do something behind what was asked for before, on the thread of pictures."""
        return self._submit(self._quick, event_id, work)

    def settle(self) -> None:
        """Wait until all is on disk but clips and sounds, which will come to be from now on."""
        if self._last is not None:
            wait([self._last])  # one thread: what was asked for before it is done as well
            self._last = None

    def close(self) -> None:
        """Finish what is under way."""
        self._quick.shutdown(wait=True)
        self._slow.shutdown(wait=True)
        for material in self._materials.values():
            material.close()

    def _picture(self, name: str, draw: Callable[[], bytes]) -> None:
        path = self._folder / name
        self._last = self._submit(self._quick, name, lambda: _replace(path, draw()))

    def _keep(self, event_id: str, sample: Sample) -> None:
        if event_id in self._refused:
            return
        try:
            if event_id not in self._materials:
                if self._finished(event_id):
                    self._refused.add(event_id)
                    return
                self._materials[event_id] = Material(self._folder / event_id / MATERIAL)
            self._materials[event_id].add(sample)
        except OSError:
            self._refused.add(event_id)  # its clip ends here, and that is told once
            raise

    def _note(self, event_id: str, wanted: _Wanted, *, hold: bool) -> None:
        self._refused.discard(event_id)
        material = self._materials.pop(event_id, None)
        if material is not None:
            material.close()
        if self._finished(event_id):
            return
        _replace(self._folder / event_id / NOTE, msgspec.json.encode(wanted))
        if not hold:
            self._submit(self._slow, event_id, lambda: self._make(self._folder / event_id))

    def _finished(self, event_id: str) -> bool:
        """Whether an earlier run saw the event's end, and it only comes once more."""
        folder = self._folder / event_id
        return any((folder / name).exists() for name in (NOTE, CLIP, SOUND))

    def _make(self, folder: Path, why: str = "") -> None:
        """Make what a note asks for, and throw material and note away, in this order."""
        if not (folder / NOTE).exists():
            return
        wanted = msgspec.json.decode((folder / NOTE).read_bytes(), type=_Wanted)
        material = folder / MATERIAL
        samples = read_material(material) if material.exists() else []
        sound = [s for s in samples if s.encoding is Encoding.PCM]
        frames = fuller(folder, [s for s in samples if s.encoding is not Encoding.PCM], why)
        if wanted.clip and frames:
            made = partial(write_mp4, frames=frames, sound=sound, rate_hz=wanted.rate_hz)
            self._write(self._folder / wanted.clip, made)
        if wanted.sound and sound:
            made = partial(write_wav, chunks=sound, rate_hz=wanted.rate_hz)
            self._write(self._folder / wanted.sound, made)
        material.unlink(missing_ok=True)
        (folder / FULL).unlink(missing_ok=True)
        (folder / NOTE).unlink()

    def _write(self, path: Path, write: Callable[[Path], object]) -> None:
        draft = path.with_name(f".{path.name}")
        write(draft)
        os.replace(draft, path)

    def _submit(
        self, worker: ThreadPoolExecutor, name: str, work: Callable[[], object]
    ) -> Future[None]:
        future: Future[None] = worker.submit(work)  # type: ignore[arg-type]
        future.add_done_callback(lambda done: self._report(name, done))
        return future

    def _report(self, name: str, done: Future[None]) -> None:
        error = done.exception()
        if error is not None:
            self.failed += 1
            log.error("evidence not written", file=name, error=str(error), every_s=10)


def _replace(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, power cut or not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def jpeg_of(frame: Sample) -> bytes:
    """The frame as JPEG bytes; a JPEG passes through."""
    return bytes(small(frame).data)  # type: ignore[arg-type]


def boxed_jpeg(frame: Sample, box: Box) -> bytes:
    """The frame as JPEG bytes with a box drawn into a copy of it.

    Raises:
        BadReading: The frame is a damaged JPEG.
    """
    pixels = pixels_of(frame).copy()
    height, width = pixels.shape[:2]
    first = round(box.left * (width - 1)), round(box.top * (height - 1))
    last = round(box.right * (width - 1)), round(box.bottom * (height - 1))
    cv2.rectangle(pixels, first, last, _RED, thickness=max(1, round(height / 180)))
    return bytes(simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorspace="BGR"))


def pixels_of(frame: Sample) -> npt.NDArray[np.uint8]:
    """The frame as BGR pixels ``(H, W, 3)``.

    Raises:
        BadReading: The JPEG is damaged.
    """
    if frame.encoding is not Encoding.JPEG:
        return np.ascontiguousarray(frame.data, dtype=np.uint8)
    try:
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(frame.data, colorspace="BGR")
    except ValueError as error:
        raise BadReading(f"damaged JPEG: {error}", where=f"stream {frame.stream}") from error
    return pixels


def write_mp4(path: Path, frames: list[Sample], sound: list[Sample], rate_hz: float) -> None:
    """H.264 with AAC; frames keep their own times, frames of another size are left out.

    A node that comes back sends again what was not acked, and a clock that is found anew may set
    stamps back: of frames and sound of one moment, the first is taken.
    """
    frames = sorted(frames, key=lambda frame: frame.timestamp_ns)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        picture = _add_video(container, frames)
        audio = _add_audio(container, int(rate_hz)) if sound and rate_hz else None
        start_ns, shown_ms = frames[0].timestamp_ns, -1
        for frame in frames:
            at_ms = (frame.timestamp_ns - start_ns) // MILLISECOND_NS
            if at_ms > shown_ms:
                _encode_frame(container, picture, frame, at_ms)
                shown_ms = at_ms
        container.mux(picture.encode(None))
        if audio is not None:
            _encode_sound(container, audio, sound, start_ns, int(rate_hz))


def write_wav(path: Path, chunks: list[Sample], rate_hz: float) -> None:
    """16-bit WAV; chunks of the first chunk's channel count, one after the other."""
    blocks = [c for c in (np.asarray(c.data, dtype=np.int16) for c in chunks) if c.ndim == 2]
    channels = blocks[0].shape[1]
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(int(rate_hz))
        for block in blocks:
            if block.shape[1] == channels:
                out.writeframes(np.ascontiguousarray(block).tobytes())


def _add_video(container: av.container.OutputContainer, frames: list[Sample]) -> av.VideoStream:
    height, width = pixels_of(frames[0]).shape[:2]
    options = {"preset": "veryfast", "crf": "25"}
    picture = container.add_stream("libx264", rate=25, options=options)
    picture.width, picture.height = width - width % 2, height - height % 2
    picture.pix_fmt = "yuv420p"
    picture.codec_context.time_base = MILLISECONDS
    return picture


def _add_audio(container: av.container.OutputContainer, rate_hz: int) -> av.AudioStream:
    return container.add_stream("aac", rate=rate_hz, layout="mono")


def _encode_frame(
    container: av.container.OutputContainer, picture: av.VideoStream, frame: Sample, at_ms: int
) -> None:
    try:
        pixels = pixels_of(frame)[: picture.height, : picture.width]
    except BadReading:
        return
    if pixels.shape[:2] != (picture.height, picture.width):
        return
    image = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="bgr24")
    image.pts = at_ms
    image.time_base = MILLISECONDS
    container.mux(picture.encode(image))


def _encode_sound(
    container: av.container.OutputContainer,
    stream: av.AudioStream,
    chunks: list[Sample],
    start_ns: int,
    rate_hz: int,
) -> None:
    first = chunks[0]
    lead = (first.timestamp_ns - start_ns) * rate_hz // 1_000_000_000
    reached = 0
    for chunk in chunks:
        offset = lead + chunk.position - first.position
        if offset < reached or chunk.epoch != first.epoch:
            continue
        reached = offset + len(chunk.data)
        mono = np.asarray(chunk.data, dtype=np.int16)[:, :1].T
        block = av.AudioFrame.from_ndarray(np.ascontiguousarray(mono), format="s16p", layout="mono")
        block.sample_rate = rate_hz
        block.pts = offset
        block.time_base = Fraction(1, rate_hz)
        container.mux(stream.encode(block))
    container.mux(stream.encode(None))
