import numpy as np
import pytest

from pipeline.sources.synthetic.reel import Reel
from pipeline.sources.synthetic.settings import AnomalySettings, Kind, SiteSettings
from pipeline.sources.synthetic.whereabouts import Whereabouts

WIDE, HIGH = 160, 90


def site(kind: Kind | None, variant: str | None = None) -> SiteSettings:
    one = AnomalySettings(kind=kind, at_s=20.0, duration_s=6.0, variant=variant) if kind else None
    return SiteSettings(
        place=3, seed=5, size=(WIDE, HIGH), jpeg_quality=None, anomalies=(one,) if one else "none"
    )


@pytest.mark.parametrize(
    ("kind", "variant"), [(Kind.V, "crate"), (Kind.V, "ball"), (Kind.X1, None)]
)
def test_what_differs_in_the_picture_is_where_it_is_said_to_be(kind, variant):
    reel, plain = Reel(site(kind, variant)), Reel(site(None))
    (anomaly,) = reel.plan.between(0.0, 60.0)
    where = Whereabouts(reel.settings)
    middle = (anomaly.start_s + anomaly.end_s) / 2
    number = round(middle * reel.settings.fps)
    t_s = number / reel.settings.fps
    changed = np.abs(reel.frame(number).astype(int) - plain.frame(number)).max(axis=2) > 25
    rows, columns = np.nonzero(changed)
    assert len(rows) > 5
    box = where.between(anomaly, t_s, t_s)
    assert box is not None
    x, y = columns.mean() / WIDE, rows.mean() / HIGH
    assert box[0] - 0.03 <= x <= box[2] + 0.03
    assert box[1] - 0.05 <= y <= box[3] + 0.05


def test_over_a_span_the_box_holds_those_of_its_moments():
    reel = Reel(site(Kind.X1))
    (anomaly,) = reel.plan.between(0.0, 60.0)
    where = Whereabouts(reel.settings)
    begin, end = anomaly.start_s + 1.0, anomaly.start_s + 3.0
    whole = where.between(anomaly, begin, end)
    part = where.between(anomaly, begin + 1.0, begin + 1.0)
    assert whole is not None and part is not None
    assert whole[0] <= part[0] and whole[1] <= part[1]
    assert whole[2] >= part[2] and whole[3] >= part[3]


def test_what_is_not_there_or_not_in_the_picture_has_no_box():
    reel = Reel(site(Kind.X1))
    (anomaly,) = reel.plan.between(0.0, 60.0)
    where = Whereabouts(reel.settings)
    assert where.between(anomaly, anomaly.end_s + 1.0, anomaly.end_s + 2.0) is None
    (sound,) = Reel(site(Kind.A)).plan.between(0.0, 60.0)
    assert where.between(sound, sound.start_s, sound.end_s) is None
    (unseen,) = Reel(site(Kind.X2)).plan.between(0.0, 60.0)
    assert where.between(unseen, unseen.start_s, unseen.end_s) is None
