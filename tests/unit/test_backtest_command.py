"""``fusewatch backtest``: what it tells, writes and answers."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

import pytest

import nodes.backtest.crews
from nodes.backtest.crews import Outcome
from nodes.backtest.piece import Piece, replay_piece
from nodes.places import fusion_store
from nodes.replay import replay
from pipeline.config import load_deployment
from pipeline.core.timestamps import format_iso
from pipeline.store import Commit
from tests.backtest_site import SECOND_NS, START_NS, deployment, record
from tests.command_line import fusewatch

WRONG = [(20.0, 26.0), (60.0, 64.0)]
SECONDS = 90


class Here:
    """A crew of this process: the way of a piece without the time a process takes to start."""

    def __init__(self, size: int | None = None) -> None:
        self.size = size or 1
        self._waiting: deque[tuple[int, Piece]] = deque()

    def start(self, number: int, piece: Piece) -> None:
        self._waiting.append((number, piece))

    def finished(self) -> list[tuple[int, Outcome]]:
        number, piece = self._waiting.popleft()
        return [(number, replay_piece(piece))]

    def close(self) -> None:
        self._waiting.clear()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    record(folder, SECONDS, WRONG)
    return folder


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes.backtest.crews, "LocalCrew", Here)


def stored(config: Path, recordings: Path, kept: slice) -> None:
    """Let a deployment have told some of what is in the recordings, as if it had run then."""
    site = load_deployment(config)
    events = [e for e in replay(sorted(recordings.glob("*.mcap")), site).events if not e.health]
    ids = list({e.id: None for e in events})[kept]
    store = fusion_store(site)
    store.commit(Commit(events=[e for e in events if e.id in ids]))
    store.close()


def test_against_what_was_stored_live(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployment(tmp_path)
    stored(config, recordings, slice(0, 1))
    capsys.readouterr()
    out = tmp_path / "report"
    assert fusewatch("backtest", config, "-r", recordings, "--json", "-o", out) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((out / "backtest.json").read_text())
    (scene,) = said["scenes"]
    changes = [(m["change"], len(m["old"]), len(m["new"])) for m in scene["moments"]]
    assert changes == [("kept", 1, 1), ("gained", 0, 1)]
    assert scene["old"]["threshold"] is None
    assert scene["moments"][1]["new"][0]["summary"]
    page = (out / "index.html").read_text()
    assert page.count("<svg") == 2
    assert "Gained (1)" in page
    assert "Lost</h3><p>None" in page
    assert "default-src 'none'" in page


def test_what_arrived_after_an_outage_is_compared_at_the_time_it_happened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Live alarms of an outage were left out, as nothing arrived then, and the new ones gained."""
    record(tmp_path / "late", SECONDS, WRONG, delay_ns=3600 * SECOND_NS)
    config = deployment(tmp_path)
    stored(config, tmp_path / "late", slice(0, 1))
    capsys.readouterr()
    labels = tmp_path / "labels.json"
    moment = {"start": format_iso(START_NS + 60 * SECOND_NS), "kind": "heat"}
    moment["end"] = format_iso(START_NS + 64 * SECOND_NS)
    labels.write_text(json.dumps([moment]))
    late = "-r", tmp_path / "late", "--labels", labels, "--json", "-o", tmp_path / "report"
    assert fusewatch("backtest", config, *late) == 0
    said = json.loads(capsys.readouterr().out)
    (scene,) = said["scenes"]
    assert [moment["change"] for moment in scene["moments"]] == ["kept", "gained"]
    assert [rate["found"] for rate in (scene["old"], scene["new"])] == [0, 1]
    assert scene["outside"] == 0
    assert not said["warnings"]


def test_stored_alarms_of_times_that_were_not_recorded_are_told_and_not_compared(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployment(tmp_path)
    record(tmp_path / "later", 30, [(910.0, 916.0)], from_s=900)
    stored(config, tmp_path / "later", slice(0, 1))
    capsys.readouterr()
    assert fusewatch("backtest", config, "-r", recordings, "-o", tmp_path / "report") == 0
    said = capsys.readouterr().out
    assert "+2 -0 =0" in said
    assert "times that were not recorded, not compared: 1" in said


def test_against_another_configuration_with_labels(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = deployment(tmp_path, more="", budget="2/day", name="strict")
    deaf = tmp_path / "deaf.yaml"
    deaf.write_text(strict.read_text().replace("alarm: {", "alarm: {min_duration_s: 30, "))
    labels = tmp_path / "labels.json"
    moment = {"start": format_iso(START_NS + 20 * SECOND_NS), "kind": "heat"}
    moment["end"] = format_iso(START_NS + 26 * SECOND_NS)
    labels.write_text(json.dumps([moment]))
    answer = fusewatch(
        "backtest", deaf, "-r", recordings, "--against", strict, "--labels", labels
    )  # fmt: skip
    said = capsys.readouterr().out
    assert answer == 0
    assert "deaf.yaml, against strict.yaml" in said
    assert "hall: lost (2)" in said
    assert "label heat" in said
    assert "gained" not in said.partition("hall: lost")[2].partition("new: replayed")[0]


def test_against_another_model_of_the_same_deployment(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployment(tmp_path)
    model = tmp_path / "hall.model"
    options = ("--model", model, "--against", model, "--json")
    assert fusewatch("backtest", config, "-r", recordings, *options) == 0
    said = json.loads(capsys.readouterr().out)
    assert {m["change"] for m in said["scenes"][0]["moments"]} == {"kept"}
    assert (said["new"], said["old"]) == ("site.yaml with hall.model",) * 2


def test_a_model_that_has_learnt_what_it_is_judged_by_says_so(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployment(tmp_path)
    assert fusewatch("commission", config, "-r", recordings, "-o", tmp_path / "again.model") == 0
    capsys.readouterr()
    options = ("--model", tmp_path / "again.model", "--against", config, "--json")
    assert fusewatch("backtest", config, "-r", recordings, *options) == 0
    (said,) = json.loads(capsys.readouterr().out)["warnings"]
    assert said.startswith("new: hall has learnt from 87 s of this time")


def test_a_recording_that_cannot_be_read_is_told_and_the_rest_is_compared(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployment(tmp_path)
    folder = tmp_path / "recordings"
    record(folder, 60, WRONG)
    (folder / "broken.mcap").write_bytes(b"nothing of ours")
    assert fusewatch("backtest", config, "-r", folder, "--against", config) == 0
    said = capsys.readouterr().out
    assert "1 recording could not be read" in said
    assert "broken.mcap" in said


def test_wrong_use_has_the_usual_exit_codes(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployment(tmp_path)
    assert fusewatch("backtest", config) == 64
    assert fusewatch("backtest", config, "-r", tmp_path / "none", "--against", config) == 69
    assert fusewatch("backtest", config, "-r", recordings) == 69  # nothing was stored
    assert "--against FILE compares with another" in capsys.readouterr().err
    options = ("--against", config, "--address", "auto")
    assert fusewatch("backtest", config, "-r", recordings, *options) == 78
    assert "--engine ray" in capsys.readouterr().err


def test_scenes_that_only_one_side_knows_are_named_and_not_compared(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployment(tmp_path)
    wider = tmp_path / "wider.yaml"
    yard = "  yard: {streams: [plc], model: hall.model}\nfusion:"
    wider.write_text(config.read_text().replace("fusion:", yard))
    assert fusewatch("backtest", wider, "-r", recordings, "--against", config) == 0
    said = capsys.readouterr().out
    assert "one side has no model for them or they were not recorded: yard" in said
    assert "+0 -0 =2" in said
