"""Files of tensors with a JSON description: safetensors, never a pickle.

Reading one runs nothing: tensors are plain numbers, the description is data. A hash over both
tells a damaged file from a whole one; files that may be gigabytes have a checksum instead, which
takes 0.1 to 0.2 s a gigabyte, and their tensors stay on the disk, mapped into memory as they are
read. A file is replaced only once the new one is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import numpy as np
from isal import isal_zlib
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.core.errors import ModelFileError

Described = TypeVar("Described", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class FileKind(Generic[Described]):
    """What tells the files of one kind from all others.

    Attributes:
        format: Name of the format, as it stands in the file.
        version: The version that is written and read.
        what: How a reader would call such a file.
        again: How to make one, for who has a file that cannot be used.
        description: Type of the JSON part.
        elsewhere: What to do about a file that is of no such kind, or a place that cannot be
            written; empty: the same as `again`, or nothing.
        large: Whether it may be gigabytes: a checksum (CRC-32) instead of a hash (SHA-256).
    """

    format: str
    version: int
    what: str
    again: str
    description: type[Described]
    elsewhere: str = ""
    large: bool = False

    def __post_init__(self) -> None:
        msgspec.json.Decoder(self.description)  # so that msgspec knows it, see pipeline.core.event


@dataclass(frozen=True, slots=True)
class Content(Generic[Described]):
    """What stands in a file.

    Attributes:
        description: The JSON part.
        tensors: Tensors by name, on the CPU.
        digest: Hash or checksum over both, hexadecimal.
    """

    description: Described
    tensors: dict[str, Tensor]
    digest: str


def write_tensors(
    path: Path, kind: FileKind[Described], description: Described, tensors: Mapping[str, Tensor]
) -> str:
    """Write a file, replacing `path` only once the new one is whole.

    Returns:
        Its digest.

    Raises:
        ModelFileError: The file cannot be written.
    """
    held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    if not kind.large:
        # Safetensors refuses shared memory; a copy each costs nothing beside the writing.
        held = {name: value.clone() for name, value in held.items()}
    text = msgspec.json.encode(description).decode()
    digest = _digest(held, text, kind)
    metadata = {
        "format": kind.format,
        "version": str(kind.version),
        "description": text,
        "digest": digest,
    }
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(held, part, metadata)
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(
            f"cannot be written: {reason}", where=str(path), fix=kind.elsewhere
        ) from error
    return digest


def read_tensors(path: Path, kind: FileKind[Described]) -> Content[Described]:
    """Read a file of one kind.

    Raises:
        ModelFileError: Not there, foreign, pickled, damaged, or of another version.
    """
    try:
        return _read(path, kind)
    except ModelFileError as error:
        raise error.at(str(path)) from error


def _read(path: Path, kind: FileKind[Described]) -> Content[Described]:
    _refuse_foreign(path, kind)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            description = _description(metadata, kind)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"damaged: {error}", fix=kind.again) from error
    digest = _digest(tensors, metadata["description"], kind)
    if digest != metadata.get("digest"):
        raise ModelFileError("damaged: its content does not match its hash", fix=kind.again)
    return Content(description, tensors, digest)


def _refuse_foreign(path: Path, kind: FileKind[Described]) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise ModelFileError(f"cannot be read: {error.strerror}", fix=kind.again) from error
    if head[8:9] == b"{":
        return  # what stands before is the header's length and may be any bytes
    fix = kind.elsewhere or kind.again
    if head[:2] == b"PK" or head[:1] == b"\x80":
        raise ModelFileError(
            "a pickled file (as torch.save makes); refused, since reading it could run code",
            fix=fix,
        )
    raise ModelFileError(f"not {kind.what}", fix=fix)


def _description(metadata: Mapping[str, str], kind: FileKind[Described]) -> Described:
    if metadata.get("format") != kind.format:
        raise ModelFileError(
            f"a safetensors file, but not {kind.what}", fix=kind.elsewhere or kind.again
        )
    version = metadata.get("version", "")
    if version != str(kind.version):
        raise ModelFileError(
            f"of version {version!r}, this program reads version {kind.version}",
            fix=f"{kind.again} of this version, or use the fusewatch that made it",
        )
    try:
        return msgspec.json.decode(metadata["description"], type=kind.description)
    except (KeyError, msgspec.MsgspecError) as error:
        raise ModelFileError(f"damaged description: {error}", fix=kind.again) from error


def _digest(tensors: Mapping[str, Tensor], description: str, kind: FileKind[Described]) -> str:
    """Over the description and every tensor with its name, type and shape."""
    content = _Crc32() if kind.large else hashlib.sha256()
    content.update(description.encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name].numpy())
        content.update(json.dumps([name, str(array.dtype), tensors[name].shape]).encode())
        content.update(array.reshape(-1).view(np.uint8).data)
    return content.hexdigest()


class _Crc32:
    """CRC-32 with the face of a hash."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = isal_zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"
