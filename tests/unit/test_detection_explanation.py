from dataclasses import replace

import msgspec
import numpy as np
import pytest

from nodes.replay import replay
from pipeline.core.event import Account, Event, Phase, Severity, from_json, to_json
from pipeline.core.explanation import Basis, Explanation
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.events import event_of, summary
from pipeline.detection.explanation import Scored, explain
from pipeline.detection.explanation_channels import unexpected_channels
from pipeline.detection.explanation_places import band, worst_region
from pipeline.detection.score import NOTE_BELOW_P
from pipeline.detection.scorer import Scorer
from pipeline.detection.transition import anomaly_score
from tests.backtest_site import loaded, record
from tests.toy_site import HOP_NS, RATE, Site, commissioned

LIVE = 5000
PUMPING, RESTING = LIVE + 4, LIVE + 28  # the pump changes its pace every 24 hops


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer({"hall": commissioned()[0]}, "cpu")


def wrong(kind: str, **changes):
    return Site(seed=1, wrong=kind, wrong_from=LIVE, wrong_to=LIVE + 60, **changes)


def explained(scorer, window):
    score = scorer.score([window])[0]
    assert score.p <= NOTE_BELOW_P
    assert score.explanation is not None
    return score, score.explanation


def near_the_object(box) -> bool:
    """It is drawn at rows 6 to 16 of 60 and columns 62 to 72 of 100; cells are a tenth."""
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    return 0.52 <= x <= 0.82 and y <= 26 / 60


def swapped(*streams: str):
    """A window in which some streams show another time."""
    window, other = Site(seed=1).window(PUMPING), Site(seed=1).window(RESTING)
    mixed = {**window.slices, **{name: other.slices[name] for name in streams}}
    return replace(window, slices=mixed)


@pytest.mark.parametrize(
    ("kind", "stream"), [("object", "cam"), ("sound", "mic"), ("sensor", "plc"), ("text", "log")]
)
def test_what_one_stream_shows_is_single_and_counts_for_it(scorer, kind, stream):
    score, said = explained(scorer, wrong(kind).window(LIVE + 10))
    assert said.kind is Basis.SINGLE
    assert said.pair == ()
    assert max(said.contributions, key=said.contributions.get) == stream
    assert said.contributions[stream] > 0.7 * anomaly_score(score.p)


def test_nine_in_ten_name_the_right_stream_and_eight_in_ten_the_place(scorer):
    wanted = {"object": "cam", "sound": "mic", "sensor": "plc"}
    named, placed = [], []
    for seed in (1, 2, 3):
        for kind, stream in wanted.items():
            site = Site(seed, kind, LIVE, LIVE + 60)
            for score in scorer.score([site.window(LIVE + at) for at in (6, 17, 29)]):
                said = score.explanation
                if said is None:
                    continue
                named.append(max(said.contributions, key=said.contributions.get) == stream)
                if kind == "object":
                    placed += [near_the_object(box) for box in said.boxes]
    assert len(named) >= 24 and np.mean(named) >= 0.9
    assert len(placed) >= 8 and np.mean(placed) >= 0.8


def test_contributions_of_all_streams_that_were_seen_sum_up_to_the_score(scorer):
    for kind in ("object", "sound", "sensor", "text"):
        score, said = explained(scorer, wrong(kind).window(LIVE + 10))
        assert set(said.contributions) == {"cam", "mic", "plc", "log"}
        assert sum(said.contributions.values()) == pytest.approx(anomaly_score(score.p), abs=1e-3)
        assert not said.estimated


def test_missing_streams_contribute_nothing_and_are_not_told(scorer):
    site = wrong("object", missing=frozenset({"mic", "log"}))
    _, said = explained(scorer, site.window(LIVE + 10))
    assert set(said.contributions) == {"cam", "plc"}
    assert said.bands == ()


def test_usual_windows_are_not_explained(scorer):
    scores = scorer.score(list(Site(seed=1).windows(LIVE, 40)))
    assert {s.explanation is None for s in scores} >= {True}
    for score in scores:
        assert (score.explanation is not None) == (score.p <= NOTE_BELOW_P)


def test_whatever_an_alarm_begins_with_is_explained():
    """With a budget of many alarms it may be one window in ten."""
    scorer = Scorer({"hall": commissioned()[0]}, "cpu")
    threshold = 1.0
    scorer.explain("hall", threshold)
    scores = scorer.score(list(Site(seed=1).windows(LIVE, 120)))
    for score in scores:
        assert (score.explanation is not None) == (anomaly_score(score.p) >= threshold)
    faint = [s for s in scores if s.explanation and min(s.detectors.values()) > NOTE_BELOW_P]
    assert faint
    for score in faint:
        rarest = min(score.detectors, key=score.detectors.get)
        assert list(score.notes) == [rarest]
        told = f"The streams together are unusual, most of all: {score.notes[rarest]}"
        assert summary(score).startswith(told)
        alone = replace(score, detectors={rarest: score.detectors[rarest]})
        assert summary(alone).lower().startswith(score.notes[rarest].lower())


