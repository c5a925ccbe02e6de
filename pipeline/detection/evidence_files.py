"""Evidence on disk.

A file is written under a temporary name and renamed when it is whole, so a name that exists is
good; when all of an event are, a manifest says so, see `pipeline.store.evidence_manifest`.

What an event names must come to be, whatever is killed and when. So pictures, and the material
of everything else (`evidence_material`), are written by one thread that `settle` waits for before
the event is committed. Clips and recordings take seconds: a second thread makes them from their
material, after a note of what is wanted (`.clip`) was left beside it. The note goes when the
digest of the manifest is in safe hands (`sealed`, `put_away`); notes that an earlier run left are
worked off by the next (`work_off`), so a node that is stopped may leave clips that would keep it.
A file that cannot be made of its material is told and counted, and the rest is sealed without it:
the next start could not make it either.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import msgspec
import structlog

from pipeline.core.event import Event
from pipeline.core.explanation import Box
from pipeline.core.sample import Sample
from pipeline.core.whole_file import replace_file
from pipeline.detection.evidence_encoding import boxed_jpeg, jpeg_of
from pipeline.detection.evidence_making import EvidenceMaker, Fuller, LeftForLater
from pipeline.detection.evidence_material import Kept, Material
from pipeline.detection.evidence_pictures import pictures_of
from pipeline.detection.evidence_writer import CLIP, SOUND, Wanted
from pipeline.store.evidence_manifest import MANIFEST, digest_of, seal

log = structlog.get_logger(__name__)

MATERIAL, NOTE = ".material", ".clip"
LIMIT_MB = 256.0

_WANTED_DECODER = msgspec.json.Decoder(Wanted)


class EvidenceFiles:
    """Writes evidence below `folder`; see `EvidenceWriter` for the contract.

    Args:
        folder: Where events have a folder each.
        limit_mb: Most that is kept of one event, MiB.
        sealing: Whether somebody takes digests to safe hands; else notes go at once.
        fuller: Has better frames for clips; None: nobody does.
        patience_s: Longest wait for clips when closing; None: all are made.

    Attributes:
        failed: Files that could not be written.
        left_out: Samples that were left out as an event's material was full, by stream.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit_mb: float = LIMIT_MB,
        sealing: bool = False,
        fuller: Fuller | None = None,
        patience_s: float | None = None,
    ) -> None:
        self._folder = folder
        self._limit = round(limit_mb * 2**20)
        self._sealing = sealing
        self._maker = EvidenceMaker(folder, fuller, self._go_on, self._tell_failed)
        self._patience_s = patience_s
        self._closing = threading.Event()
        self._drafting = threading.Lock()
        self._quick = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evidence")
        self._slow = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clips")
        self._last: Future[None] | None = None
        self._last_made: Future[None] | None = None
        self._materials: dict[str, Material] = {}
        self._refused: set[str] = set()
        self._sealed: dict[str, str] = {}
        self.left_out: Counter[str] = Counter()
        self.failed = 0

    def work_off(self, scenes: Collection[str] | None = None) -> None:
        """Make what notes of an earlier run ask for, of all scenes or only of these."""
        for note in sorted(self._folder.glob(f"*/{NOTE}")):
            if scenes is None or wanted_of(note.parent).event.scene in scenes:
                self._ask_for(note.parent)

    def snapshot(self, name: str, frame: Sample) -> None:
        """Write one frame as a JPEG."""
        self._picture(name, lambda: jpeg_of(frame))

    def explained(self, name: str, frame: Sample, box: Box) -> None:
        """Write one frame as a JPEG with a box drawn around what is unusual."""
        self._picture(name, lambda: boxed_jpeg(frame, box))

    def keep(self, event_id: str, kept: Kept) -> None:
        """Keep something for an event."""
        self._last = self.quick(event_id, lambda: self._keep(event_id, kept))

    def draw(self, event: Event, peak_ns: int, shown: Sequence[Kept]) -> None:
        """Draw the sound and the channels that the event names."""
        self._last = self.quick(event.id, partial(self._draw, event, peak_ns, shown))

    def finish(self, wanted: Wanted, *, hold: bool = False) -> None:
        """Make all that an event that is over names; what is held waits for `make`."""
        self._last = self.quick(wanted.event.id, lambda: self._note(wanted, hold=hold))

    def make(self, event_id: str, why: str = "") -> None:
        """Make what was held; `why` says why better frames of it are missing, if any are."""
        self.quick(event_id, lambda: self._ask_for(self._folder / event_id, why))

    def quick(self, event_id: str, work: Callable[[], object]) -> Future[None]:
        """Do something behind what was asked for before, on the thread of pictures."""

        def alone() -> None:
            with self._drafting:
                work()

        return self._submit(self._quick, event_id, alone)

    def settle(self) -> None:
        """Wait until all is on disk but what is made of material, which will come to be now."""
        if self._last is not None:
            wait([self._last])  # one thread: what was asked for before it is done as well
            self._last = None

    def finished(self, timeout_s: float) -> None:
        """Wait until what is under way is made, at most so long."""
        if self._last_made is not None:
            wait([self._last_made], timeout_s)

    def sealed(self) -> dict[str, str]:
        """Digests of manifests that are to be taken to safe hands, by event."""
        return dict(self._sealed)

    def put_away(self, events: Iterable[str]) -> None:
        """The digests of these are in safe hands."""
        for event_id in events:
            del self._sealed[event_id]
            (self._folder / event_id / NOTE).unlink(missing_ok=True)

    def close(self) -> None:
        """Finish what is under way; clips that take too long are left to the next start."""
        self._quick.shutdown(wait=True)
        if self._last_made is not None:
            wait([self._last_made], self._patience_s)
        self._closing.set()
        self._slow.shutdown(wait=True, cancel_futures=True)
        for material in self._materials.values():
            material.close()

    def _picture(self, name: str, draw: Callable[[], bytes]) -> None:
        self._last = self.quick(name, lambda: self._put(name, draw))

    def _put(self, name: str, draw: Callable[[], bytes]) -> None:
        path = self._folder / name
        if not (path.parent / MANIFEST).exists():  # else the event only comes once more
            replace_file(path, draw())

    def _draw(self, event: Event, peak_ns: int, shown: Iterable[Kept]) -> None:
        if self._finished(event.id):
            return
        for name, picture in pictures_of(event, peak_ns, shown).items():
            replace_file(self._folder / name, picture)

    def _keep(self, event_id: str, kept: Kept) -> None:
        if event_id in self._refused:
            return
        try:
            if event_id not in self._materials:
                if self._finished(event_id):
                    self._refused.add(event_id)
                    return
                path = self._folder / event_id / MATERIAL
                self._materials[event_id] = Material(path, self._limit)
            self._materials[event_id].add(kept)
        except OSError:
            self._refused.add(event_id)  # its clip ends here, and that is told once
            raise

    def _note(self, wanted: Wanted, *, hold: bool) -> None:
        event_id = wanted.event.id
        self._refused.discard(event_id)
        material = self._materials.pop(event_id, None)
        if material is not None:
            material.close()
            self._tell_left_out(event_id, material.left_out)
        if self._finished(event_id):
            return
        replace_file(self._folder / event_id / NOTE, msgspec.json.encode(wanted))
        if not hold:
            self._ask_for(self._folder / event_id)

    def _tell_left_out(self, event_id: str, left_out: Counter[str]) -> None:
        self.left_out.update(left_out)
        if left_out:
            log.warning(
                "evidence cut: 'evidence_mb' reached", event_id=event_id, left_out=dict(left_out)
            )

    def _finished(self, event_id: str) -> bool:
        """Whether an earlier run saw the event's end, and it only comes once more."""
        folder = self._folder / event_id
        return any((folder / name).exists() for name in (NOTE, MANIFEST, CLIP, SOUND))

    def _ask_for(self, folder: Path, why: str = "") -> None:
        work = partial(self._make, folder, why)
        self._last_made = self._submit(self._slow, folder.name, work)

    def _make(self, folder: Path, why: str) -> None:
        """Make what a note asks for, seal it, and throw material and note away, in this order."""
        if not (folder / NOTE).exists():
            return  # held by this run, and made by it already
        if not digest_of(folder):
            seal(folder, self._maker.make(wanted_of(folder), folder / MATERIAL, why))
        with self._drafting:
            for left in (path for path in folder.glob(".*") if path.name != NOTE):
                left.unlink(missing_ok=True)  # material, and drafts of a process that was killed
        if self._sealing:
            self._sealed[folder.name] = digest_of(folder)
        else:
            (folder / NOTE).unlink()

    def _go_on(self) -> None:
        if self._closing.is_set():
            raise LeftForLater

    def _submit(
        self, worker: ThreadPoolExecutor, name: str, work: Callable[[], object]
    ) -> Future[None]:
        future: Future[None] = worker.submit(work)  # type: ignore[arg-type]
        future.add_done_callback(lambda done: self._report(name, done))
        return future

    def _report(self, name: str, done: Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None and not isinstance(error, LeftForLater):
            self._tell_failed(name, error)

    def _tell_failed(self, name: str, error: BaseException) -> None:
        self.failed += 1
        log.error("evidence not written", file=name, error=str(error), every_s=10)


def wanted_of(folder: Path) -> Wanted:
    """What the note in an event's folder asks for."""
    return _WANTED_DECODER.decode((folder / NOTE).read_bytes())
