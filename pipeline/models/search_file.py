"""The file of a search index: safetensors with a JSON description, never a pickle.

Reading it runs nothing and copies nothing: the vectors stay on the disk and are mapped into
memory as a query reads them. A checksum over all of it tells a damaged file from a whole one;
it is taken whenever a file is opened, at 0.1 to 0.2 s a gigabyte that is in memory already.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from isal import isal_zlib
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline import __version__
from pipeline.core.errors import ModelFileError
from pipeline.models.search_index import About, Part, SearchIndex

FORMAT = "fusewatch-index"
VERSION = 1
_AGAIN = "delete it: `fusewatch search` makes it again"


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON part of an index file."""

    about: About
    streams: tuple[str, ...]
    parts: tuple[Part, ...]
    created_by: str


def save_index(index: SearchIndex, path: Path) -> None:
    """Write an index file, replacing `path` only once the new one is whole.

    Raises:
        ModelFileError: The file cannot be written.
    """
    description = msgspec.json.encode(
        Description(index.about, tuple(index.blocks), index.parts, f"fusewatch {__version__}")
    ).decode()
    tensors = {"numbers": index.numbers, "p": index.p}
    tensors |= {f"streams.{at}": block for at, block in enumerate(index.blocks.values())}
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "description": description,
        "checksum": _checksum(tensors, description),
    }
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part, metadata)
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        fix = "choose another place with --index"
        raise ModelFileError(f"cannot be written: {reason}", where=str(path), fix=fix) from error


def load_index(path: Path, about: About) -> SearchIndex:
    """Open an index file.

    Args:
        path: The file.
        about: What its windows must have in common with those that it is used for.

    Raises:
        ModelFileError: Foreign, pickled, damaged, of another version, or of windows
            that cannot be compared.
    """
    try:
        index = _load(path)
        _fits(index.about, about)
    except ModelFileError as error:
        raise error.at(str(path)) from error
    return index


def _load(path: Path) -> SearchIndex:
    _refuse_foreign(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            description = _description(metadata)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"damaged: {error}", fix=_AGAIN) from error
    if _checksum(tensors, metadata["description"]) != metadata.get("checksum"):
        raise ModelFileError("damaged: its content does not match its checksum", fix=_AGAIN)
    return _index(description, tensors)


def _index(description: Description, tensors: Mapping[str, Tensor]) -> SearchIndex:
    blocks = {name: tensors.get(f"streams.{at}") for at, name in enumerate(description.streams)}
    held = [tensors.get("numbers"), tensors.get("p"), *blocks.values()]
    rows = sum(part.rows for part in description.parts)
    if any(tensor is None or len(tensor) != rows for tensor in held):
        raise ModelFileError("damaged: its rows do not fit its description", fix=_AGAIN)
    whole = {name: block for name, block in blocks.items() if block is not None}
    return SearchIndex(
        description.about, description.parts, tensors["numbers"], tensors["p"], whole
    )


def _refuse_foreign(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise ModelFileError(f"cannot be read: {error.strerror}") from error
    if head[8:9] != b"{":  # what stands before is the header's length and may be any bytes
        pickled = head[:2] == b"PK" or head[:1] == b"\x80"
        what = "a pickled file, which is never read" if pickled else "not a search index"
        raise ModelFileError(what, fix="name another file with --index")


def _description(metadata: Mapping[str, str]) -> Description:
    if metadata.get("format") != FORMAT:
        raise ModelFileError(
            "a safetensors file, but not a search index", fix="name another file with --index"
        )
    version = metadata.get("version", "")
    if version != str(VERSION):
        raise ModelFileError(
            f"of version {version!r}, this program reads version {VERSION}", fix=_AGAIN
        )
    try:
        return msgspec.json.decode(metadata["description"], type=Description)
    except (KeyError, msgspec.MsgspecError) as error:
        raise ModelFileError(f"damaged description: {error}", fix=_AGAIN) from error


def _fits(held: About, wanted: About) -> None:
    elsewhere = "name another file with --index"
    if held.scene != wanted.scene:
        what = f"an index of scene {held.scene!r}, not of {wanted.scene!r}"
        raise ModelFileError(what, fix=elsewhere)
    if held.embedder != wanted.embedder:
        made, this = _short(held.embedder), _short(wanted.embedder)
        raise ModelFileError(
            f"made by {made}, this is {this}: their vectors cannot be compared",
            fix="delete it and it is made again, or name what made it with --model or --encoder",
        )
    if held != wanted:
        raise ModelFileError("of windows of another length or hop than the scene's", fix=_AGAIN)


def _short(embedder: str) -> str:
    kind, _, digest = embedder.partition(" ")
    return f"{kind} {digest[:8]}"


def _checksum(tensors: Mapping[str, Tensor], description: str) -> str:
    """CRC-32 over the description and every tensor with its name, type and shape."""
    found = isal_zlib.crc32(description.encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name].numpy())
        found = isal_zlib.crc32(json.dumps([name, str(array.dtype), array.shape]).encode(), found)
        found = isal_zlib.crc32(array.reshape(-1).view(np.uint8), found)
    return f"{found:08x}"
