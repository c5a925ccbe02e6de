"""Scores that were written before are read back, or refused with their line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError
from pipeline.training.score_file import read_scores

HOP_NS = 500_000_000


def written(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["start_s,end_s,p,joint,video:cam,scene", *rows]) + "\n")
    return path


def test_scores_are_read_with_their_places_on_the_grid(tmp_path: Path) -> None:
    # Out of order, and with a gap of three windows.
    rows = ("1.000,3.000,0.5,0.25,,a", "0.500,2.500,0.1,0.5,0.2,a", "3.000,5.000,1e-9,,,a")
    found, hop_ns = read_scores(written(tmp_path / "s.csv", *rows))
    assert [score.index for score in found] == [0, 1, 5]
    assert hop_ns == HOP_NS
    assert found[0].detectors == {"joint": 0.5, "video:cam": 0.2}
    assert found[1].detectors == {"joint": 0.25}
    assert (found[2].p, found[2].detectors) == (1e-9, {})


def test_a_hop_that_milliseconds_cannot_tell_keeps_its_places(tmp_path: Path) -> None:
    rows = [f"{n / 3:.3f},{2 + n / 3:.3f},0.5,,,a" for n in range(3000) if n != 1500]
    found, hop_ns = read_scores(written(tmp_path / "s.csv", *rows))
    assert hop_ns == pytest.approx(1e9 / 3, rel=1e-5)
    assert [score.index for score in found] == [n for n in range(3000) if n != 1500]


def test_scores_of_one_of_several_scenes(tmp_path: Path) -> None:
    rows = ("0,2,0.5,,,a", "0,2,0.4,,,b", "0.5,2.5,0.3,,,a", "0.5,2.5,0.2,,,b")
    path = written(tmp_path / "s.csv", *rows)
    found, hop_ns = read_scores(path, "b")
    assert ([score.p for score in found], hop_ns) == ([0.4, 0.2], HOP_NS)
    with pytest.raises(ConfigError, match=r"several scenes .*--scene a\|b"):
        read_scores(path)
    with pytest.raises(ConfigError, match="no scene 'c'"):
        read_scores(path, "c")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (("0,2,0.5,,,a", "0.5,2.5,1.5,,,a"), "s.csv:3: p is 1.5, not a p-value"),
        (("0,two,0.5,,,a",), "s.csv:2: end_s is 'two', not a number"),
        (("0,2,0.5,nan,,a",), "s.csv:2: joint is 'nan', not a number"),
        (("0,2,,,,a",), "s.csv:2: p is '', not a number"),
        ((), "holds no scores"),
        (("0,2,0.5,,,a",), "fewer than two windows"),
        (("0,2,0.5,,,a", "0,2,0.4,,,a"), "two windows end at 2.000 s"),
    ],
)
def test_wrong_scores_are_told_with_their_line(
    tmp_path: Path, rows: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_scores(written(tmp_path / "s.csv", *rows))


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="has no column start_s, end_s, p"):
        read_scores(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a CSV"):
        read_scores(path)
