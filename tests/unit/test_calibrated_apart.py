"""Calibration by normal that was recorded apart: what differs from time to time is normal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nodes import compare
from nodes.backtest.plan import side_of
from nodes.cli import USAGE
from pipeline.config import load_deployment
from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.errors import ConfigError, ModelError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import Window
from pipeline.detection.scorer import Scorer, calibration_of
from pipeline.models.checkpoint import load_model, save_model
from pipeline.models.odd_settings import OddSettings
from pipeline.models.settings import DetectorSettings, Evidence
from pipeline.recording.writer import RecordingWriter
from pipeline.training.commissioning import commission
from tests.benchmarks.real.series import SCENE, Table
from tests.command_line import fusewatch
from tests.toy_site import LOG, MICROPHONE, SENSORS, Site

S = 1_000_000_000
TABLE = Table(2, 1.0, 4)
QUICK = DetectorSettings(block_s=10.0, place_memory=200, memory=200)
FAR = 10_000
"""Rows from the beginning of one recording to that of the next."""


def recordings(count: int, seed: int) -> Iterator[list[Window]]:
    """Recordings of 150 windows, in each of which a machine runs at a pace of its own."""
    random = np.random.default_rng(seed)
    for number in range(count):
        pace, phase = random.uniform(0.3, 2.5, 2), random.uniform(0, 6, 2)
        at = np.arange(150 + TABLE.rows - 1)[:, None]
        rows = np.sin(at * pace + phase) + random.normal(0, 0.05, (len(at), 2))
        yield list(TABLE.windows(rows, number * FAR))


def together(some: list[list[Window]]) -> list[Window]:
    return [window for one in some for window in one]


def rare(scorer: Scorer, windows: list[Window]) -> float:
    """Share of windows with a p below 1 %."""
    return float(np.mean([score.p < 0.01 for score in scorer.score(windows)]))


def test_what_differs_as_times_do_is_normal_and_what_differs_more_is_not():
    made = list(recordings(16, seed=5))
    learnt, apart, fresh = together(made[:4]), together(made[4:10]), together(made[10:])
    strange = np.random.default_rng(1).normal(8.0, 0.1, (60, 2))
    shares = []
    for calibration in (None, apart):
        model, _ = commission(SCENE, learnt, QUICK, calibration=calibration)
        scorer = Scorer({SCENE: model}, "cpu")
        shares.append(rare(scorer, fresh))
        assert rare(scorer, list(TABLE.windows(strange, 99 * FAR))) > 0.9
    by_itself, by_others = shares
    assert by_itself > 0.1
    assert by_others < 0.02


def test_the_detector_that_goes_live_calibrates_itself():
    """What is held are its own scores of these windows, as it would have told them live."""
    site = Site(streams=(SENSORS,))
    apart = list(site.windows(200, 100))
    model, report = commission("hall", site.windows(0, 150), QUICK, calibration=apart)
    plain, alone = commission("hall", site.windows(0, 150), QUICK)
    assert (report.windows, report.calibrated_s, alone.calibrated_s) == (150, 50.0, None)
    assert model.held.end_ns.tolist() == [window.end_ns for window in apart]
    live = np.stack(Scorer({"hall": plain}, "cpu").raw_scores(apart))
    np.testing.assert_array_equal(model.held.scores, live)
    levels = calibration_of(model).held_scores
    assert 0.2 < np.median(levels) < 0.4
    assert report.preview.rows


def test_networks_for_missing_streams_are_calibrated_by_what_misses_none():
    """They judge the same of what is left, whether the rest is there or not."""
    site = Site(streams=(LOG, MICROPHONE, SENSORS))
    odd = OddSettings(least_s=60.0, run_s=3.0, steps=2, members=1, spares=1)
    settings = QUICK.model_copy(update={"evidence": (Evidence.ODD,), "odd": odd})
    model, _ = commission("hall", site.windows(0, 240), settings, calibration=site.windows(200, 60))
    assert model.odd is not None
    assert not model.odd.spares_always
    silent = list(replace(site, missing=frozenset({"log"})).windows(200, 60))
    live = np.stack(Scorer({"hall": model}, "cpu").raw_scores(silent))
    asked = np.flatnonzero(np.isfinite(live[-1]))
    names = [model.names[column] for column in asked]
    assert [name for name in names if name.startswith("odd/")] == ["odd/mic|plc", "odd/plc|mic"]
    np.testing.assert_allclose(model.held.scores[:, asked], live[:, asked], rtol=1e-4)


def test_a_part_of_a_minute_calibrates_nothing():
    site = Site(streams=(SENSORS,))
    with pytest.raises(ModelError, match="59 windows are too few to calibrate"):
        commission("hall", site.windows(0, 150), QUICK, calibration=site.windows(200, 59))


@pytest.mark.parametrize(
    ("shown", "blind"), [([{"plc"}], "audio:mic"), ([{"plc"}, {"mic"}], "between")]
)
def test_no_detector_is_left_without_a_calibration(shown: list[set[str]], blind: str):
    """It would have said nothing ever again, and nobody would have noticed."""
    site = Site(streams=(SENSORS, MICROPHONE))
    settings = QUICK.model_copy(update={"evidence": (Evidence.BETWEEN,)})
    apart = [
        replace(one, slices={name: one.slices[name] for name in shown[number % len(shown)]})
        for number, one in enumerate(site.windows(200, 100))
    ]
    with pytest.raises(ModelError, match="too few") as told:
        commission("hall", site.windows(0, 150), settings, calibration=apart)
    assert told.value.where.startswith(blind)


def test_normal_of_other_streams_is_refused():
    other = Table(3, 1.0, 4).windows(np.zeros((100, 3)), FAR)
    with pytest.raises(ModelError, match="channel"):
        commission(SCENE, next(recordings(1, 0)), QUICK, calibration=other)


def record(path: Path, begin_s: int, seed: int) -> None:
    """A minute of readings, ten a second."""
    random = np.random.default_rng(seed)
    info = StreamInfo("plc", Modality.SENSOR, 10.0, (2,), "float64", "", ("speed", "heat"))
    with RecordingWriter(path) as writer:
        writer.write(StreamOpened(begin_s * S, "n", info))
        for at in range(600):
            stamp_ns = begin_s * S + at * S // 10
            sample = Sample("plc", at, stamp_ns, random.normal(0, 1, 2), Encoding.FLOAT)
            writer.write(SampleArrived(stamp_ns, "n", sample))


CONFIG = """
name: d
nodes: {n: {sources: [{type: csv_file, path: none.csv, stream: plc}]}}
scenes: {s: {streams: [plc], model: s.model}}
"""


def test_it_is_asked_for_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("d.yaml").write_text(CONFIG)
    for number, name in enumerate(("late", "learnt", "early")):
        record(Path(f"{name}.mcap"), 1_700_009_000 - 900 * number, number)
    commission = "commission", "d.yaml", "-r", "learnt.mcap", "--to", 50
    assert fusewatch(*commission, "--calibrate", "late.mcap", "--calibrate", "early.mcap") == 0
    assert "calibrated by 1.9 minutes that were not learnt" in capsys.readouterr().out
    end_ns = load_model(Path("s.model")).held.end_ns
    assert (np.diff(end_ns) > 0).all()  # the earlier one first
    assert end_ns[0] < 1_700_008_000 * S < 1_700_009_000 * S < end_ns[-1]
    assert fusewatch(*commission, "--calibrate", tmp_path / "learnt.mcap") == ConfigError.exit_code
    assert "is learnt already" in capsys.readouterr().err
    assert fusewatch("commission", "d.yaml", "--live", "--calibrate", "late.mcap") == USAGE


def test_what_it_learnt_is_known_beside_what_calibrates_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Judged on what it learnt it was not told, as only the time that calibrates was kept."""
    monkeypatch.chdir(tmp_path)
    Path("d.yaml").write_text(CONFIG)
    Path("l.json").write_text('[{"start_s": 20, "end_s": 25, "kind": "a"}]')
    for begin_s, name in enumerate(("learnt", "apart", "new")):
        record(Path(f"{name}.mcap"), 1_700_000_000 + 900 * begin_s, begin_s)
    learnt = "commission", "d.yaml", "-r", "learnt.mcap", "--calibrate", "apart.mcap"
    assert fusewatch(*learnt) == 0
    capsys.readouterr()
    for name, told in (("learnt", True), ("apart", True), ("new", False)):
        judged = "-c", "d.yaml", "-r", f"{name}.mcap", "-l", "l.json", "-o", f"{name}-report"
        assert fusewatch("evaluate", *judged) == 0
        assert ("the model learnt from" in " ".join(capsys.readouterr().out.split())) is told
    covered = side_of("new", "site", load_deployment(Path("d.yaml"))).learnt["s"]
    assert [start_ns // S for start_ns, _ in covered.spans] == [1_700_000_001, 1_700_000_901]


def test_a_model_that_nothing_calibrates_apart_keeps_one_time_alone(tmp_path: Path):
    site = Site(streams=(SENSORS,))
    model, _ = commission("hall", site.windows(0, 150), QUICK)
    save_model(model, tmp_path / "m.model")
    read = load_model(tmp_path / "m.model")
    assert read.learnt_end_ns is None
    np.testing.assert_array_equal(read.known_end_ns, model.held.end_ns)


def test_detectors_that_are_compared_are_calibrated_by_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("d.yaml").write_text(CONFIG)
    Path("quick.yaml").write_text("memory: 100")
    given: list[object] = []

    def seen(*_: object, calibrate: object, **others: object) -> None:
        given.append(calibrate)
        raise ModelError("that is enough")

    monkeypatch.setattr(compare, "commission_scene", seen)
    files = "--normal", "n.mcap", "--recording", "r.mcap", "--labels", "l.json", "-o", "out"
    apart = "--calibrate", "one.mcap", "--calibrate", "other.mcap"
    code = fusewatch("compare", "quick.yaml", "--config", "d.yaml", *files, *apart)
    assert code == ModelError.exit_code
    assert given == [[Path("one.mcap"), Path("other.mcap")]]
