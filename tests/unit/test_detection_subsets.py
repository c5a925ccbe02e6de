"""Every subset of three streams is calibrated by itself, and loses what it must and no more."""

import itertools
from functools import cache

import numpy as np
import pytest
import torch

from pipeline.detection import subsets
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.calibration import Calibration, poisson_interval
from pipeline.detection.peaks import peaks_of
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import calibration_of
from pipeline.training.commissioning import commission
from tests.toy_site import CAMERA, FIRST, HOP_NS, LENGTH_NS, MICROPHONE, SENSORS, WINDOWS, Site

STREAMS = (CAMERA.name, MICROPHONE.name, SENSORS.name)
SUBSETS = [c for n in (3, 2, 1) for c in itertools.combinations(STREAMS, n)]
SHOWS = {"object": "cam", "sound": "mic", "sensor": "plc"}
LIVE, FRESH = 5000, 400
PAIRS = list(itertools.permutations(STREAMS, 2))
NAMES = (
    *(f"kind:{s}/{what}" for s in STREAMS for what in ("local", "wide", "knn")),
    *(f"between/{s}" for s in STREAMS),
    *(f"between/{a}|{b}" for a, b in PAIRS),
    *(f"odd/{s}" for s in STREAMS),
    *(f"odd/{a}|{b}" for a, b in PAIRS),
)


def ids(streams) -> str:
    return "+".join(streams)


def seen_by(name: str, streams) -> bool:
    """Whether a sub-detector sees when only these streams are there."""
    detector, _, what = name.partition("/")
    if detector not in ("between", "odd"):
        return detector.partition(":")[2] in streams
    return set(what.split("|")) <= set(streams) if "|" in what else len(streams) == len(STREAMS)


def drawn(count: int, seed: int, streams=STREAMS) -> np.ndarray:
    """Scores that have something in common, as those of one world have."""
    random = np.random.default_rng(seed)
    shared = random.exponential(size=(count, 1))
    scores = random.exponential(size=(count, len(NAMES))) + 0.5 * shared
    scores[:, [not seen_by(name, streams) for name in NAMES]] = np.nan
    return scores


@pytest.mark.parametrize("streams", SUBSETS, ids=ids)
def test_single_and_merged_p_values_of_any_subset_are_uniform(streams):
    count = 2000
    known = Calibration(NAMES, drawn(count, 0), np.arange(1, count + 1) * HOP_NS, HOP_NS)
    verdicts = [known.judge(row) for row in drawn(count, 1, streams)]
    tables = {"merged": [v.p for v in verdicts]}
    tables |= {d: [v.detectors[d] for v in verdicts] for d in verdicts[0].detectors}
    expected = {f"kind:{s}" for s in streams} | ({"between", "odd"} if len(streams) > 1 else set())
    assert set(tables) == {"merged"} | expected
    for name, p in tables.items():
        for level in (0.05, 0.01):
            # Both the normal that was learnt and the fresh one are a sample: 4 sigma.
            bound = 4 * (2 * level * (1 - level) / count) ** 0.5
            assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=bound), name


@pytest.mark.parametrize("streams", SUBSETS, ids=ids)
def test_only_the_largest_set_of_streams_that_is_there_counts(streams):
    known = Calibration(NAMES, drawn(200, 0), np.arange(1, 201) * HOP_NS, HOP_NS)
    row = drawn(1, 1, streams)[0]
    sets = [(n, name) for n, name in enumerate(NAMES) if name.startswith("odd") and row[n] >= 0]
    pairs = [n for n, name in sets if "|" in name] if len(streams) == len(STREAMS) else []
    other = row.copy()
    other[pairs] += 20.0
    assert known.judge(other) == known.judge(row)
    assert ("odd" in known.judge(row).detectors) == (len(streams) > 1)


