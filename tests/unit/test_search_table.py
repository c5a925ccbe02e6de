"""What a search prints: readable on a narrow console."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from nodes.commands.search import tell
from nodes.search import Answer, Moment


@pytest.mark.parametrize(("width", "heads"), [(80, "at second alike 1 2 3 p"), (200, None)])
def test_a_table_of_long_names_is_whole_at_any_width(width: int, heads: str | None) -> None:
    names = ("the-hall-camera", "the-hall-microphone", "the-hall-sensors")
    moment = Moment(
        "2024-05-01T08:02:01.500Z", "2024-05-01T08:02:03.500Z", "one.mcap", 121.5, 0.91,
        dict.fromkeys(names, -0.25), 1e-4,
    )  # fmt: skip
    page = io.StringIO()
    tell(Console(width=width, file=page), Answer(None, "words", 7, [moment]))
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    rows = [" ".join(line.replace("│", " ").replace("┃", " ").split()) for line in lines]
    assert "05-01 08:02:01 121.5 0.91 -0.25 -0.25 -0.25 1.0e-04" in rows
    assert (heads or f"at second alike {' '.join(names)} p") in rows
    told = " ".join(rows)
    assert all(name in told for name in names)
    assert ("2 the-hall-microphone" in told) == (heads is not None)


def test_where_no_rarity_is_known_there_is_no_column_of_it() -> None:
    moment = Moment("2024-05-01T08:02:01.500Z", "", "one.mcap", 121.5, 0.91, {"cam": 0.9}, None)
    page = io.StringIO()
    tell(Console(width=80, file=page), Answer(None, "a dog", 7, [moment]))
    heads = page.getvalue().splitlines()[2]
    assert heads.replace("┃", " ").split() == ["at", "second", "alike", "cam"]


def test_on_a_narrow_terminal_long_names_of_recordings_are_told_below() -> None:
    page = io.StringIO()
    names = [f"site-2026112{day}T044348.804076Z.mcap" for day in (7, 8)]
    times = "2026-11-28T04:43:59.000Z", "2026-11-28T04:44:01.000Z"
    moments = [Moment(*times, name, 11.7, 0.97, {"camera": 0.9}, 1e-3) for name in names]
    tell(Console(width=60, file=page), Answer(None, "words", 7, moments))
    rows = [line for line in page.getvalue().splitlines() if "0.97" in line]
    assert [row.split("│")[1:4] for row in rows] == [
        [" 11-28 04:43:59 ", f" r{n} ", "   11.7 "] for n in (1, 2)
    ]
    assert all(f"r{n} {name}" in page.getvalue() for n, name in enumerate(names, start=1))
