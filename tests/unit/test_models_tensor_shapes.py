"""A model file whose hash is right and whose tensors do not fit is refused before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.core.errors import ModelFileError
from pipeline.models.checkpoint import KIND, load_model, save_model
from pipeline.models.scene_model import SceneModel
from pipeline.models.tensor_file import Content, read_tensors, write_tensors
from pipeline.models.tensor_shapes import require_scene_shapes, require_stream_shapes
from tests.toy_site import commissioned

FREE = {
    "places.memory": {1},
    "items.memory": {0},
    "things.memory": {0},
    "moves.memory": {0},
    "pooled.memory": {0},
    "joint.memory": {0},
    "background.colours": {0},
    "cycle.profile": {0},
    "normaliser.modes": {1},
    "axes.project": {1},
    "levels": {1},
    "view.edges": {1, 2},
    "limits": {0},
    "held.scores": {1},
}
"""Axes that may have any size here, by how a tensor's name ends."""


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return commissioned()[0]


@pytest.fixture(scope="module")
def content(model: SceneModel, tmp_path_factory: pytest.TempPathFactory) -> Content:
    path = tmp_path_factory.mktemp("model") / "site.model"
    save_model(model, path)
    return read_tensors(path, KIND)


@pytest.fixture
def names(content: Content) -> list[str]:
    """Those whose shapes are judged here; networks and moments have readers of their own."""
    others = ("odd.", "network.", "moments.")
    return [name for name in content.tensors if not name.startswith(others)]


def refusal(model: SceneModel, content: Content, changed: Mapping[str, Tensor]) -> str:
    """What is said of these tensors instead of the model's own; empty: they fit."""
    tensors = {**content.tensors, **changed}
    named = {
        f"relations.{one.of}-of-{'-'.join(map(str, one.given))}": (one.of, one.given)
        for one in model.together.relations
    }
    try:
        for number, stream in enumerate(model.streams):
            own = stream.extractor
            sizes = {"P": len(own.labels), "d": len(own.columns), "e": own.item_dims}
            require_stream_shapes(f"streams.{number}", tensors, sizes)
        require_scene_shapes(named, tensors)
    except ModelFileError as error:
        return error.message
    return ""


def grown(tensor: Tensor, axis: int) -> Tensor:
    return torch.cat([tensor, tensor.narrow(axis, 0, 1)], axis)


def test_a_file_with_a_misfit_is_refused_with_its_name_what_it_is_and_what_it_should_be(
    model: SceneModel, content: Content, tmp_path: Path
) -> None:
    path, name = tmp_path / "changed.model", "streams.0.density.normaliser.scale"
    wide = grown(content.tensors[name], 1)
    write_tensors(path, KIND, content.description, {**content.tensors, name: wide})
    with pytest.raises(ModelFileError) as failed:
        load_model(path)
    places, columns = content.tensors[name].shape
    shapes = f"is ({places}, {columns + 1}), expected ({places}, {columns})"
    assert str(failed.value).startswith(f"{path}: the shape of '{name}' {shapes} (")


def test_a_tensor_with_another_number_of_axes_is_named(
    model: SceneModel, content: Content, names: list[str]
) -> None:
    assert not refusal(model, content, {})
    for name in names:
        assert repr(name) in refusal(model, content, {name: content.tensors[name][None]}), name


def test_a_tensor_that_is_larger_than_what_belongs_to_it_is_refused(
    model: SceneModel, content: Content, names: list[str]
) -> None:
    for name in names:
        tensor = content.tensors[name]
        free = {axis for end, axes in FREE.items() if name.endswith(end) for axis in axes}
        for axis in range(tensor.ndim):
            if tensor.shape[axis]:
                told = refusal(model, content, {name: grown(tensor, axis)})
                assert bool(told) == (axis not in free), (name, axis, told)


def test_what_one_stream_says_of_another_has_the_size_of_both() -> None:
    sizes = {"a.target_mean": 2, "b.target_mean": 3, "c.target_mean": 4}
    tensors = {name: torch.zeros(size) for name, size in sizes.items()}
    tensors |= {"a.weights": torch.zeros(7, 2), "b.weights": torch.zeros(7, 3)}
    with pytest.raises(ModelFileError, match=r"'b.weights' is \(7, 3\), expected \(6, 3\)"):
        require_scene_shapes({"a": (0, (1, 2)), "b": (1, (0, 2)), "c": (2, (0,))}, tensors)
