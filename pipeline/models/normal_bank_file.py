"""How the moments of `pipeline.models.normal_bank` lie in a model file: plain arrays, no torch.

All pictures of a camera are one array of bytes, beside where each ends. Pictures can be read by
themselves, for who shows them and has no use for the rest of the model.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from pipeline.core.errors import ModelFileError
from pipeline.models.normal_bank import NormalBank, StreamMoments

PREFIX = "moments"
PICTURES_MOST = 2_000_000
"""Bytes of pictures that a model file may hold."""

_AGAIN = "make it again with `fusewatch commission`"
_JPEG = b"\xff\xd8\xff"
Arrays = Mapping[str, npt.NDArray[Any]]


class _Stream(msgspec.Struct):
    name: str


class _Description(msgspec.Struct):
    """What is needed of a model file's description."""

    streams: tuple[_Stream, ...]


_DESCRIPTION_DECODER = msgspec.json.Decoder(_Description)


def bank_arrays(bank: NormalBank) -> dict[str, npt.NDArray[Any]]:
    """The bank as named arrays."""
    found: dict[str, npt.NDArray[Any]] = {
        f"{PREFIX}.start_ns": bank.start_ns,
        f"{PREFIX}.seen": bank.seen,
        f"{PREFIX}.scales": bank.scales,
    }
    for number, stream in enumerate(bank.streams.values()):
        at = f"{PREFIX}.{number}"
        found[f"{at}.embedding"] = stream.embedding
        found[f"{at}.levels"] = stream.levels
        ends = np.cumsum([len(picture) for picture in stream.pictures], dtype=np.int64)
        found[f"{at}.ends"] = ends
        found[f"{at}.pictures"] = np.frombuffer(b"".join(stream.pictures), np.uint8)
    return found


def bank_of(names: Sequence[str], widths: Sequence[int], arrays: Arrays) -> NormalBank | None:
    """The bank in a model file's arrays; None when there is none, as in older files.

    Args:
        names: The model's streams, in order.
        widths: Numbers in an embedding of each.
        arrays: Arrays of the file.

    Raises:
        ModelFileError: It does not fit the streams, or itself.
    """
    if f"{PREFIX}.start_ns" not in arrays:
        return None
    start_ns, seen, scales = (_of(arrays, part) for part in ("start_ns", "seen", "scales"))
    count = len(start_ns) if start_ns.ndim == 1 else -1
    streams = {}
    for number, (name, width) in enumerate(zip(names, widths, strict=True)):
        embedding = _of(arrays, f"{number}.embedding")
        levels = _of(arrays, f"{number}.levels")
        if embedding.shape != (count, width) or levels.shape[:1] != (count,) or levels.ndim != 2:
            raise ModelFileError(f"its moments do not fit stream {name!r}", fix=_AGAIN)
        pictures = _pictures(_of(arrays, f"{number}.pictures"), _of(arrays, f"{number}.ends"))
        streams[name] = StreamMoments(embedding, levels, pictures)
    bank = NormalBank(start_ns, seen, scales, streams)
    whole = all(len(stream.pictures) == count for stream in streams.values())
    if not whole or seen.shape != (count, len(names)) or scales.shape != (len(names),):
        raise ModelFileError("its moments do not fit each other", fix=_AGAIN)
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise ModelFileError("its moments have no scale", fix=_AGAIN)
    return bank


def pictures_in(model: Path) -> dict[tuple[str, int], bytes]:
    """Pictures in a model file, by camera and begin of the moment; none in older files.

    Raises:
        ModelFileError: The file cannot be read.
    """
    try:
        with safe_open(model, framework="numpy") as file:
            text = (file.metadata() or {}).get("description", "")
            names = [s.name for s in _DESCRIPTION_DECODER.decode(text).streams]
            known = set(file.keys())
            if f"{PREFIX}.start_ns" not in known:
                return {}
            starts = file.get_tensor(f"{PREFIX}.start_ns").tolist()
            found: dict[tuple[str, int], bytes] = {}
            for number, name in enumerate(names):
                parts = (f"{PREFIX}.{number}.{part}" for part in ("pictures", "ends"))
                pictures = _pictures(*(file.get_tensor(part) for part in parts))
                found.update(((name, at), p) for at, p in zip(starts, pictures, strict=True) if p)
    except (SafetensorError, OSError, msgspec.MsgspecError, ValueError) as error:
        raise ModelFileError(f"cannot be read: {error}", where=str(model), fix=_AGAIN) from error
    return found


def _pictures(joined: npt.NDArray[Any], ends: npt.NDArray[Any]) -> tuple[bytes, ...]:
    """Single pictures; what does not begin as a JPEG is none."""
    sound = joined.ndim == ends.ndim == 1 and joined.dtype == np.uint8 and ends.dtype == np.int64
    if not sound or np.any(np.diff(ends, prepend=0) < 0) or ends[-1:].sum() != len(joined):
        raise ModelFileError("its pictures of moments do not fit each other", fix=_AGAIN)
    whole = joined.tobytes()
    cut = [whole[first:last] for first, last in itertools.pairwise((0, *ends.tolist()))]
    return tuple(one if one.startswith(_JPEG) else b"" for one in cut)


def _of(arrays: Arrays, part: str) -> npt.NDArray[Any]:
    try:
        return arrays[f"{PREFIX}.{part}"]
    except KeyError:
        raise ModelFileError(f"the model file lacks '{PREFIX}.{part}'", fix=_AGAIN) from None
