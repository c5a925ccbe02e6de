"""Full pictures of an event on disk, and how they take the place of small ones in its clip.

What was fetched back lies beside the event's material, in a file of the same kind. Where it holds a
picture of the very moment of a small one, that one gives way. If any came, the small ones that are
left are enlarged to their size, so that the clip is whole. `PICTURES` is left beside the clip: how
many of the pictures that were sent small are there in full, and how many are not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import simplejpeg

from pipeline.core.arrival import SampleArrived
from pipeline.core.errors import BadReading
from pipeline.core.jpeg import jpeg_size
from pipeline.core.sample import Encoding, Sample
from pipeline.core.whole_file import replace_file
from pipeline.detection.evidence_encoding import pixels_of
from pipeline.detection.evidence_material import QUALITY, read_material

FULL, PICTURES = ".full", "pictures.json"


class PicturesNote(msgspec.Struct, frozen=True):
    """What the pictures of a clip are.

    Attributes:
        full: How many of the pictures that were streamed small are there in full.
        small: How many are not.
        note: In words, what is missing and why; empty when all are full.
    """

    full: int
    small: int
    note: str


_PICTURES_NOTE_DECODER = msgspec.json.Decoder(PicturesNote)


def fuller(
    streams: Collection[str], folder: Path, frames: Sequence[Sample], why: str
) -> list[Sample]:
    """Frames of a clip with full pictures in place of small ones, as far as there are any.

    Args:
        streams: Streams that are sent small.
        folder: Of the event.
        frames: As they were streamed, of one stream. Pictures of another camera that were
            fetched for the one with the box have no part in the clip.
        why: Why some may be missing, if it is known.
    """
    if not frames or frames[0].stream not in streams:
        return list(frames)
    arrived = (one for one in read_material(folder / FULL) if isinstance(one, SampleArrived))
    fetched = (one.sample for one in arrived if one.sample.stream == frames[0].stream)
    full = {sample.timestamp_ns: sample for sample in fetched}
    left = [frame for frame in frames if frame.timestamp_ns not in full]
    _leave_note(folder, len(frames) - len(left), len(left), why)
    size = next((size for f in full.values() if (size := jpeg_size(f.data))), None)  # type: ignore[arg-type]
    if size is None:
        return list(frames)
    enlarged = [frame if (big := _enlarged(frame, size)) is None else big for frame in left]
    return sorted([*full.values(), *enlarged], key=lambda sample: sample.timestamp_ns)


def read_note(folder: Path) -> PicturesNote | None:
    """What is said of an event's pictures; None where nothing is: they are as they were taken."""
    try:
        return _PICTURES_NOTE_DECODER.decode((folder / PICTURES).read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def _leave_note(folder: Path, full: int, small: int, why: str) -> None:
    reason = f": {why}" if why else ""
    note = f"{small} of {full + small} pictures are small ones{reason}" if small else ""
    replace_file(folder / PICTURES, msgspec.json.encode(PicturesNote(full, small, note)))


def _enlarged(frame: Sample, size: tuple[int, int]) -> Sample | None:
    """A small picture at a height and width; None when it cannot be decoded."""
    try:
        pixels = pixels_of(frame)
    except BadReading:
        return None
    large = cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    jpeg = simplejpeg.encode_jpeg(large, quality=QUALITY, colorspace="BGR")
    return replace(frame, data=bytes(jpeg), encoding=Encoding.JPEG)