@pytest.mark.parametrize("streams", SUBSETS, ids=ids)
def test_in_the_held_out_normal_no_subset_peaks_more_often_than_all_streams(streams):
    count = 1000
    table = drawn(count, 0)
    known = Calibration(NAMES, table, np.arange(1, count + 1) * HOP_NS, HOP_NS)
    table[:, [not seen_by(name, streams) for name in NAMES]] = np.nan
    levels = -np.log10([known.judge(row).p for row in table])
    own = peaks_of(levels, known.held_end_ns, HOP_NS, 1.0, 2.0)
    most = known.peaks(1.0, 2.0)
    for level in most:
        assert (own > level + 1e-9).sum() <= (most > level + 1e-9).sum()
    # It is lowered by no more than that: all streams together peak about as often.
    assert (own > 0.7 * most[20]).sum() >= 10


def test_in_what_order_sub_detectors_are_listed_makes_no_difference():
    table, rows, ends = drawn(300, 0), drawn(5, 1), np.arange(1, 301) * HOP_NS
    known = Calibration(NAMES, table, ends, HOP_NS)
    turned = Calibration(NAMES[::-1], table[:, ::-1], ends, HOP_NS)
    for row in (*rows, *drawn(5, 2, STREAMS[:2])):
        one, other = known.judge(row), turned.judge(row[::-1])
        assert other.p == pytest.approx(one.p)
        assert other.detectors == pytest.approx(one.detectors)


def test_what_was_forgotten_is_calibrated_again_to_the_bit(monkeypatch):
    rows = [drawn(1, seed, streams)[0] for seed, streams in enumerate(SUBSETS * 2)]
    ends = np.arange(1, 201) * HOP_NS
    every = Calibration(NAMES, drawn(200, 0), ends, HOP_NS)
    monkeypatch.setattr(subsets, "_KEPT", 2)
    few = Calibration(NAMES, drawn(200, 0), ends, HOP_NS)
    assert [few.judge(row) for row in rows] == [every.judge(row) for row in rows]


def test_a_set_of_three_streams_counts_before_one_of_two():
    names = ("kind:a/x", "odd/a|b", "odd/a|b+c")
    table = np.random.default_rng(0).exponential(size=(200, len(names)))
    known = Calibration(names, table, np.arange(1, 201) * HOP_NS, HOP_NS)
    row, pair, three = np.ones((3, len(names)))
    pair[1], three[2] = 30.0, 30.0
    assert known.judge(pair) == known.judge(row)
    assert known.judge(three).p < known.judge(row).p


@pytest.mark.parametrize("streams", SUBSETS, ids=ids)
def test_what_is_worth_more_is_heard_sooner_and_fresh_normal_is_no_rarer_for_it(streams):
    count, worth = 2000, {"odd": 1.5, "kind": 0.8}
    table, ends = drawn(count, 0), np.arange(1, count + 1) * HOP_NS
    alike, told = (Calibration(NAMES, table, ends, HOP_NS, w) for w in ({}, worth))
    fresh = drawn(count, 1, streams)
    for level in (0.05, 0.01):
        bound = 4 * (2 * level * (1 - level) / count) ** 0.5
        share = np.mean([told.judge(row).p <= level for row in fresh])
        assert share == pytest.approx(level, abs=bound)
    odd, own = fresh[:100].copy(), fresh[:100].copy()
    odd[:, [n for n, name in enumerate(NAMES) if name.startswith("odd")]] += 9.0
    own[:, [n for n, name in enumerate(NAMES) if name.startswith("kind:cam")]] += 9.0
    ratios = [
        np.median([told.judge(row).p / alike.judge(row).p for row in rows]) for rows in (odd, own)
    ]
    if len(streams) > 1:
        assert ratios[0] < 0.9
    if CAMERA.name in streams and len(streams) > 1:
        assert ratios[1] > 1.1


def rumbling(count: int, seed: int) -> np.ndarray:
    """Scores of a stream whose unusual stays for seconds, and of one that flickers."""
    random = np.random.default_rng(seed)
    slow = np.convolve(random.normal(size=count + 7), np.ones(8) / 8**0.5, "valid")
    return np.stack([slow, random.normal(size=count)], axis=1)


