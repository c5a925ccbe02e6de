import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor, nn

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import SensorSlice, Window
from pipeline.models.contexts.base import CONTEXTS
from pipeline.models.encoders.sensor_transformer import SensorTransformerSettings
from pipeline.models.fusion_model import FusionModel, FusionModelSettings
from pipeline.models.fusions.base import FUSIONS
from pipeline.models.fusions.softmax_gate import SoftmaxGateSettings
from tests.model_samples import (
    INFOS,
    one_thread,  # noqa: F401 - a fixture
    usual,
    window,
)

pytestmark = pytest.mark.usefixtures("one_thread")

STREAMS = tuple(INFOS.values())


def built(seed: int = 0, **options: object) -> FusionModel:
    torch.manual_seed(seed)
    return FusionModel(FusionModelSettings.model_validate(options), STREAMS)


def whole(seed: int) -> Window:
    return window({modality: usual(modality, seed) for modality in INFOS}, seed)


def test_a_window_goes_all_the_way():
    model = built()
    batch = model.batch([model.prepare(whole(seed)) for seed in range(6)])
    model.fit_scale(batch.inputs)
    z = model.embed(*batch)
    assert z.shape == (6, 4, model.width)
    features = model.fuse(z.reshape(2, 3, 4, -1), batch.present.reshape(2, 3, 4))
    assert features.shape == (2, 3, model.features)
    rows = {name: values.unflatten(0, (2, 3)) for name, values in batch.inputs.items()}
    torch.testing.assert_close(model(rows, batch.present.reshape(2, 3, 4)), features)


def test_a_missing_stream_is_zero_in_z_and_changes_nothing_else():
    model = built()
    windows = [model.prepare(whole(seed)) for seed in range(4)]
    full = model.batch(windows)
    without = [{k: v for k, v in w.items() if k != "mic"} for w in windows]
    part = model.batch(without)
    assert part.present.tolist() == [[True, False, True, True]] * 4
    z, missing = model.embed(*full), model.embed(*part)
    assert (missing[:, 1] == 0).all()
    torch.testing.assert_close(missing[:, [0, 2, 3]], z[:, [0, 2, 3]])
    unnamed = {name: values for name, values in part.inputs.items() if name != "mic"}
    assert torch.equal(model.embed(unnamed, part.present), missing)
    wild = torch.where(part.present[..., None], z, 1e9)
    assert torch.equal(
        model.fuse(missing[None], part.present[None]), model.fuse(wild[None], part.present[None])
    )


def test_a_window_in_which_nothing_was_seen_is_finite():
    model = built()
    batch = model.batch([{}, model.prepare(whole(0))])
    features = model({k: v[None] for k, v in batch.inputs.items()}, batch.present[None])
    assert torch.isfinite(features).all()


def test_a_stream_seen_too_little_is_left_out_of_what_is_prepared():
    model = built()
    slices = {modality: usual(modality, 0) for modality in INFOS}
    sensor = slices[Modality.SENSOR]
    assert isinstance(sensor, SensorSlice)
    nothing = np.full_like(sensor.values, np.nan)
    slices[Modality.SENSOR] = SensorSlice(
        sensor.info, sensor.grid_ns, nothing, np.isfinite(nothing), 0.0
    )
    assert set(model.prepare(window(slices))) == {"cam", "mic", "log"}


def test_the_default_for_a_camera_a_microphone_and_eight_sensors_is_small():
    names = tuple(f"s{i}" for i in range(8))
    plc = StreamInfo("plc", Modality.SENSOR, 10.0, (8,), channels=names)
    cam = StreamInfo("cam", Modality.VIDEO, 10.0, (360, 640, 3))
    mic = StreamInfo("mic", Modality.AUDIO, 16_000.0, (1,))
    model = FusionModel(FusionModelSettings(), (cam, mic, plc))
    assert 200_000 < sum(p.numel() for p in model.parameters()) < 350_000


def test_names_of_streams_may_hold_what_names_of_modules_may_not():
    info = StreamInfo("site.hall-1/plc", Modality.SENSOR, 10.0, (2,))
    model = FusionModel(FusionModelSettings(), (info,))
    assert load(save(dict(model.state_dict()))).keys() == model.state_dict().keys()


def test_weights_travel_in_a_state_dict_and_settings_as_json():
    options = {
        "encoders": {"sensor": {"type": "sensor_transformer", "layers": 1}},
        "streams": {"log": "frozen_features"},
        "fusion": "cross_attention",
        "context": {"type": "transformer", "hidden": 32},
        "heads": {"fault": {"type": "classification", "classes": ["no", "yes"]}, "odd": "anomaly"},
        "joint": {"learned": True},
    }
    first = built(1, **options)
    settings = FusionModelSettings.model_validate_json(first.settings.model_dump_json())
    assert settings == first.settings
    second = FusionModel(settings, STREAMS)
    batch = first.batch([first.prepare(whole(seed)) for seed in range(3)])
    first.fit_scale(batch.inputs)
    second.load_state_dict(load(save(dict(first.state_dict()))))
    rows = {name: values[None] for name, values in batch.inputs.items()}
    for model in (first, second):
        model.eval()
    features = [model(rows, batch.present[None])[0] for model in (first, second)]
    assert torch.equal(*features)
    for name in first.head_names:
        told = [model.head(name).predict(features[0]) for model in (first, second)]
        assert torch.equal(*told)


