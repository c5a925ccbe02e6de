from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.sample import Modality
from pipeline.core.window import AudioSlice, SensorSlice, VideoSlice
from tests.benchmarks import fusion
from tests.benchmarks.synthetic_sites import Part, Site, recorded

SITE = Site(3, 11, 36, (80, 50))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sites")


def test_the_benchmark_runs_to_its_tables_and_its_json(cache, tmp_path, capsys):
    out = tmp_path / "out.json"
    site = ["--sites", "3,11", "--minutes", "0.6", "--size", "80x50", "--cache", str(cache)]
    names = ["--variants", "sensor-alone,sensor-missing"]
    fusion.main([*site, *names, "--json", str(out)])
    printed = capsys.readouterr().out
    assert "found at 6/hour" in printed and "found at 2/hour" in printed
    for row in ("sensor-alone", "sensor-missing", "sensor:site-sensors", "random", "all ones"):
        assert f"\n{row} " in printed
    alone, missing, *means = json.loads(out.read_text("utf-8"))["outcomes"]
    assert [one["variant"] for one in means] == ["sensor-alone", "sensor-missing"]
    detectors = [row["name"] for row in alone["rows"] if row["role"] == "detector"]
    assert detectors == ["sensor:site-sensors"]
    seen = {row["name"] for row in missing["rows"]}
    assert "sensor:site-sensors" not in seen and {"video:site-camera", "random"} <= seen
    ones = next(row for row in missing["rows"] if row["name"] == "all ones")
    assert set(ones["kinds"].values()) == {0.5}
    assert alone["alarms"][0]["found"]["all"]["labels"] == 3


def test_a_part_is_rendered_once_and_a_changed_one_refused(cache):
    told: list[str] = []
    made = recorded(SITE, Part.WRONG, cache, told.append)
    assert recorded(SITE, Part.WRONG, cache, told.append).labels == made.labels
    assert len(told) <= 1
    kept = cache / SITE.name / "wrong.s.npy"
    readings = np.load(kept)
    np.save(kept, readings + 1)
    with pytest.raises(ValueError, match="not what the site shows"):
        recorded(SITE, Part.WRONG, cache, told.append)
    np.save(kept, readings)


def test_what_is_missing_is_masked_and_the_last_windows_can_be_had_alone(cache):
    part = recorded(SITE, Part.WRONG, cache, lambda _: None)
    last = list(part.windows(missing={Modality.VIDEO, Modality.SENSOR}, last_s=5))
    whole = list(part.windows(having={Modality.AUDIO}))
    assert len(last) == 10
    assert [w.index for w in last] == [w.index for w in whole[-10:]]
    camera, microphone, sensors = last[0].slices.values()
    assert isinstance(camera, VideoSlice) and camera.frames == (None,) * 20
    assert isinstance(sensors, SensorSlice) and not sensors.present.any()
    heard = whole[-10].slices["site-microphone"]
    assert isinstance(heard, AudioSlice) and isinstance(microphone, AudioSlice)
    assert np.array_equal(heard.samples, microphone.samples) and heard.coverage == 1.0


def test_an_unknown_variant_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit):
        fusion.main(["--variants", "best"])
    assert "there are default, late" in capsys.readouterr().err
