"""``fusewatch compare`` on a machine whose hum follows its load, but not always."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace as Space

import numpy as np
import pytest
from rich.console import Console

from nodes.commands.compare import tell
from nodes.shipped import shipped_config
from pipeline.config import load_settings
from pipeline.core.errors import ConfigError
from pipeline.models.settings import DetectorSettings, Evidence
from tests.command_line import fusewatch

HZ, LENGTH_S, NORMAL_S = 5, 480, 360
FAULTS = tuple((float(start), float(start + 8)) for start in (380, 410, 440))
CONFIG = """
name: machine
data: data
nodes:
  player:
    sources: [{type: recording, paths: [site.mcap], streams: [load, hum]}]
scenes:
  machine:
    streams: [load, hum]
    alarm: {budget: 30/hour}
alert: {sinks: [{type: console}]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("machine")
    (folder / "machine.yaml").write_text(CONFIG)
    write_readings(folder)
    labels = [{"start_s": a, "end_s": b, "kind": "X3", "modalities": ["sensor"]} for a, b in FAULTS]
    (folder / "labels.json").write_text(json.dumps(labels))
    streams = [f"{name}={folder / name}.csv" for name in ("load", "hum")]
    sensors = [word for stream in streams for word in ("--sensors", stream)]
    target = ["--scene", "machine", "-o", folder / "site.mcap"]
    assert fusewatch("import", *target, *sensors) == 0
    return folder


def write_readings(folder: Path) -> None:
    """Load in steps of a few seconds; a hum that follows it, and in the faults does not."""
    rng = np.random.default_rng(7)
    count = LENGTH_S * HZ
    times = np.arange(count) / HZ
    load = np.repeat(rng.choice([1.0, 4.0, 8.0], count // 20), 20)
    hum = 3 * load
    for start, end in FAULTS:
        wrong = (times >= start) & (times < end)
        hum[wrong] = 27.0 - hum[wrong] * 0.9
    for name, values in (("load", load), ("hum", hum)):
        noisy = values + rng.normal(0, 0.1, count)
        rows = [f"{t:.2f};{v:.3f}" for t, v in zip(times, noisy, strict=True)]
        (folder / f"{name}.csv").write_text(f"seconds;{name}\n" + "\n".join(rows) + "\n")


def test_what_no_stream_shows_alone_is_found_between_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [shipped_config(f"models/{name}.yaml") for name in ("default", "single-senses")]
    data = ["--normal", folder / "site.mcap", "--normal-to", NORMAL_S]
    data += ["--recording", folder / "site.mcap", "--from", NORMAL_S]
    where = ["--config", folder / "machine.yaml", "--labels", folder / "labels.json"]
    assert fusewatch("compare", *files, *where, *data, "-o", folder / "out") == 0
    said = capsys.readouterr().out
    assert "single-senses" in said
    assert "default: scoring" in said  # judging takes as long as learning, and is told too
    found = json.loads((folder / "out" / "comparison.json").read_text())
    with_between = found["default"]["windows"]["auroc"]
    without = found["single-senses"]["windows"]["auroc"]
    assert with_between > 0.9
    assert without < with_between - 0.15
    assert (folder / "out" / "default.model").is_file()
    assert (folder / "out" / "default" / "index.html").is_file()


@pytest.mark.parametrize("kinds", [3, 14])
def test_the_tables_are_whole_at_80_columns_whatever_the_number_of_kinds(kinds: int) -> None:
    names = [f"kind-{n}" for n in range(kinds)]
    groups = [Space(name=name, recall=Space(found=n, labels=15)) for n, name in enumerate(names)]
    events = Space(recall=Space(found=3, labels=20, delay_median_s=1.5), per_hour=2.0)
    headline = Space(events=events, limit=Space(budget="6/hour"))
    windows = Space(auroc=0.9, vus_pr=0.8)
    evaluation = Space(headline=headline, windows=windows, kinds=groups)
    found = [Space(name=one, evaluation=evaluation, learnt_s=12.0) for one in ("one", "another")]
    page = io.StringIO()
    tell(Console(width=80, file=page), found)
    said = page.getvalue()
    assert max(map(len, said.splitlines())) <= 80
    assert "…" not in said
    assert all(word in said for word in (*names, "another", "15%", "1.5 s", "2/15"))


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("default", (Evidence.BETWEEN, Evidence.ODD)),
        ("without-network", (Evidence.BETWEEN,)),
        ("single-senses", ()),
        ("joint-density", (Evidence.JOINT,)),
    ],
)
def test_every_shipped_detector_is_what_it_says(name: str, evidence: tuple[Evidence, ...]) -> None:
    settings = load_settings(shipped_config(f"models/{name}.yaml"), DetectorSettings)
    assert settings == DetectorSettings(evidence=evidence)


def test_a_wrong_option_is_told_with_its_line_and_what_to_write(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("folds: 6\nevidense: [between]\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(file, DetectorSettings)
    (problem,) = caught.value.problems
    assert "mine.yaml:2" in problem
    assert "evidence" in problem
