"""The model file of a scene: how its densities lie in a file of tensors.

Reading it runs nothing, see `pipeline.models.tensor_file`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from pipeline import __version__
from pipeline.core.errors import ModelError, ModelFileError
from pipeline.core.sample import StreamInfo
from pipeline.models import network_file
from pipeline.models.background import Background
from pipeline.models.cycle import Cycle
from pipeline.models.density import (
    Axes,
    PlaceDensity,
    PooledDensity,
)
from pipeline.models.drift import Wander
from pipeline.models.item_density import ItemDensity
from pipeline.models.level_density import LevelDensity
from pipeline.models.network_verdict import NETWORK, NetworkVerdict, verdict_of
from pipeline.models.normal_bank_file import PREFIX, bank_arrays, bank_of
from pipeline.models.normalise import Normaliser
from pipeline.models.objects import ObjectDensity
from pipeline.models.odd import OddOneOut, widths_of
from pipeline.models.odd_network import OddNetwork
from pipeline.models.packing import pack, unpack
from pipeline.models.prediction import Prediction, relations
from pipeline.models.running_level import LearntLevel, unbounded
from pipeline.models.scene_model import Held, SceneModel
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_density import StreamDensity
from pipeline.models.stream_model import StreamModel, make_extractor, make_inspector
from pipeline.models.tails import PlaceTails
from pipeline.models.tensor_file import FileKind, read_tensors, write_tensors
from pipeline.models.tensor_shapes import require_scene_shapes, require_stream_shapes
from pipeline.models.together import Relation, Together
from pipeline.models.video_view import View

_AGAIN = "make it again with `fusewatch commission`"
_LEARNT = "learnt.end_ns"
_EARLIER = {"worth": {"odd": 1.0, "things": 1.0}, "lasting_windows": 1, "timeless_lines": False}
"""How windows were judged before a file told."""


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The JSON part of a model file; `network` stands there only when there is one."""

    scene: str
    streams: tuple[StreamInfo, ...]
    settings: dict[str, Any]
    length_ns: int
    hop_ns: int
    prediction_dims: int
    created_by: str
    network: network_file.Description | None = None


KIND = FileKind("fusewatch-model", 4, "a fusewatch model", _AGAIN, Description)


def save_model(model: SceneModel, path: Path) -> SceneModel:
    """Write a model file, replacing `path` only once the new one is whole.

    Returns:
        The model with the digest of its file.

    Raises:
        ModelFileError: The file cannot be written.
    """
    created_by = model.created_by or f"fusewatch {__version__}"
    description = Description(
        model.scene,
        tuple(s.info for s in model.streams),
        model.settings.model_dump(mode="json"),
        model.length_ns,
        model.hop_ns,
        model.together.dims,
        created_by,
        None if model.network is None else network_file.described(model.network.saved),
    )
    digest = write_tensors(path, KIND, description, _tensors(model))
    return replace(model, created_by=created_by, digest=digest)


def load_model(path: Path) -> SceneModel:
    """Read a model file.

    Raises:
        ModelFileError: Not there, foreign, pickled, damaged, or from another version.
    """
    content = read_tensors(path, KIND)
    try:
        model = _model(content.description, content.tensors)
    except ModelFileError as error:
        raise error.at(str(path)) from error
    return replace(model, digest=content.digest)


def _tensors(model: SceneModel) -> dict[str, Tensor]:
    found = pack("held", model.held) | pack(_LEARNT, model.learnt_end_ns)
    if model.bank is not None:
        arrays = bank_arrays(model.bank).items()
        found |= {name: torch.from_numpy(np.array(value, order="C")) for name, value in arrays}
    if model.together.joint is not None:
        found |= pack("joint", model.together.joint)
    for relation in model.together.relations:
        found |= pack(_relation_name(relation.of, relation.given), relation.prediction)
    if model.odd is not None:
        for group in (model.odd.networks, model.odd.spares):
            for number, network in enumerate(group):
                prefix = _odd_name(number, spare=group is model.odd.spares)
                found |= {f"{prefix}.{n}": t for n, t in network.state_dict().items()}
    if model.network is not None:
        weights = model.network.saved.network.state_dict()
        found |= {f"{NETWORK}.{name}": value for name, value in weights.items()}
    for number, stream in enumerate(model.streams):
        found |= pack(f"streams.{number}.density", stream.density)
        for name in ("far", "near", "usual", "limits", "view"):
            found |= pack(f"streams.{number}.{name}", getattr(stream, name))
    return found


def _model(description: Description, tensors: Mapping[str, Tensor]) -> SceneModel:
    try:
        settings = DetectorSettings.model_validate({**_EARLIER, **description.settings})
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
        _odd(settings, [stream.density.width for stream in streams], tensors),
        description.length_ns,
        description.hop_ns,
        unpack(Held, "held", tensors),
        description.created_by,
        network=_trained(description.network, tensors),
        learnt_end_ns=tensors[_LEARNT].numpy() if _LEARNT in tensors else None,
        bank=bank_of(
            [stream.info.name for stream in streams],
            [stream.density.width for stream in streams],
            {name: value.numpy() for name, value in tensors.items() if name.startswith(PREFIX)},
        ),
    )
    if model.held.scores.shape[1:] != (len(model.names),):
        raise ModelFileError("its calibration does not fit its detectors", fix=_AGAIN)
    return model


