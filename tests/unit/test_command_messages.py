"""What commands say to somebody who got it wrong: what, where, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.lock import hold
from nodes.replay import replay
from pipeline.config import load_deployment
from tests.command_line import fusewatch

Said = pytest.CaptureFixture[str]

DEPLOYMENT = """\
name: home
data: data
nodes:
  hall:
    sources:
      - {type: csv_file, stream: climate, path: climate.csv}
scenes:
  hall:
    streams: [climate]
    model: hall.model
"""


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "home.yaml"
    file.write_text(DEPLOYMENT)
    return file


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    table = tmp_path / "table.csv"
    rows = "".join(f"{n / 10},{n % 7}\n" for n in range(100))
    table.write_text(f"time,a\n{rows}")
    file = tmp_path / "site.mcap"
    assert fusewatch("import", "--scene", "site", "--sensors", table, "-o", file) == 0
    return file


def without_model(config: Path) -> None:
    """Make the deployment one of what is recorded, without a model."""
    text = DEPLOYMENT.replace("    model: hall.model\n", "").replace("[climate]", "[site-sensors]")
    config.write_text(text.replace("stream: climate", "stream: site-sensors"))


def test_a_replay_that_fits_no_scene_names_both_sides(
    config: Path, recording: Path, capsys: Said
) -> None:
    assert fusewatch("replay", recording, "--config", config) == 69
    said = capsys.readouterr().err
    assert f"{recording}: no stream of the deployment is recorded" in said
    assert "there are site-sensors (its scenes have climate: make the names agree)" in said


def test_a_replay_without_a_model_says_why_nothing_was_scored(
    config: Path, recording: Path, capsys: Said
) -> None:
    without_model(config)
    assert fusewatch("replay", recording, "--config", config) == 0
    assert "none was scored: there is no model; name one with --model" in capsys.readouterr().out


def test_a_paced_replay_waits_for_samples_of_its_span_only(config: Path, recording: Path) -> None:
    without_model(config)
    waited: list[int] = []
    deployment = load_deployment(config)
    replay([recording], deployment, from_s=4.0, to_s=6.0, pace=waited.append)
    assert len(waited) == 20
    assert waited[-1] - waited[0] <= 2_000_000_000


def test_a_replay_of_a_file_cut_off_before_its_first_stream_says_so(
    config: Path, recording: Path, tmp_path: Path, capsys: Said
) -> None:
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(recording.read_bytes()[:100])
    assert fusewatch("replay", cut, "--config", config) == 69
    assert "there is none at all" in capsys.readouterr().err
    assert fusewatch("recording", "info", cut) == 0
    said = capsys.readouterr().out
    assert "no samples" in said
    assert "cut off at byte 100" in said
    assert "1970" not in said


def test_a_span_that_ends_before_it_begins_is_refused(
    config: Path, recording: Path, capsys: Said
) -> None:
    span = ("--from", "5", "--to", "4")
    assert fusewatch("replay", recording, "--config", config, *span) == 64
    assert "must be less than --to" in capsys.readouterr().err


def test_a_span_without_a_window_says_so(config: Path, recording: Path, capsys: Said) -> None:
    without_model(config)
    assert fusewatch("replay", recording, "--config", config, "--from", "500") == 0
    assert "nothing in this span is as long as a window" in capsys.readouterr().out


def test_a_record_of_sources_that_give_nothing_is_no_success(
    config: Path, tmp_path: Path, capsys: Said
) -> None:
    target = tmp_path / "r.mcap"
    assert fusewatch("record", config, "--seconds", "0.3", "-o", target) == 69
    said = capsys.readouterr().err
    assert "climate.csv: cannot read: No such file or directory" in said
    assert f"{target}: no source gave anything" in said
    assert not target.exists()


def test_a_record_into_a_folder_that_is_not_there_is_refused(
    config: Path, tmp_path: Path, capsys: Said
) -> None:
    assert fusewatch("record", config, "-o", tmp_path / "gone" / "r.mcap") == 69
    assert "its folder is not there (make it first)" in capsys.readouterr().err


def test_a_record_into_a_folder_keeps_its_limits_and_tells_what_it_kept(
    config: Path, tmp_path: Path, capsys: Said
) -> None:
    rows = "".join(f"{n / 10},{n % 7}\n" for n in range(40))
    (tmp_path / "climate.csv").write_text(f"time,a\n{rows}")
    without_model(config)
    folder = tmp_path / "kept"
    assert fusewatch("record", config, "--folder", folder, "--max-file-s", "1.5") == 0
    said = capsys.readouterr().out
    assert "site-sensors: 40 samples" in said
    files = sorted(folder.glob("home-*.mcap"))
    assert f"{folder}: {len(files)} files of home" in said
    assert fusewatch("recording", "merge", *files, "-o", tmp_path / "all.mcap") == 0
    assert "40 samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--max-file-s", "3"), "--max-file-s: is for a folder"),
        (("--folder", "kept", "-o", "r.mcap"), "names one file, --folder many"),
        (("--folder", "kept", "--max-total-gb", "0.5"), "larger than max_total_gb"),
    ],
)
def test_limits_that_make_no_sense_for_a_record_are_refused(
    given: tuple[str, ...], words: str, config: Path, capsys: Said
) -> None:
    without_model(config)
    assert fusewatch("record", config, *given) == 64
    assert words in capsys.readouterr().err


def test_a_missing_model_names_the_deployment_file(config: Path, capsys: Said) -> None:
    for command in ("run", "fusion"):
        assert fusewatch(command, config) == 78
        said = capsys.readouterr().err
        assert f"error: {config}: the model is missing" in said
        assert "make it with 'fusewatch commission'" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nnodes: [\n", "a bracket, brace or quote further up is never closed"),
        ("name: 'a\n", "a bracket, brace or quote further up is never closed"),
        ("name: a\n\tnodes: b\n", "indent with spaces, not with tabs"),
    ],
)
def test_yaml_that_is_broken_says_what_to_look_for(
    config: Path, capsys: Said, text: str, message: str
) -> None:
    config.write_text(text)
    assert fusewatch("config", "check", config) == 78
    assert message in capsys.readouterr().err


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path, capsys: Said) -> None:
    assert fusewatch("config", "check", tmp_path) == 78
    said = capsys.readouterr().err
    assert "cannot be read: Is a directory; name a deployment file" in said


def test_a_database_that_is_no_url_is_found_before_the_first_alert(
    config: Path, capsys: Said
) -> None:
    config.write_text(f"{DEPLOYMENT}alert: {{sinks: [{{type: sql, url: hunter2}}]}}\n")
    assert fusewatch("config", "check", config) == 78
    said = capsys.readouterr().err
    assert "home.yaml:11: alert.sinks[0].url: is not a database URL; write sqlite:///FILE" in said
    assert "hunter2" not in said


def test_a_demo_never_empties_a_folder_of_something_else(tmp_path: Path, capsys: Said) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    assert fusewatch("demo", "--out", tmp_path) == 64
    assert "holds what no demo made; name another folder" in capsys.readouterr().err
    assert mine.read_text() == "precious"
    assert fusewatch("demo", "--out", mine) == 64
    assert "cannot be made: File exists" in capsys.readouterr().err


def test_a_demo_never_empties_the_folder_of_another_that_runs(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "demo.yaml").touch()
    with hold(tmp_path, "fusion"):
        assert fusewatch("demo", "--out", tmp_path) == 69
    assert "runs fusion of another demo here" in capsys.readouterr().err


@pytest.mark.parametrize("start", ["yesterday", "2026-01-01T10:00:00"])
def test_a_demo_wants_a_time_with_its_zone(tmp_path: Path, capsys: Said, start: str) -> None:
    assert fusewatch("demo", "--out", tmp_path / "out", "--start", start) == 64
    assert "ISO 8601 with its zone" in capsys.readouterr().err