def test_the_name_of_a_kind_stands_for_its_defaults():
    settings = FusionModelSettings.model_validate({"fusion": "softmax_gate"})
    assert settings.fusion == SoftmaxGateSettings()
    sensors = FusionModelSettings(encoders={Modality.SENSOR: SensorTransformerSettings(layers=1)})
    assert sensors.encoder(INFOS[Modality.SENSOR]) == SensorTransformerSettings(layers=1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fusion": "concatt"}, "did you mean 'concat'"),
        ({"fusion": {"hidden": 3}}, "'type' is missing; write one of: add, alpha_gate"),
        ({"fusion": {"type": "concat", "hiden": 3}}, "hiden"),
        ({"context": 7}, "context"),
        ({"heads": {"x": {"type": "classification"}}}, "classes"),
        ({"encoders": {"smell": "video"}}, "smell"),
    ],
)
def test_what_is_wrong_with_settings_is_said(options, says):
    with pytest.raises(ValidationError, match=says):
        FusionModelSettings.model_validate(options)


def test_an_encoder_that_cannot_see_its_stream_is_refused():
    with pytest.raises(ModelError, match="log: the encoder 'audio' cannot see text"):
        built(streams={"log": "audio"})


def test_a_weight_for_a_head_that_does_not_exist_is_refused():
    with pytest.raises(ModelError, match="speed"):
        built(joint={"weights": {"speed": 1.0}})


def test_a_gradient_reaches_every_parameter_of_the_whole():
    model = built()
    batch = model.batch([model.prepare(whole(seed)) for seed in range(8)])
    model.fit_scale(batch.inputs)
    features = model.fuse(model.embed(*batch).reshape(2, 4, 4, -1), batch.present.reshape(2, 4, 4))
    (features * torch.randn(features.shape)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("fusion", FUSIONS.kinds())
@pytest.mark.parametrize("context", CONTEXTS.kinds())
def test_every_fusion_goes_with_every_context(fusion, context):
    torch.manual_seed(0)
    sensors = [StreamInfo(f"s{i}", Modality.SENSOR, 10.0, (2,)) for i in range(3)]
    settings = FusionModelSettings.model_validate({"fusion": fusion, "context": context})
    model = FusionModel(settings, sensors)
    inputs = {info.name: torch.randn(2, 3, 3, 20, 2) for info in sensors}
    present = torch.rand(2, 3, 3) < 0.7
    assert model(inputs, present).shape == (2, 3, model.features)


def test_a_whole_model_learns_whether_two_sensors_have_the_same_cause():
    """Two streams each swing with a hidden cause; in half of the windows one is another's."""
    torch.manual_seed(0)
    infos = [StreamInfo(name, Modality.SENSOR, 10.0, (2,)) for name in ("a", "b")]
    head = {"type": "classification", "classes": ["together", "apart"]}
    options = {"context": "none", "heads": {"odd": head}, "width": 32}
    model = FusionModel(FusionModelSettings.model_validate(options), infos)
    inputs, present, apart = causes(model, infos, 600)
    model.fit_scale(inputs)
    learn(model, inputs, present, apart, slice(0, 450))
    model.eval()
    with torch.no_grad():
        features = model.fuse(model.embed(inputs, present)[:, None], present[:, None])[:, 0]
    said = model.head("odd").predict(features).argmax(dim=1)
    assert (said == apart)[450:].float().mean() > 0.85


def causes(
    model: FusionModel, infos: list[StreamInfo], count: int
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    random = np.random.default_rng(0)
    apart = np.arange(count) % 2
    pairs = np.repeat(random.uniform(-1, 1, (count, 1)), 2, axis=1)
    pairs[:, 1] += apart * np.sign(-pairs[:, 0]) * random.uniform(0.6, 1.2, count)
    grid = np.arange(20) * 100_000_000
    prepared = []
    for cause in pairs:
        slices = {}
        for info, size in zip(infos, cause, strict=True):
            swing = size * np.sin(np.arange(20) / 3)[:, None] * [1.0, -2.0]
            values = swing + 0.1 * random.normal(size=(20, 2))
            slices[info.name] = SensorSlice(info, grid, values, np.ones((20, 2), np.bool_), 1.0)
        prepared.append(model.prepare(Window("hall", 0, 0, 1, slices)))
    inputs, present = model.batch(prepared)
    return inputs, present, torch.from_numpy(apart)


def learn(
    model: FusionModel, inputs: dict[str, Tensor], present: Tensor, apart: Tensor, rows: slice
) -> None:
    steps = torch.optim.Adam(model.parameters(), 3e-3)
    inputs = {name: values[rows] for name, values in inputs.items()}
    head: nn.Module = model.head("odd")
    for _ in range(150):
        steps.zero_grad()
        chosen = torch.randperm(rows.stop)[:64]
        part = {name: values[chosen] for name, values in inputs.items()}
        z = model.embed(part, present[rows][chosen])
        features = model.fuse(z[:, None], present[rows][chosen][:, None])[:, 0]
        loss = model.joint_loss({"odd": head.loss(features, apart[rows][chosen])})
        loss.backward()
        steps.step()
        if loss < 0.1:
            break
