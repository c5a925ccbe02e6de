"""Makes the files of an event that is over, from what was kept of it.

Each file is made by itself: one that cannot be made, whatever its samples are like, is told and
costs no other. What the disk refuses is another matter: it may take it later, so that ends the
work and nothing is given up.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from pipeline.core.arrival import SampleArrived
from pipeline.core.errors import RecordingError
from pipeline.core.sample import Encoding, Sample
from pipeline.core.whole_file import replace_file
from pipeline.detection.evidence_encoding import write_mp4, write_wav
from pipeline.detection.evidence_material import read_material
from pipeline.detection.evidence_pictures import pictures_of
from pipeline.detection.evidence_recording import write_recording
from pipeline.detection.evidence_writer import Wanted

Fuller: TypeAlias = Callable[[Path, list[Sample], str], list[Sample]]
"""Gives the frames of a clip, better ones in their places: the event's folder, the frames as they
were sent, and why better ones are missing, if it is known."""


class LeftForLater(Exception):
    """A clip was given up half made; its note is still there."""


class EvidenceMaker:
    """See the module.

    Args:
        folder: Where events have a folder each.
        fuller: Has better frames for clips; None: nobody does.
        go_on: Called before each frame of a clip; raises `LeftForLater` to end the work.
        failed: Told of a file that cannot be made, and why.
    """

    def __init__(
        self,
        folder: Path,
        fuller: Fuller | None,
        go_on: Callable[[], None],
        failed: Callable[[str, Exception], None],
    ) -> None:
        self._folder = folder
        self._fuller = fuller
        self._go_on = go_on
        self._failed = failed

    def make(self, wanted: Wanted, material: Path, why: str) -> dict[str, dict[str, int]]:
        """Make all files that an event names, as far as they can be made.

        Args:
            wanted: What is to be made.
            material: What was kept of the event.
            why: Why better frames are missing, if it is known.

        Returns:
            Samples that are in none of them, by stream and reason.

        Raises:
            OSError: The disk refuses.
            RecordingError: Likewise.
            LeftForLater: Its time is over.
        """
        evidence = wanted.event.evidence
        left_out: dict[str, dict[str, int]] = {}
        if evidence.recording:
            self._attempt(evidence.recording, partial(self._record, wanted, material, left_out))
        if drawn := evidence.spectrogram or evidence.channels:
            self._attempt(drawn, partial(self._draw, wanted, material))
        frames, sound = _shown(wanted, material)
        if evidence.sound and sound:
            write = partial(write_wav, chunks=sound, rate_hz=wanted.rate_hz)
            self._attempt(evidence.sound, partial(self._write, evidence.sound, write))
        if evidence.clip and frames:
            self._attempt(evidence.clip, partial(self._clip, wanted, frames, sound, why))
        return left_out

    def _attempt(self, name: str, make: Callable[[], None]) -> None:
        try:
            make()
        except (OSError, RecordingError, LeftForLater):
            raise
        except Exception as error:  # whatever is wrong with one file must not cost the others
            self._failed(name, error)

    def _record(self, wanted: Wanted, material: Path, left_out: dict[str, dict[str, int]]) -> None:
        def write(path: Path) -> None:
            left_out.update(write_recording(path, wanted, read_material(material)))

        self._write(wanted.event.evidence.recording, write)

    def _draw(self, wanted: Wanted, material: Path) -> None:
        kept = read_material(material)
        for name, picture in pictures_of(wanted.event, wanted.peak_ns, kept).items():
            replace_file(self._folder / name, picture)

    def _clip(self, wanted: Wanted, frames: list[Sample], sound: list[Sample], why: str) -> None:
        if self._fuller is not None:
            frames = self._fuller(self._folder / wanted.event.id, frames, why)
        rate_hz, go_on = wanted.rate_hz, self._go_on
        write = partial(write_mp4, frames=frames, sound=sound, rate_hz=rate_hz, go_on=go_on)
        self._write(wanted.event.evidence.clip, write)

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        path = self._folder / name
        draft = path.with_name(f".{path.name}")
        write(draft)
        os.replace(draft, path)


def _shown(wanted: Wanted, material: Path) -> tuple[list[Sample], list[Sample]]:
    """Frames of the clip and chunks of the sound, each in order of their stamps."""
    arrived = (one for one in read_material(material) if isinstance(one, SampleArrived))
    samples = [a.sample for a in arrived if a.sample.stream in (wanted.video, wanted.audio)]
    samples.sort(key=lambda sample: sample.timestamp_ns)
    sound = [sample for sample in samples if sample.encoding is Encoding.PCM]
    return [sample for sample in samples if sample.stream == wanted.video], sound
