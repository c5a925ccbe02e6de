"""One contract, every kind of encoder and every modality that it can encode."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from pipeline.core.errors import DependencyMissing
from pipeline.core.sample import Modality
from pipeline.core.window import SensorSlice, Slice
from pipeline.models.encoders.base import ENCODERS, Encoder, EncoderSettings
from tests.model_samples import (
    INFOS,
    one_thread,  # noqa: F401 - a fixture
    tiny_pretrained,
    usual,
)
from tests.requirements import require_module

pytestmark = pytest.mark.usefixtures("one_thread")

PRETRAINED = {Modality.VIDEO: "vit", Modality.AUDIO: "ast", Modality.TEXT: "bert"}


def modalities(kind: str) -> list[Modality]:
    try:
        settings = ENCODERS.settings(kind)
    except DependencyMissing:
        return list(PRETRAINED)  # the test then says what is missing
    assert issubclass(settings, EncoderSettings)
    return sorted(settings.modalities)


CASES = [(kind, modality) for kind in ENCODERS.kinds() for modality in modalities(kind)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pretrained")


class Rig:
    """An encoder of one kind for one modality, with something to encode."""

    def __init__(self, kind: str, modality: Modality, folder: Path) -> None:
        self.modality = modality
        options: dict[str, Any] = {"width": 24}
        if kind == "hf":
            require_module("transformers")
            path = folder / PRETRAINED[modality]
            options["model"] = str(path if path.exists() else tiny_pretrained(path.name, folder))
        self.settings = ENCODERS.settings(kind)(type=kind, **options)

    def build(self, seed: int = 0) -> Encoder:
        torch.manual_seed(seed)
        encoder = self.settings.build(INFOS[self.modality])
        assert isinstance(encoder, Encoder)
        return encoder

    def inputs(self, encoder: Encoder, count: int = 6) -> torch.Tensor:
        found = [encoder.prepare(usual(self.modality, seed)) for seed in range(count)]
        assert all(prepared is not None for prepared in found)
        return torch.from_numpy(np.stack([p for p in found if p is not None]))


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1].value}")
def rig(request: pytest.FixtureRequest, folder: Path) -> Rig:
    return Rig(*request.param, folder)


def test_there_is_an_encoder_for_every_modality():
    assert {modality for _, modality in CASES} == set(Modality)


def test_prepared_windows_have_the_shape_and_type_that_were_promised(rig):
    encoder = rig.build()
    prepared = encoder.prepare(usual(rig.modality, 0))
    assert prepared is not None
    assert prepared.shape == encoder.shape
    assert prepared.dtype == encoder.dtype


def test_preparing_gives_the_same_twice_and_leaves_the_slice_as_it_was(rig):
    encoder, part = rig.build(), usual(rig.modality, 3)
    before = copy.deepcopy(part)
    first, second = encoder.prepare(part), encoder.prepare(part)
    np.testing.assert_array_equal(first, second)
    assert same(part, before)


def test_too_little_seen_or_another_modality_is_not_encoded(rig):
    encoder = rig.build()
    part = usual(rig.modality, 0)
    assert encoder.prepare(with_coverage(part, 0.2)) is None
    other = Modality.TEXT if rig.modality is not Modality.TEXT else Modality.AUDIO
    assert encoder.prepare(usual(other, 0)) is None


def test_tokens_have_one_name_each_and_the_promised_width(rig):
    encoder = rig.build()
    inputs = rig.inputs(encoder)
    encoder.fit_scale(inputs)
    tokens = encoder(inputs)
    assert tokens.values.shape == (len(inputs), len(encoder.places), encoder.width)
    assert tokens.present.shape == tokens.values.shape[:2]
    assert tokens.present.dtype == torch.bool
    assert len(set(encoder.places)) == len(encoder.places)
    assert len(encoder.boxes) in (0, len(encoder.places))
    assert tokens.present.any(dim=1).all()


def test_nothing_comes_out_as_nan_whatever_is_missing(rig):
    encoder = rig.build()
    inputs = rig.inputs(encoder)
    if not inputs.is_floating_point():
        assert inputs.dtype == torch.uint8  # cannot be NaN; the model masks a missing stream
        return
    encoder.fit_scale(inputs)
    holes = inputs.clone()
    holes[0] = torch.nan
    spread = torch.rand(holes[1:4].shape, generator=torch.Generator().manual_seed(0))
    holes[1:4][spread < 0.6] = torch.nan
    tokens = encoder(holes)
    assert torch.isfinite(tokens.values).all()
    assert not tokens.present[0].any()
    assert (tokens.values[~tokens.present] == 0).all()
    tokens.values.sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_a_scale_can_be_learnt_from_windows_with_holes(rig):
    encoder = rig.build()
    inputs = rig.inputs(encoder)
    if not inputs.is_floating_point():
        return  # bytes have no holes
    holes = inputs.clone()
    holes[0] = torch.nan
    holes.flatten(1)[:, 0] = torch.nan
    encoder.fit_scale(holes)
    assert torch.isfinite(encoder(inputs).values).all()


def test_wild_numbers_stay_finite(rig):
    encoder = rig.build()
    inputs = rig.inputs(encoder)
    encoder.fit_scale(inputs)
    if inputs.is_floating_point() and rig.modality is not Modality.TEXT:
        inputs = inputs.clone()
        inputs[0] *= 1e18
        inputs[1] = torch.inf
    assert torch.isfinite(encoder(inputs).values).all()


def test_windows_of_a_batch_do_not_influence_each_other(rig):
    encoder = rig.build().eval()
    inputs = rig.inputs(encoder)
    encoder.fit_scale(inputs)
    together = encoder(inputs).values
    alone = torch.cat([encoder(inputs[i : i + 1]).values for i in range(len(inputs))])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_network(rig):
    first, second = rig.build(7), rig.build(7)
    inputs = rig.inputs(first)
    for encoder in (first, second):
        encoder.eval().fit_scale(inputs)
    assert torch.equal(first(inputs).values, second(inputs).values)


def test_a_gradient_reaches_every_trained_parameter(rig):
    encoder = rig.build()
    inputs = rig.inputs(encoder, 12)
    encoder.fit_scale(inputs)
    values = encoder(inputs).values
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
    (values * weights).sum().backward()
    trained = {n: p for n, p in encoder.named_parameters() if p.requires_grad}
    assert trained
    for name, parameter in trained.items():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_weights_and_scale_travel_in_a_state_dict(rig):
    first, second = rig.build(1), rig.build(2)
    inputs = rig.inputs(first)
    first.fit_scale(inputs)
    second.load_state_dict(load(save(dict(first.state_dict()))))
    with torch.no_grad():
        assert torch.equal(first.eval()(inputs).values, second.eval()(inputs).values)


def test_settings_travel_as_json(rig):
    again = type(rig.settings).model_validate_json(rig.settings.model_dump_json())
    assert again == rig.settings


def with_coverage(part: Slice, coverage: float) -> Slice:
    """The slice with less of it there; of readings, of each channel."""
    changed = copy.copy(part)
    object.__setattr__(changed, "coverage", coverage)
    if isinstance(part, SensorSlice):
        present = part.present.copy()
        present[round(coverage * len(present)) :] = False
        object.__setattr__(changed, "present", present)
    return changed


def same(left: Slice, right: Slice) -> bool:
    names = [name for name in type(left).__slots__ if name != "info"]
    pairs = [(getattr(left, name), getattr(right, name)) for name in names]
    return all(_equal(a, b) for a, b in pairs)


def _equal(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(itertools.starmap(_equal, zip(a, b, strict=True)))
    if hasattr(a, "data") and hasattr(b, "data"):
        return _equal(a.data, b.data)
    return a == b
