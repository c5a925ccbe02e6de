from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import pytest

from nodes.places import answer_store
from pipeline.store import Action, Answer
from tests.command_line import fusewatch
from tests.watched_site import happened, watched_deployment


def test_answers_are_listed_and_taken_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = watched_deployment(tmp_path)
    with closing(answer_store(deployment)) as store:
        store.add(Answer("e1", "hall", Action.VERDICT, "normal", "the cat", "Ada", 10**18))
    config = tmp_path / "site.yaml"
    assert fusewatch("feedback", "list", config) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 2001-09-09" in said and "e1 hall Ada: normal until 2001-12-08" in said
    assert said.endswith("the cat")
    assert fusewatch("feedback", "undo", config, 1) == 0
    assert "taken back: normal to event e1" in capsys.readouterr().out
    assert fusewatch("feedback", "list", config, "--json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["withdrawn_ns"] > 0
    assert fusewatch("feedback", "undo", config, 1) == 69
    assert "no answer 1 that stands" in capsys.readouterr().err


def test_without_answers_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watched_deployment(tmp_path)
    assert fusewatch("feedback", "list", tmp_path / "site.yaml") != 0
    assert "no such store" in capsys.readouterr().err


def test_an_event_is_answered_where_there_is_no_browser(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = watched_deployment(tmp_path)
    config, (made, *_) = tmp_path / "site.yaml", happened(deployment, time.time_ns() // 10**9 - 60)
    for words, says in (
        (["normal", "--note", "the cat"], "answer 1: normal to event"),
        (["fault"], "how the sensors are"),
        (["real"], "answer 3: real to event"),
        (["--snooze", 60], "answer 4: snoozed until"),
        ([], "answer 5: seen to event"),
    ):
        assert fusewatch("feedback", "answer", config, made.id[:9], *words) == 0
        assert says in capsys.readouterr().out
    with closing(answer_store(deployment)) as store:
        kept = [(one.event, one.action.value, one.note) for one in store.all()]
    assert kept[0] == (made.id, "verdict", "the cat")
    assert [action for _, action, _ in kept] == ["verdict"] * 3 + ["snooze", "seen"]
    assert fusewatch("feedback", "answer", config, "none", "real") == 69
    assert "no event begins with 'none'" in capsys.readouterr().err
    assert fusewatch("feedback", "answer", config, made.id, "real", "--snooze", 5) == 64


def test_what_an_answer_would_change_is_shown_and_nothing_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment, now_s = watched_deployment(tmp_path), time.time_ns() // 10**9
    config, (made, *_) = tmp_path / "site.yaml", happened(deployment, now_s - 60)
    (again, *_) = happened(deployment, now_s - 3600)
    assert fusewatch("feedback", "preview", config, made.id) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "other alarms that its scene sent in 7 days: 1; of these 1 would not" in said
    assert again.id[:8] in said and "none would have been added" in said
    with closing(answer_store(deployment)) as store:
        assert store.all() == []
    assert fusewatch("feedback", "answer", config, made.id, "normal") == 0
    capsys.readouterr()
    assert fusewatch("feedback", "preview", config, made.id, "real", "--json") == 0
    effect = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in effect["gained"]] == [again.id] and effect["lost"] == []
