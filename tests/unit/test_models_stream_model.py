from __future__ import annotations

import numpy as np
import torch

from pipeline.core.sample import Modality, StreamInfo
from pipeline.models.features import Extractor
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_density import RawScores
from pipeline.models.stream_model import Surprise, make_extractor, sub_names, sub_scores


def sensors(count: int) -> Extractor:
    info = StreamInfo("plc", Modality.SENSOR, 10.0, (count,), "float64")
    return make_extractor(info, DetectorSettings())


def local(*surprise: float) -> float:
    none = torch.zeros(1, dtype=torch.float64)
    raw = RawScores(*([none] * 8))
    return float(sub_scores(Surprise(np.array([surprise]), raw), sensors(len(surprise)))[0, 0])


def test_a_few_channels_are_judged_together_and_one_or_many_are_not():
    few = [name.removeprefix("sensor:plc/") for name in sub_names("sensor:plc", sensors(8))]
    assert few == ["local", "mahalanobis", "level"]
    assert sub_names("sensor:plc", sensors(1)) == ("sensor:plc/local",)
    assert sub_names("sensor:plc", sensors(40)) == ("sensor:plc/local",)


def test_one_channel_is_heard_among_many_and_many_are_heard_more_than_one():
    quiet = [0.3] * 39
    assert local(5.0, *quiet) > 0.95 * 5.0 > 4 * local(0.3, *quiet)
    assert local(*[1.5] * 40) > local(3.0, *quiet) > local(1.5, *quiet)