@pytest.mark.parametrize("away", [0, 1])
def test_fresh_normal_stays_within_the_budget_though_its_unusual_lasts_longer(away):
    count, rate_hz = 7200, 40 / 3600
    ends = np.arange(1, count + 1) * HOP_NS
    known = Calibration(("kind:a/x", "kind:b/x"), rumbling(count, 0), ends, HOP_NS)
    threshold = known.budget(rate_hz, min_duration_s=1.0, merge_s=2.0).threshold
    fresh = rumbling(count, 1)
    fresh[:, away] = np.nan
    levels = -np.log10([known.judge(row).p for row in fresh])
    alarms = (peaks_of(levels, ends, HOP_NS, 1.0, 2.0) >= threshold).sum()
    assert alarms <= poisson_interval(rate_hz * count * HOP_NS / 1e9)[1]


@cache
def learnt():
    """A model of the three streams, and the features of fresh normal."""
    torch.set_num_threads(1)
    site = Site(streams=(CAMERA, MICROPHONE, SENSORS))
    model, _ = commission("hall", site.windows(0, WINDOWS))
    return model, calibration_of(model), [model.features(w) for w in site.windows(LIVE, FRESH)]


def judged(features, streams):
    model, calibration, _ = learnt()
    kept = [{k: v for k, v in one.items() if k in streams} for one in features]
    return [
        calibration.judge(row)
        for row in model.score(kept, range(len(kept)), model.past(), torch.device("cpu"))[0]
    ]


@cache
def fresh(streams):
    return judged(learnt()[2], streams)


@pytest.mark.parametrize("streams", SUBSETS, ids=ids)
def test_fresh_normal_of_a_site_keeps_the_rates_whatever_is_missing(streams):
    verdicts = fresh(streams)
    tables = {"merged": np.array([v.p for v in verdicts])}
    tables |= {d: np.array([v.detectors[d] for v in verdicts]) for d in verdicts[0].detectors}
    for name, p in tables.items():
        for level in (0.05, 0.01):
            # Windows overlap fourfold: so many times fewer of them tell something new.
            independent = len(p) * HOP_NS // LENGTH_NS
            sigma = (level * (1 - level) / independent) ** 0.5
            assert (p <= level).mean() <= level + 3 * sigma, (name, level)
        # In most windows there is no thing at all, which is as usual as can be.
        assert 0.1 < np.median(p) < (1.01 if name.startswith("things") else 0.9), name


@pytest.mark.parametrize("streams", SUBSETS, ids=ids)
def test_no_subset_raises_more_false_alarms_than_the_budget_lets(streams):
    rules = AlarmSettings(budget="60/hour")
    budget = learnt()[1].budget(
        rules.false_alarms_hz, min_duration_s=rules.min_duration_s, merge_s=rules.clear_after_s
    )
    alarm = Alarm(rules, "hall", budget.threshold, HOP_NS)
    raised = 0
    for number, verdict in enumerate(fresh(streams)):
        end_ns = (FIRST + number) * HOP_NS + LENGTH_NS
        score = WindowScore("hall", FIRST + number, end_ns - LENGTH_NS, end_ns, verdict.p)
        raised += sum(t.phase.value == "raised" for t in alarm.update(score))
    expected = rules.false_alarms_hz * FRESH * HOP_NS / 1e9
    assert raised <= poisson_interval(expected)[1]


@pytest.mark.parametrize("streams", SUBSETS, ids=ids)
def test_a_missing_stream_loses_only_what_it_alone_could_show(streams):
    model, _, _ = learnt()
    for wrong, shown_by in SHOWS.items():
        site = Site(0, wrong, LIVE, LIVE + 60, streams=(CAMERA, MICROPHONE, SENSORS))
        features = [model.features(w) for w in site.windows(LIVE + 4, 8)]
        found = np.median([v.p for v in judged(features, streams)])
        whole = np.median([v.p for v in judged(features, STREAMS)])
        if shown_by in streams:
            assert found < 1e-3
            assert np.log10(found) < 0.7 * max(np.log10(whole), -12)  # as sure as p can be
        else:
            assert found > 0.01
