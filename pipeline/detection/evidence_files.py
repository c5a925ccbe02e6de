"""Evidence on disk.

A file is written under a temporary name and renamed when it is whole, so a name that exists is
good.

What an event names must come to be, whatever is killed and when. So pictures, and the material
of clips (`evidence_material`), are written by one thread that `settle` waits for before the
event is committed. Clips take seconds: a second thread makes them from their material, after a
note of what is wanted (`.clip`) was left beside it. Notes that an earlier run left are worked
off at the start, so a node that is stopped may leave clips that would keep it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import msgspec
import structlog

from pipeline.core.event import Evidence
from pipeline.core.explanation import Box
from pipeline.core.sample import Encoding, Sample
from pipeline.detection.evidence import CLIP, SOUND
from pipeline.detection.evidence_encoding import boxed_jpeg, jpeg_of, write_mp4, write_wav
from pipeline.detection.evidence_material import Material, read_material

log = structlog.get_logger(__name__)

MATERIAL, NOTE = ".material", ".clip"


class _Wanted(msgspec.Struct):
    """A clip and a sound to be made; empty: not this one."""

    clip: str
    sound: str
    rate_hz: float


class _LeftForLater(Exception):
    """A clip was given up half made; its note is still there."""


class EvidenceFiles:
    """Writes evidence below `folder`; see `EvidenceWriter` for the contract.

    Args:
        folder: Where events have a folder each.
        patience_s: Longest wait for clips when closing; None: all are made.

    Attributes:
        failed: Files that could not be written.
    """

    def __init__(self, folder: Path, *, patience_s: float | None = None) -> None:
        self._folder = folder
        self._patience_s = patience_s
        self._closing = threading.Event()
        self._quick = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evidence")
        self._slow = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clips")
        self._last: Future[None] | None = None
        self._last_made: Future[None] | None = None
        self._materials: dict[str, Material] = {}
        self._refused: set[str] = set()
        self.failed = 0
        for note in sorted(folder.glob(f"*/{NOTE}")):
            self._ask_for(note.parent)

    def snapshot(self, name: str, frame: Sample) -> None:
        """Write one frame as a JPEG."""
        self._picture(name, lambda: jpeg_of(frame))

    def explained(self, name: str, frame: Sample, box: Box) -> None:
        """Write one frame as a JPEG with a box drawn around what is unusual."""
        self._picture(name, lambda: boxed_jpeg(frame, box))

    def keep(self, event_id: str, sample: Sample) -> None:
        """Keep a sample for the clip of an event."""
        self._last = self._submit(self._quick, event_id, lambda: self._keep(event_id, sample))

    def finish(self, event_id: str, evidence: Evidence, rate_hz: float) -> None:
        """Make the clip and the sound of an event from what was kept."""
        wanted = _Wanted(evidence.clip, evidence.sound, rate_hz)
        self._last = self._submit(self._quick, event_id, lambda: self._note(event_id, wanted))

    def settle(self) -> None:
        """Wait until all is on disk but clips and sounds, which will come to be from now on."""
        if self._last is not None:
            wait([self._last])  # one thread: what was asked for before it is done as well
            self._last = None

    def close(self) -> None:
        """Finish what is under way; clips that take too long are left to the next start."""
        self._quick.shutdown(wait=True)
        if self._last_made is not None:
            wait([self._last_made], self._patience_s)
        self._closing.set()
        self._slow.shutdown(wait=True, cancel_futures=True)
        left = sum(1 for _ in self._folder.glob(f"*/{NOTE}"))
        if left:
            log.info("clips are left to the next start", events=left)
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

    def _note(self, event_id: str, wanted: _Wanted) -> None:
        self._refused.discard(event_id)
        material = self._materials.pop(event_id, None)
        if material is not None:
            material.close()
        if self._finished(event_id):
            return
        _replace(self._folder / event_id / NOTE, msgspec.json.encode(wanted))
        self._ask_for(self._folder / event_id)

    def _finished(self, event_id: str) -> bool:
        """Whether an earlier run saw the event's end, and it only comes once more."""
        folder = self._folder / event_id
        return any((folder / name).exists() for name in (NOTE, CLIP, SOUND))

    def _ask_for(self, folder: Path) -> None:
        work = partial(self._make, folder)
        self._last_made = self._submit(self._slow, folder.name, work)

    def _go_on(self) -> None:
        if self._closing.is_set():
            raise _LeftForLater

    def _make(self, folder: Path) -> None:
        """Make what a note asks for, and throw material and note away, in this order."""
        wanted = msgspec.json.decode((folder / NOTE).read_bytes(), type=_Wanted)
        material = folder / MATERIAL
        samples = read_material(material) if material.exists() else []
        sound = [s for s in samples if s.encoding is Encoding.PCM]
        frames = [s for s in samples if s.encoding is not Encoding.PCM]
        if wanted.clip and frames:
            rate_hz, go_on = wanted.rate_hz, self._go_on
            made = partial(write_mp4, frames=frames, sound=sound, rate_hz=rate_hz, go_on=go_on)
            self._write(self._folder / wanted.clip, made)
        if wanted.sound and sound:
            made = partial(write_wav, chunks=sound, rate_hz=wanted.rate_hz)
            self._write(self._folder / wanted.sound, made)
        material.unlink(missing_ok=True)
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
        error = None if done.cancelled() else done.exception()
        if error is not None and not isinstance(error, _LeftForLater):
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
