"""The rules by which the benchmark of explanations calls one right."""

import numpy as np
import pytest

from pipeline.core.explanation import Basis, Box, Explanation, PlaceMap
from pipeline.training.labels import Label
from tests.benchmarks.explanations import Judged, is_named, is_near, table

MODALITIES = {"cam": "video", "mic": "audio", "plc": "sensor"}


def said(*order: str, pair: tuple[str, ...] = ()) -> Explanation:
    shares = {name: float(-place) for place, name in enumerate(order)}
    return Explanation(
        kind=Basis.BETWEEN if pair else Basis.SINGLE, contributions=shares, pair=pair
    )


def label(kind: str, *modalities: str) -> Label:
    return Label(1.0, 5.0, kind, modalities)


@pytest.mark.parametrize(
    ("truth", "told", "right"),
    [
        (label("V", "video"), said("cam", "mic"), True),
        (label("V", "video"), said("mic", "cam"), False),
        (label("S", "sensor"), said("plc", "cam", pair=("plc", "cam")), True),
        (label("X1", "audio", "video"), said("cam", "mic", pair=("cam", "mic")), True),
        (label("X1", "audio", "video"), said("cam", "plc", pair=("cam", "plc")), False),
        (label("X1", "audio", "video"), said("cam", "mic"), True),
        (label("X2", "audio", "video"), said("plc", "mic"), False),
        (label("X4", "sensor", "video", "audio"), said("plc", pair=("plc", "cam")), True),
        (label("X4", "sensor", "video", "audio"), said("cam", pair=("cam", "mic")), False),
        (label("X4", "sensor", "video", "audio"), said("cam", "plc"), False),
        (label("X3", "sensor", "video"), said("plc", pair=("mic", "plc")), False),
    ],
)
def test_naming_counts_when_it_is_what_the_label_says(truth, told, right):
    assert is_named(truth, told, MODALITIES) is right


def boxed(top: float, left: float, bottom: float, right: float) -> Explanation:
    return Explanation(
        kind=Basis.SINGLE,
        contributions={"cam": 3.0},
        maps=(PlaceMap("cam", 10, 10, (0.0,) * 100),),
        boxes=(Box("cam", top, left, bottom, right, 4.0),),
    )


def test_a_box_is_near_when_its_middle_is_within_a_cell_of_the_true_one():
    assert is_near(boxed(0.1, 0.1, 0.3, 0.3), (0.1, 0.1, 0.3, 0.3))
    assert is_near(boxed(0.1, 0.2, 0.3, 0.56), (0.1, 0.1, 0.3, 0.3))
    assert not is_near(boxed(0.1, 0.3, 0.3, 0.6), (0.1, 0.1, 0.3, 0.3))
    assert not is_near(boxed(0.5, 0.1, 0.7, 0.3), (0.1, 0.1, 0.3, 0.3))
    assert not is_near(said("cam"), (0.0, 0.0, 1.0, 1.0))


def test_the_table_counts_what_was_right():
    truth = label("V", "video")
    area = (0.1, 0.1, 0.3, 0.3)
    good = Judged(truth, boxed(0.1, 0.1, 0.3, 0.3), True, True, area, True)
    bad = Judged(truth, None, False, False, area, False)
    rows = {
        line.split()[0]: line.split() for line in table([good, bad, good, good]).splitlines()[1:]
    }
    assert rows["V"][1:5] == ["4", "75.0%", "75.0%", "0%"]
    assert rows["V"][5] == "3/4"
    assert float(rows["V"][6]) == pytest.approx(np.round(0.2 * 0.2, 2))
    assert rows["target"] == ["target", "90%", "80%"]
