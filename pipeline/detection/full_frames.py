"""Full pictures of an event on disk, and how they take the place of small ones in its clip.

What was fetched back lies beside the event's material, in a file of the same kind; that it is
there says that full pictures were wanted. Where it holds a picture of the very moment of a small
one, that one gives way. If any came, the small ones that are left are enlarged to their size, so
that the clip is whole. `PICTURES` is left beside the clip: how many of the pictures that were sent
small are there in full, and how many are not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import simplejpeg

from pipeline.core.jpeg import jpeg_size
from pipeline.core.sample import Encoding, Sample
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


def fuller(folder: Path, frames: Sequence[Sample], why: str) -> list[Sample]:
    """Frames of a clip with full pictures in place of small ones, as far as there are any.

    Args:
        folder: Of the event.
        frames: As they were streamed, JPEG, of one stream. Pictures of another camera that were
            fetched for the one with the box have no part in the clip.
        why: Why some may be missing, if it is known.
    """
    if not (folder / FULL).exists() or not frames:
        return list(frames)
    fetched = read_material(folder / FULL)
    full = {one.timestamp_ns: one for one in fetched if one.stream == frames[0].stream}
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
        return msgspec.json.decode((folder / PICTURES).read_bytes(), type=PicturesNote)
    except (OSError, msgspec.DecodeError):
        return None


def _leave_note(folder: Path, full: int, small: int, why: str) -> None:
    reason = f": {why}" if why else ""
    note = f"{small} of {full + small} pictures are small ones{reason}" if small else ""
    draft = folder / f".{PICTURES}.draft"
    draft.write_bytes(msgspec.json.encode(PicturesNote(full, small, note)))
    os.replace(draft, folder / PICTURES)


def _enlarged(frame: Sample, size: tuple[int, int]) -> Sample | None:
    """A small picture at a height and width; None when it cannot be decoded."""
    if frame.encoding is not Encoding.JPEG:
        return None
    try:
        pixels = simplejpeg.decode_jpeg(frame.data, colorspace="BGR")
    except ValueError:
        return None
    large = cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    jpeg = simplejpeg.encode_jpeg(large, quality=QUALITY, colorspace="BGR")
    return replace(frame, data=bytes(jpeg))
