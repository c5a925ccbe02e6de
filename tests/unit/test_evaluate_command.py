"""``fusewatch evaluate`` by the command line, on a machine's readings with two faults put in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nodes.shipped import shipped_config
from tests.command_line import fusewatch

CONFIG = shipped_config("imported.yaml")
START = "2024-05-01T08:00:00Z"
HZ, LENGTH_S, NORMAL_S = 2, 300, 180
FAULTS = ((200.0, 206.0), (240.0, 245.0))
LABELS = [
    {"start_s": 200.0, "end_s": 206.0, "kind": "S", "modalities": ["sensor"]},
    {"start": "2024-05-01T08:04:00Z", "end": "2024-05-01T08:04:05Z", "kind": "S"},
]


@dataclass(frozen=True, slots=True)
class Site:
    """A recording, the model that learnt its first part, and the labels of the rest."""

    recording: Path
    model: Path
    labels: Path

    def options(self) -> list[str | Path]:
        config: list[str | Path] = ["--config", CONFIG, "--model", self.model]
        return [*config, "--recording", self.recording, "--labels", self.labels]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    made = Site(folder / "site.mcap", folder / "site.model", folder / "labels.json")
    write_readings(folder / "machine.csv")
    made.labels.write_text(json.dumps(LABELS))
    where = ["--scene", "site", "--start", START, "-o", made.recording]
    assert fusewatch("import", *where, "--sensors", folder / "machine.csv") == 0
    learnt = ["--recording", made.recording, "--to", NORMAL_S, "-o", made.model]
    assert fusewatch("commission", CONFIG, *learnt) == 0
    return made


def write_readings(path: Path) -> None:
    rng = np.random.default_rng(4)
    rows = ["seconds;speed;heat"]
    for number in range(LENGTH_S * HZ):
        second = number / HZ
        speed = 1480 + 20 * np.sin(second / 3) + rng.normal(0, 4)
        if any(start <= second < end for start, end in FAULTS):
            speed -= 200
        rows.append(f"{second:.2f};{speed:.1f};{40 + rng.normal(0, 0.2):.2f}")
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def report(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "report"
    assert fusewatch("evaluate", *site.options(), "--from", NORMAL_S, "-o", folder) == 0
    return folder


def test_what_was_put_in_is_found_and_told(report: Path) -> None:
    data = json.loads((report / "evaluation.json").read_text())
    recall = data["headline"]["events"]["recall"]
    assert (recall["found"], recall["labels"]) == (2, 2)
    assert 0 < recall["delay_median_s"] < 4
    assert data["windows"]["auroc"] > 0.95
    assert data["headline"]["limit"]["budget"] == "6/hour"
    assert "calibration" in data["headline"]["limit"]["basis"]
    assert [one["limit"]["per_hour"] for one in data["limits"]] == pytest.approx([1, 2, 12, 60])
    assert {row["name"] for row in data["rows"]} >= {"merged", "random", "all ones"}


def test_the_report_stands_beside_its_data(report: Path) -> None:
    assert sorted(p.name for p in report.iterdir()) == [
        "evaluation.json",
        "index.html",
        "scores.csv",
    ]
    text = (report / "index.html").read_text()
    assert text.startswith("<!doctype html>")
    assert "2 of 2" in text


def test_scores_of_the_report_give_the_same_figures_again(
    site: Site, report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = ["--scores", report / "scores.csv", "--labels", site.labels]
    whole = ["--config", CONFIG, "--model", site.model, "--recording", site.recording]
    assert fusewatch("evaluate", *scores, *whole, "-o", tmp_path, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    first = json.loads((report / "evaluation.json").read_text())
    assert again["headline"] == first["headline"]
    assert again["curve"] == first["curve"]
    assert again["windows"] == first["windows"]


def test_scores_alone_take_the_p_values_at_their_word(
    site: Site, report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(LABELS[:1]))
    scores = ["--scores", report / "scores.csv", "--labels", labels, "--budget", "6/hour"]
    assert fusewatch("evaluate", *scores, "-o", tmp_path / "out", "--to", 230) == 0
    said = capsys.readouterr().out
    assert "1 of 1" in said
    assert "taken at their word" in said
    assert fusewatch("evaluate", *scores[:2], "-l", site.labels, "-o", tmp_path) == 78
    assert "only a recording can place" in capsys.readouterr().err


def test_a_model_judged_on_what_it_learnt_from_is_told(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    span = ["--from", NORMAL_S - 60, "--to", NORMAL_S + 60]
    assert fusewatch("evaluate", *site.options(), *span, "-o", tmp_path) == 0
    told = capsys.readouterr()
    assert "the model learnt from" in " ".join(told.out.split())
    assert "scoring" in told.err  # how far it is


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--labels", "none.json"], 64, "give --config and --recording, or --scores"),
        (["--labels", "none.json", "--budget", "often"], 64, "write COUNT/PERIOD"),
        (["--labels", "none.json", "--scores", "none.csv"], 78, "none.csv: cannot be read"),
        (["--labels", "none.json", "--from", "9", "--to", "3"], 64, "must be less than --to"),
    ],
)
def test_what_is_missing_or_wrong_is_told(
    options: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fusewatch("evaluate", *options, "-o", tmp_path) == code
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_a_scene_without_a_model_is_told(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--config", CONFIG, "--recording", site.recording, "--labels", site.labels]
    assert fusewatch("evaluate", *asked, "-o", tmp_path) == 78
    assert "has no model to evaluate (give --model)" in capsys.readouterr().err


def test_a_span_with_nothing_in_it_is_told(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fusewatch("evaluate", *site.options(), "--from", 9000, "-o", tmp_path) == 69
    assert "no window of scene 'site' in it" in capsys.readouterr().err
