import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.core.sample import Modality, StreamInfo
from pipeline.models.fusion_model import FusionModel, FusionModelSettings
from pipeline.training.augment import (
    AudioChange,
    Augment,
    AugmentSettings,
    SensorChange,
    TextChange,
    VideoChange,
)
from tests.model_samples import (
    INFOS,
    one_thread,  # noqa: F401 - a fixture
    usual,
)

pytestmark = pytest.mark.usefixtures("one_thread")

WITHOUT_HIDING = AugmentSettings(
    video=VideoChange(hide=0.0),
    audio=AudioChange(hide_bands=0.0, hide_steps=0.0),
    sensor=SensorChange(hide=0.0),
    text=TextChange(hide=0.0),
)
NOTHING = AugmentSettings(
    video=VideoChange(gain=0, offset=0, shift_cells=0, hide=0, noise=0),
    audio=AudioChange(gain_db=0, hide_bands=0, hide_steps=0, floor_db=-200),
    sensor=SensorChange(jitter=0, scale=0, hide=0),
    text=TextChange(hide=0),
)


@pytest.fixture(scope="module")
def model() -> FusionModel:
    torch.manual_seed(0)
    return FusionModel(FusionModelSettings(), tuple(INFOS.values()))


@pytest.fixture(scope="module")
def prepared(model: FusionModel) -> dict[Modality, Tensor]:
    """Windows of each stream with a hole in them; the encoders know their scale."""
    found = {}
    for modality, info in INFOS.items():
        encoder = model.encoder(info.name)
        values = torch.from_numpy(
            np.stack([encoder.prepare(usual(modality, seed)) for seed in range(12)])
        )
        encoder.fit_scale(values)
        if modality is not Modality.TEXT:  # which has holes of its own
            values[3, ..., :2] = torch.nan
        values[5] = torch.nan
        found[modality] = values
    return found


def changed(model, prepared, modality, settings=None, seed=0) -> Tensor:
    augment = Augment(settings or AugmentSettings(), model)
    generator = torch.Generator().manual_seed(seed)
    return augment.stream(INFOS[modality].name, prepared[modality], generator)


@pytest.mark.parametrize("modality", INFOS)
def test_shape_type_and_what_is_missing_stay(model, prepared, modality):
    before = prepared[modality].clone()
    after = changed(model, prepared, modality, WITHOUT_HIDING)
    assert after.shape == before.shape
    assert after.dtype == before.dtype
    assert torch.equal(after.isnan(), before.isnan())
    torch.testing.assert_close(prepared[modality], before, equal_nan=True)  # not changed in place
    if modality is not Modality.TEXT:
        seen = ~before.isnan()
        assert (after[seen] != before[seen]).float().mean() > 0.9


@pytest.mark.parametrize("modality", INFOS)
def test_hiding_makes_a_part_missing_and_brings_nothing_back(model, prepared, modality):
    before, after = prepared[modality], changed(model, prepared, modality)
    assert after.shape == before.shape
    assert after.dtype == before.dtype
    assert after[before.isnan()].isnan().all()
    hidden = after.isnan().sum() - before.isnan().sum()
    assert 0.01 < hidden / (~before.isnan()).sum() < 0.35


@pytest.mark.parametrize("modality", INFOS)
def test_the_same_seed_changes_alike_and_another_otherwise(model, prepared, modality):
    first = changed(model, prepared, modality)
    torch.testing.assert_close(changed(model, prepared, modality), first, equal_nan=True)
    assert not torch.equal(changed(model, prepared, modality, seed=1).nan_to_num(-9.0),
                           first.nan_to_num(-9.0))  # fmt: skip


@pytest.mark.parametrize("modality", INFOS)
def test_with_all_changes_at_nothing_a_window_stays_as_it_is(model, prepared, modality):
    after = changed(model, prepared, modality, NOTHING)
    torch.testing.assert_close(after, prepared[modality], equal_nan=True, rtol=1e-5, atol=1e-4)


def test_what_differs_from_the_usual_moves_by_a_cell_and_the_usual_stays(model, prepared):
    encoder = model.encoder("cam")
    centre = encoder.scale.centre
    window = centre.repeat(200, encoder.shape[0], 1, 1, 1)
    window[:, :, 4, 3, 5] += 100.0  # motion in one cell
    settings = AugmentSettings(video=VideoChange(gain=0, offset=0, hide=0, noise=0))
    after = Augment(settings, model).stream("cam", window, torch.Generator().manual_seed(0))
    where = ((after - centre)[:, 0, 4] > 50).nonzero()
    assert len(where) == 200
    places = {(int(row), int(column)) for _, row, column in where}
    assert places == {(row, column) for row in (2, 3, 4) for column in (4, 5, 6)}
    assert (after - centre).abs().flatten(1).sum(dim=1).sub(400).abs().max() < 0.1


def test_a_gain_moves_all_levels_alike_and_the_noise_floor_only_raises(model, prepared):
    loud = prepared[Modality.AUDIO][:3]
    only_gain = NOTHING.model_copy(update={"audio": NOTHING.audio.model_copy(
        update={"gain_db": 3.0})})  # fmt: skip
    change = Augment(only_gain, model).stream("mic", loud, torch.Generator().manual_seed(0)) - loud
    assert change.flatten(1).std(dim=1).max() < 1e-3
    assert 0.1 < change.abs().max() <= 3.0
    floor = NOTHING.model_copy(update={"audio": NOTHING.audio.model_copy(
        update={"floor_db": 10.0})})  # fmt: skip
    raised = Augment(floor, model).stream("mic", loud, torch.Generator().manual_seed(0)) - loud
    assert raised.min() >= -1e-4
    assert raised.max() > 3.0


def test_a_channel_stays_however_many_are_hidden(model, prepared):
    settings = AugmentSettings(sensor=SensorChange(hide=0.99))
    after = changed(model, prepared, Modality.SENSOR, settings)
    seen = (~after.isnan()).flatten(1, 2).any(dim=1).sum(dim=1)
    assert seen[[0, 1, 2, 4]].tolist() == [1, 1, 1, 1]


def test_the_course_of_a_sensor_stays_its_level_about_its_mean(model, prepared):
    before = prepared[Modality.SENSOR][:3].double()
    after = changed(model, prepared, Modality.SENSOR, WITHOUT_HIDING)[:3].double()
    level, course = (after - before).unbind(1)[:2]
    torch.testing.assert_close(level[..., 1], course[..., 1], rtol=0, atol=1e-4)


def test_a_line_keeps_one_of_its_pieces(model, prepared):
    after = changed(model, prepared, Modality.TEXT, AugmentSettings(text=TextChange(hide=0.99)))
    before = prepared[Modality.TEXT]
    said = (~before[..., 2:].isnan()).any(dim=-1)
    assert torch.equal((~after[..., 2:].isnan()).any(dim=-1), said)
    assert (~after[..., 2:].isnan()).sum() < 0.2 * (~before[..., 2:].isnan()).sum()
    torch.testing.assert_close(after[..., :2], before[..., :2], equal_nan=True)


def test_windows_of_an_encoder_that_it_does_not_know_stay_as_they_are():
    info = StreamInfo("plc", Modality.SENSOR, 10.0, (2,))
    settings = FusionModelSettings.model_validate({"encoders": {"sensor": "frozen_features"}})
    augment = AugmentSettings().build(FusionModel(settings, (info,)))
    values = torch.randn(4, 2, 6)
    after = augment.stream("plc", values, torch.Generator().manual_seed(0))
    assert torch.equal(after, values)
    assert after is not values