def _together(streams: int, dims: int, tensors: Mapping[str, Tensor]) -> Together:
    named = {_relation_name(of, given): (of, given) for of, given in relations(streams)}
    require_scene_shapes(named, tensors)
    joint = unpack(PooledDensity, "joint", tensors) if "joint.mean" in tensors else None
    learnt = tuple(
        Relation(of, given, unpack(Prediction, name, tensors))
        for of, given in relations(streams)
        if f"{(name := _relation_name(of, given))}.weights" in tensors
    )
    return Together(joint, learnt, dims)


def _odd(
    settings: DetectorSettings, sizes: Sequence[int], tensors: Mapping[str, Tensor]
) -> OddOneOut | None:
    parts, widths = settings.odd.parts, widths_of(settings.odd, sizes)
    networks, spares = (
        [
            _odd_network(settings, widths, _odd_name(number, spare=spare), tensors)
            for number in range(parts * count)
        ]
        for spare, count in ((False, settings.odd.members), (True, settings.odd.spares))
    )
    if None in networks:
        return None
    whole, fewer = (tuple(one for one in group if one is not None) for group in (networks, spares))
    return OddOneOut(settings.odd, widths, whole, fewer)


def _odd_network(
    settings: DetectorSettings, widths: Sequence[int], name: str, tensors: Mapping[str, Tensor]
) -> OddNetwork | None:
    """A network of the odd one out; None when the file has none of this name."""
    weights = _below(name, tensors)
    if not weights:
        return None
    network = OddNetwork(settings.odd, widths)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelFileError(f"the odd one out does not fit: {error}", fix=_AGAIN) from error
    return network.eval()


def _odd_name(number: int, *, spare: bool) -> str:
    return f"odd.spare.{number}" if spare else f"odd.{number}"


def _trained(
    description: network_file.Description | None, tensors: Mapping[str, Tensor]
) -> NetworkVerdict | None:
    if description is None:
        return None
    try:
        return verdict_of(network_file.rebuilt(description, _below(NETWORK, tensors)))
    except ModelError as error:
        raise ModelFileError(f"its trained network: {error.message}", fix=_AGAIN) from error


def _below(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors whose name begins with `name` and a dot, by what comes after."""
    start = f"{name}."
    return {key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)}


def _relation_name(of: int, given: tuple[int, ...]) -> str:
    return f"relations.{of}-of-{'-'.join(map(str, given))}"


def _stream(
    prefix: str, info: StreamInfo, settings: DetectorSettings, tensors: Mapping[str, Tensor]
) -> StreamModel:
    extractor = make_extractor(info, settings)
    expected = (len(extractor.labels), len(extractor.columns))
    sizes = {"P": expected[0], "d": expected[1], "e": extractor.item_dims}
    require_stream_shapes(prefix, tensors, sizes)
    at = f"{prefix}.density"
    objects = None
    if f"{at}.objects.things.mean" in tensors:
        objects = ObjectDensity(
            unpack(Background, f"{at}.objects.background", tensors),
            unpack(ItemDensity, f"{at}.objects.things", tensors),
            unpack(ItemDensity, f"{at}.objects.moves", tensors),
        )
    has_items = f"{at}.items.mean" in tensors
    density = StreamDensity(
        _normaliser(f"{at}.normaliser", tensors),
        unpack(PlaceDensity, f"{at}.places", tensors),
        unpack(PooledDensity, f"{at}.pooled", tensors) if f"{at}.pooled.mean" in tensors else None,
        unpack(ItemDensity, f"{at}.items", tensors) if has_items else None,
        _level(f"{at}.level", tensors),
        unpack(Axes, f"{at}.axes", tensors),
        objects,
        _running(f"{at}.running", tensors),
    )
    if has_items != (extractor.item_dims > 0):
        raise ModelFileError(f"stream {info.name!r} does not fit its densities", fix=_AGAIN)
    usual = tensors.get(f"{prefix}.usual", torch.zeros(0)).numpy()
    if usual.shape != (2, *expected):
        raise ModelFileError(f"stream {info.name!r} lacks its usual values", fix=_AGAIN)
    inspector = make_inspector(info, extractor)
    limits = tensors.get(f"{prefix}.limits", torch.zeros(0)).numpy()
    if limits.shape != inspector.margins.shape:
        raise ModelFileError(f"stream {info.name!r} lacks its limits of quality", fix=_AGAIN)
    far, near = (unpack(PlaceTails, f"{prefix}.{name}", tensors) for name in ("far", "near"))
    view = unpack(View, f"{prefix}.view", tensors) if f"{prefix}.view.edges" in tensors else None
    return StreamModel(
        info, extractor, density, far, near, usual, settings, inspector, limits, view
    )


def _level(prefix: str, tensors: Mapping[str, Tensor]) -> LevelDensity | None:
    if f"{prefix}.mean" not in tensors:
        return None
    older = {} if f"{prefix}.tolerance" in tensors else {"tolerance": None}
    return unpack(LevelDensity, prefix, tensors, **older)


def _running(prefix: str, tensors: Mapping[str, Tensor]) -> LearntLevel | None:
    if f"{prefix}.last" not in tensors:
        return None
    older = {"reach": unbounded(len(tensors[f"{prefix}.last"]))}
    return unpack(LearntLevel, prefix, tensors, **({} if f"{prefix}.reach" in tensors else older))


def _normaliser(at: str, tensors: Mapping[str, Tensor]) -> Normaliser:
    cycle = unpack(Cycle, f"{at}.cycle", tensors)
    wander = unpack(Wander, f"{at}.wander", tensors)
    return unpack(Normaliser, at, tensors, cycle=cycle, wander=wander)
