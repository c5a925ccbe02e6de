"""A file that is followed: whole lines, and a word for each that cannot be given."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.sources.tail import BLOCK, BLOCKS_A_CALL, LINES_A_CALL, LONGEST_LINE, FileTail


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "app.log"
    made.touch()
    return made


def test_a_line_that_is_too_long_is_refused_once_and_its_end_is_no_line(file: Path) -> None:
    refused: list[str] = []
    file.write_bytes(b"before\n" + b"x" * (LONGEST_LINE + 3 * BLOCK) + b" its end\nafter\n")
    tail = FileTail(file, from_start=True, refuse=refused.append)
    assert tail.lines(0.0) == ["before", "after"]
    assert refused == [f"a line is longer than {LONGEST_LINE} bytes"]
    tail.close()


def test_the_mark_some_editors_begin_a_file_with_is_no_part_of_its_first_line(file: Path) -> None:
    tail = FileTail(file, from_start=True, refuse=[].append)
    assert tail.lines(0.0) == []
    file.write_text("\ufefftime,temp\n1,\ufeff2\n", encoding="utf-8")
    assert tail.lines(0.0) == ["time,temp", "1,\ufeff2"]
    tail.close()


def test_a_large_file_is_given_in_calls_of_a_bounded_size(file: Path) -> None:
    written = [f"line {n}" for n in range(5 * LINES_A_CALL // 2)]
    file.write_text("\n".join(written) + "\n")
    tail = FileTail(file, from_start=True, refuse=[].append)
    given = [tail.lines(0.0) for _ in range(4)]
    assert [len(lines) for lines in given] == [256, 256, 128, 0]
    assert [line for lines in given for line in lines] == written
    tail.close()


def test_a_line_without_end_does_not_hold_a_call_up(file: Path) -> None:
    file.write_bytes(b"x" * (BLOCKS_A_CALL * BLOCK * 3 // 2) + b"\nafter\n")
    tail = FileTail(file, from_start=True, refuse=[].append)
    assert tail.lines(60.0) == []
    assert tail.lines(0.0) == ["after"]
    tail.close()


def test_what_was_written_before_a_rotation_is_read_after_it(file: Path) -> None:
    refused: list[str] = []
    tail = FileTail(file, from_start=True, refuse=refused.append)
    with file.open("a") as old:
        file.rename(file.with_suffix(".1"))
        file.write_text("new\n")
        old.write("late\nhalf a li")
    # The first look waits for lines that are there; the old file is whole by then.
    assert tail.lines(0.0) == ["late"]
    assert tail.lines(0.2) == ["new"]
    assert refused == ["the file was replaced within a line: 'half a li'"]
    tail.close()


def test_a_line_written_between_the_last_read_and_the_rotation_is_not_lost(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []
    tail = FileTail(file, from_start=True, refuse=refused.append)
    look = Path.stat

    def rotated_just_now(path: Path, **options: bool) -> object:
        monkeypatch.undo()
        with file.open("a") as old:
            old.write("late\n")
        file.rename(file.with_suffix(".1"))
        file.write_text("new\n")
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", rotated_just_now)
    assert tail.lines(0.2) == ["late", "new"]
    assert refused == []
    tail.close()


def test_a_file_that_was_cut_is_read_from_its_start(file: Path) -> None:
    refused: list[str] = []
    file.write_text("one\ntwo and a ha")
    tail = FileTail(file, from_start=True, refuse=refused.append)
    assert tail.lines(0.0) == ["one"]
    file.write_text("again\n")
    assert tail.lines(0.2) == ["again"]
    assert refused == ["the file was replaced within a line: 'two and a ha'"]
    tail.close()
