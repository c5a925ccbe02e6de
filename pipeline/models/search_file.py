"""The file of a search index, see `pipeline.models.tensor_file`: read without running anything.

The vectors stay on the disk and are mapped into memory as a query reads them.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline import __version__
from pipeline.core.errors import ModelFileError
from pipeline.models.search_index import About, Part, SearchIndex
from pipeline.models.tensor_file import Content, FileKind, read_tensors, write_tensors

_AGAIN = "delete it: `fusewatch search` makes it again"
_ELSEWHERE = "name another file with --index"


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON part of an index file."""

    about: About
    streams: tuple[str, ...]
    parts: tuple[Part, ...]
    created_by: str


KIND = FileKind("fusewatch-index", 2, "a search index", _AGAIN, Description, _ELSEWHERE, large=True)


def save_index(index: SearchIndex, path: Path) -> None:
    """Write an index file, replacing `path` only once the new one is whole.

    Raises:
        ModelFileError: The file cannot be written.
    """
    made_by = f"fusewatch {__version__}"
    description = Description(index.about, tuple(index.blocks), index.parts, made_by)
    tensors = {"numbers": index.numbers, "p": index.p}
    tensors |= {f"streams.{at}": block for at, block in enumerate(index.blocks.values())}
    write_tensors(path, KIND, description, tensors)


def load_index(path: Path, about: About) -> SearchIndex:
    """Open an index file.

    Args:
        path: The file.
        about: What its windows must have in common with those that it is used for.

    Raises:
        ModelFileError: Foreign, pickled, damaged, of another version, or of windows
            that cannot be compared.
    """
    content = read_tensors(path, KIND)
    try:
        index = _index(content)
        _fits(index.about, about)
    except ModelFileError as error:
        raise error.at(str(path)) from error
    return index


def _index(content: Content[Description]) -> SearchIndex:
    description, tensors = content.description, content.tensors
    blocks = {name: tensors.get(f"streams.{at}") for at, name in enumerate(description.streams)}
    held = [tensors.get("numbers"), tensors.get("p"), *blocks.values()]
    rows = sum(part.rows for part in description.parts)
    if any(tensor is None or len(tensor) != rows for tensor in held):
        raise ModelFileError("damaged: its rows do not fit its description", fix=_AGAIN)
    whole = {name: block for name, block in blocks.items() if block is not None}
    return SearchIndex(
        description.about, description.parts, tensors["numbers"], tensors["p"], whole
    )


def _fits(held: About, wanted: About) -> None:
    if held.scene != wanted.scene:
        what = f"an index of scene {held.scene!r}, not of {wanted.scene!r}"
        raise ModelFileError(what, fix=_ELSEWHERE)
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
