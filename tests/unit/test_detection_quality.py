"""What a stream that sees badly does to scores, events and metrics, on the toy site."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from prometheus_client import CollectorRegistry

from nodes.fusion_metrics import FusionMetrics
from pipeline.core.event import Phase, Severity, from_json, to_json
from pipeline.detection.events import event_of, summary
from pipeline.detection.outcome import Outcome
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import Scorer, calibration_of
from pipeline.detection.transition import Transition, anomaly_score
from pipeline.models.quality import Quality
from tests import spoiled
from tests.spoiled import spoil
from tests.toy_site import Site, commissioned

LIVE = 5000
SITE = Site(seed=1)
OWN = {"cam": "video:cam", "mic": "audio:mic", "plc": "sensor:plc"}
BAD = {
    "dark": ("cam", spoiled.dark),
    "covered": ("cam", spoiled.covered),
    "frozen": ("cam", spoiled.frozen),
    "clipped": ("mic", spoiled.clipped),
    "silent": ("mic", spoiled.silent),
    "stuck (current, heat)": ("plc", lambda part: spoiled.stuck(part, slice(None))),
}


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer({"hall": commissioned()[0]}, "cpu")


def test_normal_is_not_degraded(scorer):
    assert all(not s.degraded for s in scorer.score(list(SITE.windows(LIVE, 40))))


@pytest.mark.parametrize("why", list(BAD))
def test_a_stream_that_sees_badly_is_named_with_the_reason(scorer, why):
    stream, how = BAD[why]
    score = scorer.score([spoil(SITE.window(LIVE), stream, how)])[0]
    assert score.degraded == {stream: why}
    assert score.missing == ()


@pytest.mark.parametrize("why", ["dark", "covered", "silent"])
def test_what_is_blinded_does_not_fall_silent(scorer, why):
    """To be darker than ever is unusual in itself: somebody may have covered the camera."""
    stream, how = BAD[why]
    score = scorer.score([spoil(SITE.window(LIVE), stream, how)])[0]
    assert score.detectors[OWN[stream]] < 1e-3
    assert score.p < 1e-2


def test_one_stuck_channel_is_found_as_ever(scorer):
    windows = [spoil(w, "plc", lambda p: spoiled.stuck(p, 1)) for w in SITE.windows(LIVE, 10)]
    model = commissioned()[0]
    for window, score in zip(windows, scorer.score(windows), strict=True):
        assert score.degraded == {"plc": "stuck (heat)"}
        weights = model.exponents(model.quality(window, model.features(window)))
        own = [w for n, w in zip(model.names, weights, strict=True) if n.startswith("sensor:plc")]
        assert own == [1.0] * len(own)
        assert score.detectors["sensor:plc"] < 1e-2
        assert "heat" in score.notes["sensor:plc"]


def test_a_frozen_camera_has_no_vote_in_what_the_streams_show_together():
    model = commissioned()[0]
    calibration = calibration_of(model)
    without: list[float] = []
    for window in SITE.windows(LIVE, 40):
        bad = spoil(window, "cam", spoiled.frozen)
        features = model.features(bad)
        scores = model.score([features], [0], model.past(), torch.device("cpu"))[0][0]
        weights = model.exponents(model.quality(bad, features))
        verdict = calibration.judge(scores, weights)
        assert "cam" not in verdict.parts["between"] or verdict.detectors["between"] == 1.0
        without.append(calibration.judge(scores).detectors["between"])
        assert verdict.detectors["between"] >= without[-1]
    assert min(without) < 0.05  # it would have spoken


def test_weights_follow_the_streams_that_a_sub_detector_needs():
    model = commissioned()[0]
    quality = {"cam": Quality(0.0, "frozen"), "mic": Quality(1.0), "plc": Quality(0.2)}
    weights = dict(zip(model.names, model.exponents(quality), strict=True))
    assert {weights[n] for n in weights if n.startswith("video:cam/")} == {0.5}
    assert {weights[n] for n in weights if n.startswith("sensor:plc/")} == {0.7}
    assert {weights[n] for n in weights if n.startswith(("audio:mic/", "text:log/"))} == {1.0}
    between = {n.partition("/")[2]: w for n, w in weights.items() if n.startswith("between/")}
    assert {w for pair, w in between.items() if "cam" in pair} == {0.0}
    assert between["plc|mic"] == between["log|plc"] == 0.2
    assert between["mic|log"] == 1.0
    assert between["log"] == 0.0  # given all others


def test_streams_that_see_well_leave_every_number_as_it_was():
    model = commissioned()[0]
    assert model.exponents({name: Quality(1.0) for name in OWN}) is None
    assert model.exponents({}) is None


def event_about(score: WindowScore):
    phase = Transition(
        "id", 0, "hall", "anomaly", Phase.RAISED, Severity.LOW, score.start_ns, score.end_ns,
        score.p, anomaly_score(score.p), score,
    )  # fmt: skip
    return event_of(phase, {})


def test_the_event_says_what_could_not_be_seen(scorer):
    window = spoil(replace(SITE, missing=frozenset({"plc"})).window(LIVE), "cam", spoiled.dark)
    event = event_about(scorer.score([window])[0])
    assert event.incomplete == ("plc",)
    assert event.degraded == {"cam": "dark"}
    assert event.summary.endswith("; not seen: plc; cam was dark.")
    assert from_json(to_json(event)).degraded == {"cam": "dark"}


def test_an_event_of_an_older_node_has_nothing_degraded(scorer):
    event = event_about(scorer.score([SITE.window(LIVE)])[0])
    old = to_json(event).replace(b'"degraded":{},', b"")
    assert old != to_json(event)
    assert from_json(old) == event


def test_the_summary_names_every_degraded_stream():
    score = WindowScore("hall", 1, 0, 1, 1e-3, degraded={"mic": "silent", "cam": "frozen"})
    assert summary(score).endswith("; cam was frozen; mic was silent.")


def test_a_gauge_tells_which_streams_are_degraded_now():
    registry = CollectorRegistry()
    metrics = FusionMetrics(registry)
    window = SITE.window(LIVE)

    def shown(degraded: dict[str, str]) -> dict[str, float | None]:
        score = WindowScore("hall", 1, window.start_ns, window.end_ns, 0.5, degraded=degraded)
        metrics.turn(Outcome(scores=[score], windows=[window]), window.end_ns)
        return {
            stream: registry.get_sample_value(
                "fusewatch_stream_degraded", {"scene": "hall", "stream": stream}
            )
            for stream in window.slices
        }

    assert shown({"cam": "dark"}) == {"cam": 1, "mic": 0, "plc": 0, "log": 0}
    assert shown({}) == dict.fromkeys(window.slices, 0)


def test_weights_can_only_take_evidence_away():
    calibration = calibration_of(commissioned()[0])
    random = np.random.default_rng(3)
    rows = calibration_rows(random, 60)
    for row in rows:
        full, less = calibration.judge(row), calibration.judge(row, random.random(len(row)))
        assert less.p >= full.p
        assert all(less.detectors[d] >= p for d, p in full.detectors.items())


def calibration_rows(random: np.random.Generator, count: int) -> np.ndarray:
    """Held-out scores drawn from different windows per sub-detector, stretched at random."""
    held = commissioned()[0].held.scores
    picked = np.stack([random.choice(column, count) for column in held.T], axis=1)
    return picked + np.abs(picked) * random.exponential(0.3, picked.shape)
