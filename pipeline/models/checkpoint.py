"""The model file: one safetensors file with a JSON description, never a pickle.

Reading it runs nothing: tensors are plain numbers, the description is data. A hash over both
tells a damaged file from a whole one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline import __version__
from pipeline.core.errors import ModelFileError
from pipeline.core.sample import StreamInfo
from pipeline.models.cycle import Cycle
from pipeline.models.density import (
    Axes,
    ItemDensity,
    LevelDensity,
    PlaceDensity,
    PooledDensity,
)
from pipeline.models.normalise import Normaliser
from pipeline.models.packing import pack, unpack
from pipeline.models.prediction import Prediction, relations
from pipeline.models.scene_model import Held, SceneModel
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_density import StreamDensity
from pipeline.models.stream_model import StreamModel, make_extractor
from pipeline.models.tails import PlaceTails
from pipeline.models.together import Relation, Together

FORMAT = "fusewatch-model"
VERSION = 3
_AGAIN = "make it again with `fusewatch commission`"


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON part of a model file."""

    scene: str
    streams: tuple[StreamInfo, ...]
    settings: dict[str, float | int | str | tuple[str, ...]]
    length_ns: int
    hop_ns: int
    prediction_dims: int
    created_by: str


def save_model(model: SceneModel, path: Path) -> SceneModel:
    """Write a model file, replacing `path` only once the new one is whole.

    Returns:
        The model with the digest of its file.

    Raises:
        ModelFileError: The file cannot be written.
    """
    created_by = model.created_by or f"fusewatch {__version__}"
    description = msgspec.json.encode(
        Description(
            model.scene,
            tuple(s.info for s in model.streams),
            model.settings.model_dump(mode="json"),
            model.length_ns,
            model.hop_ns,
            model.together.dims,
            created_by,
        )
    ).decode()
    tensors = _tensors(model)
    digest = _digest(tensors, description)
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "description": description,
        "digest": digest,
    }
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part, metadata)
        os.replace(part, path)
    except OSError as error:
        raise ModelFileError(f"cannot be written: {error.strerror}", where=str(path)) from error
    return replace(model, created_by=created_by, digest=digest)


def load_model(path: Path) -> SceneModel:
    """Read a model file.

    Raises:
        ModelFileError: Not there, foreign, pickled, damaged, or from a newer version.
    """
    try:
        return _load(path)
    except ModelFileError as error:
        raise error.at(str(path)) from error


def _load(path: Path) -> SceneModel:
    _refuse_foreign(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            description = _description(metadata)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"damaged: {error}", fix=_AGAIN) from error
    if _digest(tensors, metadata["description"]) != metadata.get("digest"):
        raise ModelFileError("damaged: its content does not match its hash", fix=_AGAIN)
    model = _model(description, tensors)
    return replace(model, digest=metadata["digest"])


