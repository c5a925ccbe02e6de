"""Payloads on their way to the link: raw frames as JPEG, and memory nobody else writes to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import simplejpeg
import zmq

from pipeline.core.codec import Buffer
from pipeline.core.errors import CodecError
from pipeline.core.sample import Encoding, Sample


def encode_for_link(sample: Sample, quality: int) -> Sample:
    """A raw frame as JPEG of `quality` (1 to 100); any other sample as it is.

    Encryption of raw video costs four times its transport, so an encrypted link carries JPEG.

    Raises:
        CodecError: The frame is not uint8 ``(H, W, 3)``.
    """
    data = sample.data
    if sample.encoding is not Encoding.RAW or not isinstance(data, np.ndarray):
        return sample
    try:
        jpeg = simplejpeg.encode_jpeg(
            np.ascontiguousarray(data),
            quality=quality,
            colorspace="BGR",
            colorsubsampling="420",
        )
    except (ValueError, TypeError) as error:
        raise CodecError(f"cannot be a JPEG: {error}", where=sample.stream) from error
    return replace(sample, data=jpeg, encoding=Encoding.JPEG)


def is_frozen(payload: Buffer) -> bool:
    """Whether nobody can change the payload any more.

    That is so for bytes, for received frames, and for arrays that are read-only down to the
    memory they stand on. A read-only view of a writable buffer is not.
    """
    if isinstance(payload, bytes):
        return True
    if isinstance(payload, memoryview):
        owner = payload.obj
        return (
            payload.readonly
            and isinstance(owner, (bytes, zmq.Frame, np.ndarray))
            and (not isinstance(owner, np.ndarray) or is_frozen(owner))
        )
    if payload.flags.writeable:
        return False
    base = payload.base
    return base is None or (isinstance(base, (bytes, memoryview, np.ndarray)) and is_frozen(base))


def frozen(payload: Buffer) -> Buffer:
    """The payload itself if it is frozen, else a copy.

    A camera that reuses its buffer can therefore not tear a frame under way; a source that
    hands over fresh arrays saves the copy by ``array.setflags(write=False)``.
    """
    if is_frozen(payload):
        return payload
    if isinstance(payload, memoryview):
        return bytes(payload)
    copy = np.array(payload)
    copy.setflags(write=False)
    return copy