def test_every_event_of_a_large_budget_says_why(tmp_path):
    recorded = record(tmp_path / "recordings", 60, [])
    events = replay(recorded, loaded(tmp_path, budget="600/hour")).events
    told = [e for e in events if not e.health]
    assert min(e.score for e in told) < anomaly_score(NOTE_BELOW_P)
    assert all(e.explanation is not None for e in told)
    assert all(any(m.note for m in e.modalities.values()) for e in told)


def test_the_box_is_around_what_is_new(scorer):
    _, said = explained(scorer, wrong("object").window(LIVE + 10))
    (box,), (shown,) = said.boxes, said.maps
    assert (box.stream, shown.stream) == ("cam", "cam")
    assert len(shown.levels) == shown.rows * shown.cols
    # It is drawn at rows 6 to 16 of 60 and columns 62 to 72 of 100.
    assert box.top <= 8 / 60 and box.bottom >= 14 / 60 and box.bottom <= 30 / 60
    assert box.left <= 64 / 100 and box.right >= 70 / 100 and box.right - box.left < 0.4
    assert box.level == pytest.approx(max(shown.levels), abs=0.06)


def test_the_band_is_that_of_the_tone_and_when_it_sounds(scorer):
    _, said = explained(scorer, wrong("sound").window(LIVE + 10))
    (heard,) = said.bands
    assert heard.stream == "mic"
    assert heard.low_hz < 2600 < heard.high_hz < 4000
    assert heard.seen_db > heard.high_db
    # The tone sounds in the second quarter of every half second.
    assert 0.0 <= heard.from_s < heard.to_s <= 2.0
    middle = (heard.from_s + heard.to_s) / 2 % 0.5
    assert 0.05 < middle < 0.35 or heard.to_s - heard.from_s > 0.5


def test_the_channel_is_told_with_what_it_usually_does(scorer):
    _, said = explained(scorer, wrong("sensor").window(LIVE + 10))
    worst = said.channels[0]
    assert (worst.stream, worst.name, worst.given) == ("plc", "heat", ())
    assert worst.low < worst.high < worst.seen
    assert 34 < worst.seen < 40


def test_streams_of_different_times_do_not_belong_together(scorer):
    score, said = explained(scorer, swapped("plc"))
    assert said.kind is Basis.BETWEEN
    assert set(said.pair) == {"plc", "mic"}
    assert said.contributions["plc"] > 0 < said.contributions["mic"]
    assert "not fit" in score.notes["between"]
    assert "current seen" in score.notes["between"]


def test_expected_is_what_the_other_stream_leads_one_to_expect(scorer):
    _, said = explained(scorer, swapped("plc"))
    channel = next(c for c in said.channels if c.name == "current")
    before = Site(seed=1).window(PUMPING).slices["plc"].values[:, 0].mean()
    assert "mic" in channel.given
    assert channel.low < before < channel.high
    assert not channel.low < channel.seen < channel.high


def test_channels_that_are_as_the_others_say_are_not_told(scorer):
    model, window = commissioned()[0], Site(seed=1).window(PUMPING)
    features = model.features(window)
    stream = next(s for s in model.streams if s.info.name == "plc")
    told = unexpected_channels(model, features, stream, ("plc", "mic"))
    assert "current" not in {c.name for c in told if c.what == "value"}


def test_what_others_lead_one_to_expect_lies_about_the_level_of_the_last_hours():
    model, window = commissioned()[0], Site(seed=1).window(PUMPING)
    stream = next(s for s in model.streams if s.info.name == "plc")
    features = model.features(window)
    plc = features["plc"]
    higher = np.array([5.0, *[0.0] * (len(plc.places) - 1)])  # of the current
    places = plc.places.copy()
    places[0, 0] += 20.0
    told = [
        next(c for c in found if (c.name, c.what) == ("current", "value"))
        for found in (
            unexpected_channels(model, {**features, "plc": one}, stream, ("plc", "mic"))
            for one in (replace(plc, places=places), replace(plc, places=places, shift=higher))
        )
    ]
    assert told[1].seen == told[0].seen
    assert told[1].low == pytest.approx(told[0].low + 5.0, abs=0.01)
    assert told[1].high == pytest.approx(told[0].high + 5.0, abs=0.01)