def _refuse_foreign(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise ModelFileError(f"cannot be read: {error.strerror}", fix=_AGAIN) from error
    if head[8:9] == b"{":
        return  # what stands before is the header's length and may be any bytes
    if head[:2] == b"PK" or head[:1] == b"\x80":
        raise ModelFileError(
            "a pickled file (as torch.save makes); refused, since reading it could run code",
            fix=_AGAIN,
        )
    raise ModelFileError("not a fusewatch model", fix=_AGAIN)


def _description(metadata: Mapping[str, str]) -> Description:
    if metadata.get("format") != FORMAT:
        raise ModelFileError("a safetensors file, but not a fusewatch model", fix=_AGAIN)
    version = metadata.get("version", "")
    if version != str(VERSION):
        raise ModelFileError(
            f"of version {version!r}, this program reads version {VERSION}",
            fix="commission the scene again with this fusewatch, or use the one that made it",
        )
    try:
        return msgspec.json.decode(metadata["description"], type=Description)
    except (KeyError, msgspec.MsgspecError) as error:
        raise ModelFileError(f"damaged description: {error}", fix=_AGAIN) from error


def _tensors(model: SceneModel) -> dict[str, Tensor]:
    found = pack("held", model.held)
    if model.together.joint is not None:
        found |= pack("joint", model.together.joint)
    for relation in model.together.relations:
        found |= pack(_relation_name(relation.of, relation.given), relation.prediction)
    for number, stream in enumerate(model.streams):
        found |= pack(f"streams.{number}.density", stream.density)
        for name in ("far", "near", "usual"):
            found |= pack(f"streams.{number}.{name}", getattr(stream, name))
    # Safetensors refuses shared memory; a copy each costs nothing at this size.
    return {name: tensor.clone() for name, tensor in found.items()}


def _model(description: Description, tensors: Mapping[str, Tensor]) -> SceneModel:
    try:
        settings = DetectorSettings.model_validate(description.settings)
    except ValidationError as error:
        raise ModelFileError(f"settings not understood: {error}", fix=_AGAIN) from error
    streams = tuple(
        _stream(f"streams.{number}", info, settings, tensors)
        for number, info in enumerate(description.streams)
    )
    model = SceneModel(
        description.scene,
        settings,
        streams,
        _together(len(streams), description.prediction_dims, tensors),
        description.length_ns,
        description.hop_ns,
        unpack(Held, "held", tensors),
        description.created_by,
    )
    if model.held.scores.shape[1:] != (len(model.names),):
        raise ModelFileError("its calibration does not fit its detectors", fix=_AGAIN)
    return model


def _together(streams: int, dims: int, tensors: Mapping[str, Tensor]) -> Together:
    joint = unpack(PooledDensity, "joint", tensors) if "joint.mean" in tensors else None
    learnt = tuple(
        Relation(of, given, unpack(Prediction, name, tensors))
        for of, given in relations(streams)
        if f"{(name := _relation_name(of, given))}.weights" in tensors
    )
    return Together(joint, learnt, dims)


def _relation_name(of: int, given: tuple[int, ...]) -> str:
    return f"relations.{of}-of-{'-'.join(map(str, given))}"


def _stream(
    prefix: str, info: StreamInfo, settings: DetectorSettings, tensors: Mapping[str, Tensor]
) -> StreamModel:
    at = f"{prefix}.density"
    has_items = f"{at}.items.mean" in tensors
    density = StreamDensity(
        unpack(Normaliser, f"{at}.normaliser", tensors, cycle=_cycle(at, tensors)),
        unpack(PlaceDensity, f"{at}.places", tensors),
        unpack(PooledDensity, f"{at}.pooled", tensors),
        unpack(ItemDensity, f"{at}.items", tensors) if has_items else None,
        unpack(LevelDensity, f"{at}.level", tensors) if f"{at}.level.mean" in tensors else None,
        unpack(Axes, f"{at}.axes", tensors),
    )
    extractor = make_extractor(info, settings)
    expected = (len(extractor.labels), len(extractor.columns))
    if tuple(density.places.mean.shape) != expected or has_items != (extractor.item_dims > 0):
        raise ModelFileError(f"stream {info.name!r} does not fit its densities", fix=_AGAIN)
    usual = tensors.get(f"{prefix}.usual", torch.zeros(0)).numpy()
    if usual.shape != (2, *expected):
        raise ModelFileError(f"stream {info.name!r} lacks its usual values", fix=_AGAIN)
    far, near = (unpack(PlaceTails, f"{prefix}.{name}", tensors) for name in ("far", "near"))
    return StreamModel(info, extractor, density, far, near, usual, settings)


def _cycle(density: str, tensors: Mapping[str, Tensor]) -> Cycle:
    return unpack(Cycle, f"{density}.normaliser.cycle", tensors)


def _digest(tensors: Mapping[str, Tensor], description: str) -> str:
    content = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        array = tensors[name].numpy()
        content.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        content.update(array.tobytes())
    return content.hexdigest()
