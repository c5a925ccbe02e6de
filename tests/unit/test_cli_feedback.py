from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from nodes.places import answer_store
from pipeline.store import Action, Answer
from tests.command_line import fusewatch
from tests.watched_site import watched_deployment


def test_answers_are_listed_and_taken_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = watched_deployment(tmp_path)
    with closing(answer_store(deployment)) as store:
        store.add(Answer("e1", "hall", Action.VERDICT, "normal", "the cat", "Ada", 10**18))
    config = tmp_path / "site.yaml"
    assert fusewatch("feedback", "list", config) == 0
    assert "the cat" in capsys.readouterr().out
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