def test_an_explanation_does_not_depend_on_what_is_scored_with_it(scorer):
    windows = list(wrong("object").windows(LIVE, 6))
    alone = [scorer.score([w])[0].explanation for w in windows]
    together = [s.explanation for s in scorer.score(windows[::-1])][::-1]
    assert msgspec.json.encode(together) == msgspec.json.encode(alone)


def test_nothing_is_judged_again_for_a_usual_window():
    model = commissioned()[0]
    window = Site(seed=1).window(LIVE)
    calls = []
    verdict = (
        Scorer({"hall": model}, "cpu")
        ._scenes["hall"]
        .calibration.judge(np.full(len(model.names), np.nan))
    )
    scored = Scored(window, {}, {}, np.full(len(model.names), np.nan), verdict)
    assert explain(model, scored, calls.append) is None
    assert calls == []


def test_regions_keep_apart_what_does_not_touch():
    levels = np.zeros((5, 8))
    levels[1, 1], levels[2, 2], levels[0, 0] = 4.0, 2.5, 1.0
    levels[4, 6:] = 3.9
    assert np.argwhere(worst_region(levels)).tolist() == [[1, 1], [2, 2]]


def test_a_usual_sound_has_no_band_and_a_steady_one_has_it_all_along():
    stream = next(s for s in commissioned()[0].streams if s.info.name == "mic")
    part = Site(seed=1).window(LIVE + 12).slices["mic"]
    wide = replace(stream, usual=np.stack([np.full((40, 3), -200.0), np.full((40, 3), 50.0)]))
    assert band(wide, part) is None
    levels = np.zeros(40)
    levels[20] = 3.0
    worst = band(wide, part, levels)
    assert worst is not None
    assert (worst.low_hz, worst.high_hz) == pytest.approx(stream.extractor.edges_hz[20], abs=0.1)
    quiet = stream.usual.copy()
    quiet[1, :, 2] = 50.0
    hum = 0.03 * np.sin(2 * np.pi * 1000 * np.arange(len(part.samples)) / RATE)[:, None]
    louder = (part.samples + hum).astype(np.float32)
    steady = band(replace(stream, usual=quiet), replace(part, samples=louder))
    assert steady is not None
    assert (steady.from_s, steady.to_s) == (0.0, 2.0)
    assert steady.low_hz < 1000 < steady.high_hz


def test_sound_that_was_not_heard_does_not_move_the_times():
    stream = next(s for s in commissioned()[0].streams if s.info.name == "mic")
    part = wrong("sound").window(LIVE + 10).slices["mic"]
    heard = part.present.copy()
    heard[: RATE // 2] = False
    found = band(stream, replace(part, present=heard))
    assert found is not None
    assert found.from_s >= 0.5


class _Old(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it was read before explanations."""

    id: str
    revision: int
    summary: str


def raised(scorer) -> tuple[Event, Alarm]:
    rules = AlarmSettings(budget="6/hour")
    alarm = Alarm(rules, "hall", 2.0, HOP_NS)
    scores = scorer.score(list(wrong("object").windows(LIVE, 8)))
    made = [t for s in scores for t in alarm.update(s)]
    return event_of(made[0], {"cam": Account()}), alarm


def test_an_event_carries_the_explanation_of_its_peak_through_json(scorer):
    event, _ = raised(scorer)
    assert event.phase is Phase.RAISED
    assert event.explanation is not None
    assert event.explanation.kind is Basis.SINGLE
    assert from_json(to_json(event)) == event
    assert to_json(raised(scorer)[0]) == to_json(event), "a replay gives the same bytes"


def test_events_of_before_can_be_read_and_those_of_now_by_who_does_not_know_it(scorer):
    event, _ = raised(scorer)
    assert msgspec.json.decode(to_json(event), type=_Old).summary == event.summary
    plain = {"id": "e", "revision": 0, "scene": "s", "alarm": "a", "phase": "raised"}
    rest = {"severity": Severity.LOW, "start_ns": 0, "end_ns": 1, "p": 0.1, "score": 1.0}
    old = msgspec.json.encode({**plain, **rest, "summary": ""})
    assert from_json(old).explanation is None


def test_the_alarm_remembers_the_explanation_over_a_restart(scorer):
    event, alarm = raised(scorer)
    again = Alarm(AlarmSettings(budget="6/hour"), "hall", 2.0, HOP_NS).restore(alarm.state())
    (cleared,) = again.finish()
    assert isinstance(cleared.peak.explanation, Explanation)
    assert cleared.peak.explanation.boxes[0].stream == "cam"
    assert event.id == cleared.id
