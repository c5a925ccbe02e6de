"""What each kind of encoder sees and can learn: which of its places is not as usual."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.core.sample import Modality
from pipeline.models.encoders.base import ENCODERS, Encoder
from pipeline.models.encoders.text import TextEncoderSettings
from tests.model_samples import (
    HEIGHT,
    INFOS,
    WIDTH,
    audio,
    one_thread,  # noqa: F401 - a fixture
    pictures,
    readings,
    sensor,
    some_lines,
    sound,
    text,
    train_tokens,
    video,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def odd_windows(kind: str, encoder: Encoder, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Prepared windows, two in three with one odd place, and the odd places ``(n, N)``."""
    random = np.random.default_rng(seed)
    inputs, odd = [], torch.zeros(count, len(encoder.places))
    for i in range(count):
        place = None if i % 3 == 0 else int(random.integers(len(encoder.places)))
        prepared = encoder.prepare(_PARTS[kind](encoder, random, place))
        assert prepared is not None
        inputs.append(prepared)
        if place is not None:
            odd[i, place] = 1
    return torch.from_numpy(np.stack(inputs)), odd


def _picture_part(encoder: Encoder, random: np.random.Generator, place: int | None):
    if place is None:
        return video(list(pictures(random)))
    top, left, bottom, right = encoder.boxes[place]
    # Well inside the area, so that the dot does not tremble into the next.
    row = random.uniform(top * HEIGHT + 3, bottom * HEIGHT - 7)
    column = random.uniform(left * WIDTH + 3, right * WIDTH - 9)
    return video(list(pictures(random, (int(row), int(column)))))


def _sound_part(encoder: Encoder, random: np.random.Generator, place: int | None):
    if place is None:
        return audio(sound(random))
    low, high = (float(x) for x in encoder.places[place].removesuffix(" Hz").split(" to "))
    middle = max((low + high) / 2, 60.0)
    return audio(sound(random, middle, random.uniform(0.1, 1.7)))


def _sensor_part(encoder: Encoder, random: np.random.Generator, place: int | None):
    values = readings(random, place)
    values[random.random(values.shape) < 0.1] = np.nan
    return sensor(values)


_PARTS = {
    "video": _picture_part,
    "audio": _sound_part,
    "sensor_gru": _sensor_part,
    "sensor_transformer": _sensor_part,
    "frozen_features": _sensor_part,
}
_STREAMS = {
    "video": (Modality.VIDEO, {"area_rows": 2, "area_columns": 3}),
    "audio": (Modality.AUDIO, {"group_bands": 8}),
    "sensor_gru": (Modality.SENSOR, {}),
    "sensor_transformer": (Modality.SENSOR, {}),
    "frozen_features": (Modality.SENSOR, {}),
}


@pytest.mark.parametrize("kind", sorted(_STREAMS))
def test_an_encoder_learns_to_point_at_the_place_that_is_odd(kind):
    modality, options = _STREAMS[kind]
    torch.manual_seed(0)
    encoder = ENCODERS.settings(kind)(type=kind, width=24, **options).build(INFOS[modality])
    inputs, odd = odd_windows(kind, encoder, 180, 1)
    encoder.fit_scale(inputs[::3])
    head = nn.Linear(24, 1)
    train_tokens(encoder, head, inputs, odd)
    inputs, odd = odd_windows(kind, encoder, 90, 2)
    with torch.no_grad():
        score = head(encoder.eval()(inputs).values)[..., 0]
    pointed = score.argmax(dim=1) == odd.argmax(dim=1)
    assert pointed[odd.any(dim=1)].float().mean() > 0.85
    worst, normal = score.amax(dim=1), ~odd.any(dim=1)
    assert auroc(worst[normal], worst[~normal]) > 0.9


def auroc(normal: Tensor, odd: Tensor) -> float:
    return float((odd[:, None] > normal[None]).float().mean())


def test_the_text_encoder_learns_which_line_is_an_error_and_hears_silence():
    torch.manual_seed(0)
    encoder = TextEncoderSettings(width=24, lines=6, buckets=256).build(INFOS[Modality.TEXT])
    head = nn.Linear(24, 1)

    def windows(count: int, seed: int) -> tuple[Tensor, Tensor]:
        random = np.random.default_rng(seed)
        inputs, wanted = [], torch.zeros(count, 7)
        for i in range(count):
            lines = list(some_lines(random))
            if i % 2:
                at = int(random.integers(len(lines) + 1))
                lines.insert(at, f"motor {random.integers(9)} failed with error E{i}")
                wanted[i, 1 + at] = 1
            wanted[i, 0] = float(not lines)
            inputs.append(encoder.prepare(text(tuple(lines))))
        return torch.from_numpy(np.stack(inputs)), wanted

    train_tokens(encoder, head, *windows(120, 1))
    inputs, wanted = windows(80, 2)
    tokens = encoder(inputs)
    said = head(tokens.values)[..., 0] > 0
    assert (said == (wanted > 0.5))[tokens.present].float().mean() > 0.97
    assert wanted[:, 0].any()
