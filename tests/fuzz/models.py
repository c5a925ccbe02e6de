"""Model files: a description and numbers, with a hash that fits whatever they say.

A file that was only damaged fails its hash; here somebody made one on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from pipeline.core.errors import ModelFileError
from pipeline.models.checkpoint import KIND, load_model, save_model
from pipeline.models.tensor_file import _digest, read_tensors
from tests.fuzz.files import Folder
from tests.toy_site import commissioned


@lru_cache(maxsize=1)
def _whole() -> tuple[bytes, str, dict[str, Tensor]]:
    """A small model: its file, its description, its tensors."""
    with Folder() as folder:
        path = folder / "site.model"
        save_model(commissioned()[0], path)
        content = read_tensors(path, KIND)
        data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return data, header["__metadata__"]["description"], content.tensors


def model_seeds() -> Iterator[bytes]:
    """The head of a model file, which is where the bytes are that are understood."""
    data = _whole()[0]
    yield data[:4096]
    yield b"PK\x03\x04" + data[:100]
    yield b"\x80\x02}q\x00."


def read_model(data: bytes) -> None:
    """Load a file whose beginning is these bytes and whose rest is a model's."""
    whole = _whole()[0]
    _load(data + whole[len(data) :])


def description_seeds() -> Iterator[bytes]:
    """The description of a model."""
    yield _whole()[1].encode()


def read_model_description(data: bytes) -> None:
    """Load a model that says of itself what these bytes say, and has the hash of that."""
    _load(_file(data.decode("utf-8", "replace"), _whole()[2]))


def tensor_seeds() -> Iterator[bytes]:
    """Which tensors to change, and how."""
    yield bytes(8)
    yield bytes(range(48))


def read_tensors_changed(data: bytes) -> None:
    """Load a model of which some tensors are missing, of another shape or type, or not finite."""
    tensors = dict(_whole()[2])
    names = sorted(tensors)
    for at in range(0, len(data) - 2, 3):
        number, how, much = data[at : at + 3]
        name = names[(number * 256 + much) % len(names)]
        changed = _changed(tensors.pop(name, torch.zeros(0)), how % 6, much)
        if changed is not None:
            tensors[name] = changed
    _load(_file(_whole()[1], tensors))


def _changed(value: Tensor, how: int, much: int) -> Tensor | None:
    if how == 0:
        return None
    if how == 1:
        return value.reshape(-1)[:much].clone()
    if how == 2:
        return value.to(torch.int32)
    if how == 3:
        return torch.full_like(value, float("nan")) if value.is_floating_point() else value
    if how == 4:
        return value[None].clone()
    return torch.zeros((much % 7,) * value.dim(), dtype=value.dtype)


def _file(description: str, tensors: dict[str, Tensor]) -> bytes:
    metadata = {
        "format": KIND.format,
        "version": str(KIND.version),
        "description": description,
        "digest": _digest(tensors, description, KIND),
    }
    return save(tensors, metadata)


def _load(data: bytes) -> None:
    with Folder() as folder:
        path = Path(folder) / "site.model"
        path.write_bytes(data)
        try:
            load_model(path)
        except ModelFileError as error:
            if "site.model" not in str(error):
                raise AssertionError(f"does not say where: {error}") from error
