"""What a person reads of one event."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from nodes.cli import run
from nodes.event_text import EventTold, event_text
from nodes.places import answer_store
from pipeline.core.event import Event, Heard, ModalityScore, Phase, Severity
from pipeline.core.explanation import Band
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.scorer import Scorer
from pipeline.models.checkpoint import load_model, save_model
from pipeline.store import Action, Answer
from tests.event_samples import event
from tests.golden.release_site import small_model
from tests.watched_site import WHY, happened, watched_deployment

SCREEN = 45


def told(*phases: Event) -> str:
    shown = EventTold(phases, "counted from 3.00 on", "", [], [], Path("evidence"))
    return "\n".join(event_text(shown, 200))


def test_an_event_fits_a_screen_and_says_what_where_when_why_and_what_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = watched_deployment(tmp_path)
    raised = happened(deployment, 1_000)[0]
    with closing(answer_store(deployment)) as answers:
        answers.add(Answer(raised.id, "hall", Action.VERDICT, "real", "a cup", "Ada", 2_000))
    assert run(["events", "show", str(tmp_path / "site.yaml"), raised.id[:6]]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) < SCREEN
    words = " ".join(out.split())
    for said in (
        "Sound without its cause: nothing moved",
        "where hall",
        "site time 1970-01-01T00:16:40.000Z, 3.0 s",
        "1 update, cleared",
        "score 5.00, its threshold is not known here",
        "they do not belong together: mic and cam",
        "mic adds 4.0: louder than ever, about 1 in 100,000 moments here",
        "plc: heat seen 61, expected 20 to 30, judged by its own normal",
        "cam: 20% to 40% from the left, 10% to 30% from the top",
        "mic differs most, 4.2 times as far apart as normal moments usually are",
        "plc heat 61, then 24.5",
        f"snapshot {raised.id}/snapshot.jpg",
        "said to be real by Ada: a cup",
    ):
        assert said in words


def test_the_threshold_is_the_one_of_the_model_and_the_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = watched_deployment(tmp_path)
    raised = happened(deployment, 1_000)[0]
    model = tmp_path / "hall.model"
    save_model(small_model(), model)
    counted = Scorer({"hall": load_model(model)}).budget("hall", AlarmSettings(budget="2/week"))
    assert run(["events", "show", str(tmp_path / "site.yaml"), raised.id]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"score 5.00, counted from {counted.threshold:.2f} on (by the budget, 2/week)" in out
    assert run(["events", "show", str(deployment.data), raised.id]) == 0
    assert "not known here (name the deployment file)" in " ".join(capsys.readouterr().out.split())


def test_what_is_said_of_the_equipment_has_no_score_and_keeps_what_was_wrong() -> None:
    gone = event(7, id="health-1", summary="Nothing has come from the camera cam.")
    back = event(7, 1, phase=Phase.CLEARED, id="health-1", summary="The camera cam is back.")
    said = told(gone, back)
    assert said.startswith("The camera cam is back.")
    assert "before     Nothing has come from the camera cam." in said
    assert "score" not in said


def test_streams_are_told_by_what_they_add_and_detectors_by_how_rare_it_is() -> None:
    scores = {
        "audio:mic": ModalityScore(1e-3, 0.3, "0 to 126 Hz louder than usual"),
        "items:mic": ModalityScore(1e-5, 0.5, "a sound unlike any heard before"),
        "between": ModalityScore(1e-2, 0.1, "the sound of mic does not fit"),
        "video:cam": ModalityScore(0.5, 0.1, ""),
    }
    band = Band("mic", 0.0, 1500.0, 0.5, 1.0, -30.2, -60.0, -50.0)
    why = msgspec.structs.replace(
        WHY, contributions={"cam": -0.01, "plc": 0.2, "mic": 4.0}, bands=(band,)
    )
    lines = told(event(7, modalities=scores, explanation=why)).splitlines()
    start = lines.index("which streams say so")
    assert [line.split(":")[0].strip() for line in lines[start + 2 : start + 6]] == [
        "mic adds 4.0",
        "plc adds 0.2",
        "between",
        "",
    ]
    assert re.search("a sound unlike.*; 0 to 126 Hz louder", lines[start + 2])
    said = "  mic: 0.0 to 1.5 kHz heard at -30 dB for 0.5 s, expected -60 to -50 dB"
    assert said in lines


def test_an_event_that_goes_on_says_so_and_how_much_was_looked_at() -> None:
    said = told(event(7, severity=Severity.LOW, widened=4, degraded={"cam": "dark"}))
    assert "s so far" in said
    assert "1 window in 4 was looked at" in said
    assert "cam, cam (dark)" in said
    assert "sent       no deliveries" in said


def test_detectors_that_were_enough_by_themselves_are_listed_the_loudest_first() -> None:
    heard = {"odd": Heard(3.0, "cam and mic do not belong together"), "video:cam": Heard(5.0)}
    shown = told(event(1, heard=heard)).partition("by themselves, at any time of it\n")[2]
    assert [line.strip() for line in shown.splitlines()[:2]] == [
        "video:cam: is unusual, about 1 in 100,000 moments here at its worst",
        "odd: cam and mic do not belong together, about 1 in 1,000 moments here at its worst",
    ]
    assert "by themselves" not in told(event(1))
