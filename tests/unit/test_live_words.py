"""What a live commissioning says."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from nodes.commissioning.messages import Job, Looked, Stage, Taken
from nodes.commissioning.telling import JsonLines, Screen
from nodes.commissioning.words import (
    begin_words,
    curve_table,
    end_words,
    look_data,
    look_words,
    verdict_words,
)
from nodes.doctor import Finding, Level
from pipeline.detection.alarm import AlarmSettings
from pipeline.models.settings import DetectorSettings
from pipeline.training.enough import EnoughSettings, Standing, Why, standing_of
from tests.unit.test_enough import GAIN, LOOK, look

ENOUGH = EnoughSettings()
HOURLY, WEEKLY = AlarmSettings(budget="12/hour"), AlarmSettings(budget="2/week")
JOB = Job(
    Path("d.yaml"), "s", Path("no.mcap"), Path("s.model"), DetectorSettings(), ENOUGH, "again"
)
DARK = Finding("cam", Level.PROBLEM, "its picture is black (brightest 3 of 255)", "a light")


def every_standing():
    looks = [
        replace(LOOK, gain=None),
        look(low=0.3, high=0.9),
        look(raised=9),
        look(low=-0.4, high=0.9),
        look(supported=False),
        look(),
    ]
    assert [standing_of(one, ENOUGH) for one in looks] == [
        Standing.UNKNOWN, Standing.LEARNING, Standing.ALARMING, Standing.UNSURE,
        Standing.SHORT, Standing.ENOUGH,
    ]  # fmt: skip
    return looks


def test_each_standing_has_a_word_of_its_own_on_the_way_and_at_the_end():
    looks = every_standing()
    assert len({list(look_words(one, HOURLY, ENOUGH))[-1] for one in looks}) == len(looks)
    assert len({verdict_words([one], ENOUGH) for one in looks}) == len(looks)
    assert verdict_words([], ENOUGH) == verdict_words(looks[:1], ENOUGH)
    # A look of what was still under way when it ended, with nothing to compare with.
    assert verdict_words([looks[-1], looks[0]], ENOUGH) == verdict_words(looks[-1:], ENOUGH)
    assert len({end_words(why, ENOUGH) for why in Why}) == len(Why)


def test_what_a_budget_asks_of_the_length_is_told_before():
    assert begin_words(HOURLY, ENOUGH) == "To count a budget of 12/hour takes 5 minutes of normal."
    assert "takes 3.5 days of normal, more than --at-most 60 minutes" in begin_words(WEEKLY, ENOUGH)


def test_a_look_says_where_the_new_showed_and_what_alarms_there_would_have_been():
    gain = replace(GAIN, raised=1, stood=0.8, newest={"audio:mic": 2.0, "video:cam": 0.4})
    said = " ".join(look_words(replace(LOOK, gain=gain), HOURLY, ENOUGH))
    assert "showed most in audio:mic." in said
    assert "raised 1 alarm in those (in alarm for 4 minutes); 12/hour allows 1.0." in said
    assert "learnt from the first 5 minutes gives the 5 minutes after them" in said


def test_the_curve_has_a_row_a_look():
    console = Console(width=80, record=True, file=StringIO())
    console.print(curve_table(every_standing(), ENOUGH))
    text = console.export_text()
    assert text.count("│ 10 ") == 6
    assert "…" not in text
    assert "0.05 (0.30 to 0.90)" in text
    assert "9 (1.0)" in text


def lines_of(*messages) -> list[dict]:
    lines: list[str] = []
    teller = JsonLines(JOB, HOURLY, lines.append)
    teller.begin()
    for message in messages:
        teller.told(message)
    return [json.loads(line) for line in lines]


def test_a_script_reads_findings_once_with_what_to_do_and_when_they_are_gone():
    brighter = replace(DARK, text="its picture is black (brightest 4 of 255)")
    told = lines_of(
        Taken(20.0, (DARK,)), Taken(21.0, (brighter,)), Taken(40.0, ()), Stage("features", 1, 2),
        Looked(LOOK, (DARK,)), Looked(LOOK, (DARK,)),
    )  # fmt: skip
    assert [one["event"] for one in told] == [
        "begin", "finding", "recorded", "mended", "recorded", "look", "finding", "look",
    ]  # fmt: skip
    assert told[1]["fix"] == "a light"
    assert told[5] == {"event": "look", **look_data(LOOK, ENOUGH)}


def test_a_person_reads_the_same(tmp_path: Path):
    with (tmp_path / "said").open("w") as file:
        screen = Screen(Console(file=file, width=100), JOB, HOURLY, lambda *_: None)
        screen.begin()
        for message in (Taken(20.0, (DARK,)), Stage("features", 1, None), Looked(LOOK, ())):
            screen.told(message)
        screen.told(Taken(21.0, ()))
        screen.ending(Why.STOPPED)
        screen.kept()
    said = (tmp_path / "said").read_text()
    assert "problem cam: its picture is black" in said
    assert "look at 10 minutes" in said
    assert "ok cam, no longer: its picture is black" in said
    assert "stopped; learning what was recorded" in said
    assert "kept" not in said  # there is no file
