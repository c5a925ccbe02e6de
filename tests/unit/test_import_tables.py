"""Tables and logs of many habits become readings and lines with their own times."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.recording import Recording
from pipeline.recording.import_table import read_table
from pipeline.recording.importing import (
    ImportPlan,
    run_import,
)
from tests.command_line import fusewatch
from tests.import_samples import (
    MS,
    footage,
    imported,
    one,
    sound,
    stamps_ms,
    table,
)


def test_gaps_and_text_in_number_columns_become_nan_and_are_counted(tmp_path: Path) -> None:
    text = (
        "timestamp,a,note,b\n0,1,x,2\n1,,y,broken\n2,nan,z,3\n3,inf,w,4\noops,1,,1\n"
        "2.5,9,,9\n4,5\n5,1,2,3,4\n"
    )
    plan = ImportPlan(
        scene="x", output=tmp_path / "o.mcap", sensors={"s": table(tmp_path / "s.csv", text)}
    )
    report, streams = imported(plan)
    values = np.array([a.sample.data for a in streams["s"]])
    nan = np.nan
    wanted = [[1, nan, 2], [nan, nan, nan], [nan, nan, 3], [nan, nan, 4], [5, nan, nan], [1, 2, 3]]
    np.testing.assert_array_equal(values, np.array(wanted))
    item = one(report)
    assert item.dropped == {"corrupt": 1, "out_of_order": 1}
    assert item.faults["cells with text in a number column"] == 5
    assert item.faults["cells with an infinite number"] == 1
    assert item.faults["rows with more cells than columns"] == 1
    assert item.account.missing == 0


def test_semicolons_decimal_commas_and_calendar_times_are_understood(tmp_path: Path) -> None:
    text = "datetime;Pressure;Flow\n2020-03-09 10:14:33;0,5;32\n2020-03-09 10:14:34;0,25;31,5\n"
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        sensors={"s": table(tmp_path / "s.csv", text)},
        video={"v": footage(tmp_path / "v.mkv", 5)},
    )
    report, streams = imported(plan)
    assert report.start_ns == 1583748873 * 10**9
    assert streams["v"][0].sample.timestamp_ns == report.start_ns
    assert [a.sample.data.tolist() for a in streams["s"]] == [[0.5, 32.0], [0.25, 31.5]]  # type: ignore[union-attr]


def test_relative_times_may_have_a_decimal_comma(tmp_path: Path) -> None:
    file = table(tmp_path / "s.csv", "time;a\n0;20,5\n0,1;21\n0,25;22,5\n")
    report, streams = imported(
        ImportPlan(scene="x", output=tmp_path / "o.mcap", sensors={"s": file})
    )
    assert stamps_ms(streams["s"]) == [0, 100, 250]
    assert [a.sample.data.tolist() for a in streams["s"]] == [[20.5], [21.0], [22.5]]  # type: ignore[union-attr]
    assert not one(report).dropped


def test_what_is_not_in_utf8_is_as_excel_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "s.csv"
    file.write_bytes("time;Temp [°C];Öl;Prüfer\n0;20,5;1;0\n1;21,5;2;1\n".encode("cp1252"))
    plan = ImportPlan(
        scene="x", output=tmp_path / "o.mcap", sensors={"s": file}, exclude=["Öl"], label="Prüfer"
    )
    report, _ = imported(plan)
    with Recording(plan.output) as recording:
        assert recording.streams["s"].channels == ("Temp [°C]",)
    assert [found.kind for found in report.labels] == ["Prüfer"]
    file.write_bytes(b"\xef\xbb\xbf" + "time;Temp [°C]\n0;20\n".encode() + b"1;2\xff\n2;21\n")
    assert read_table(file).header == ("time", "Temp [°C]")  # one byte of it is damaged


def test_a_given_start_moves_what_has_no_calendar_and_tells_what_lies_apart(
    tmp_path: Path,
) -> None:
    text = "datetime,a\n2020-03-09T10:14:33Z,1\n2020-03-09T10:14:34Z,2\n"
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        sensors={"s": table(tmp_path / "s.csv", text)},
        audio={"m": sound(tmp_path / "a.wav", 1600)},
        start_ns=1_700_000_000 * 10**9,
    )
    report, streams = imported(plan)
    assert streams["m"][0].sample.timestamp_ns == 1_700_000_000 * 10**9
    assert streams["s"][0].sample.timestamp_ns == 1583748873 * 10**9
    assert all("no moment in common" in " ".join(i.notes) for i in report.inputs)


@pytest.mark.parametrize(
    ("text", "channels", "first"),
    [
        (
            "1, 1458748404944, 21.8\n2, 1458748405048, 21.4\n",
            ("column0", "column2"),
            1458748404.944,
        ),
        ('"date","T"\n"1","2015-02-04 17:51:00",23.1\n', ("row", "T"), 1423072260.0),
        ("x,seconds\n5,0.5\n6,1.5\n", ("x",), None),
        ("0.0,5\n0.1,6\n", ("column1",), None),
        ("0,0;20,1;50,2\n0,5;20,2;50,4\n1;20;50,4\n", ("column1", "column2"), None),
        ("0,0;20,1\n0,5;20,2\n", ("column1",), None),
        ("0,20,ok;fine\n1,21,ok;hot\n", ("column1",), None),
        (
            '"time, s";"Temp, °C";"Feuchte, %"\n0;20,1;5\n0,5;21;5,5\n',
            ("Temp, °C", "Feuchte, %"),
            None,
        ),
        ("time,a;b\n0,5\n1,6\n", ("a;b",), None),
        ("time,a,b\n0,7,8,\n1,6,9,\n", ("a", "b"), None),
        ('"time","T"\n"1",0,\n"2",1,23.1\n', ("row", "T"), None),
    ],
)
def test_tables_of_many_habits_are_read(
    tmp_path: Path, text: str, channels: tuple[str, ...], first: float | None
) -> None:
    plan = ImportPlan(
        scene="x", output=tmp_path / "o.mcap", sensors={"s": table(tmp_path / "s.csv", text)}
    )
    report, _ = imported(plan)
    with Recording(plan.output) as recording:
        assert recording.streams["s"].channels == channels
    if first is not None:
        assert report.start_ns == round(first * 1000) * MS


def test_a_separator_at_the_end_of_rows_is_no_cell(tmp_path: Path) -> None:
    file = table(tmp_path / "s.csv", "time,a,b\n0,7,8,\n1,6,9,\n2,6,9\n")
    report, streams = imported(
        ImportPlan(scene="x", output=tmp_path / "o.mcap", sensors={"s": file})
    )
    assert stamps_ms(streams["s"]) == [0, 1000, 2000]
    assert [a.sample.data.tolist() for a in streams["s"]] == [[7, 8], [6, 9], [6, 9]]  # type: ignore[union-attr]
    assert not one(report).faults


def test_a_first_column_that_only_may_be_the_time_is_said(tmp_path: Path) -> None:
    file = table(tmp_path / "s.csv", "when,a\n0,1\n1,2\n2,1\n")
    report, _ = imported(ImportPlan(scene="x", output=tmp_path / "o.mcap", sensors={"s": file}))
    assert one(report).notes == ["column 'when' is taken for the time; call it 'time' if it is"]


def test_a_column_of_times_that_never_grows_is_said(tmp_path: Path) -> None:
    file = table(tmp_path / "s.csv", "t,a\n21,1\n21,2\n21,1\n")
    report, _ = imported(ImportPlan(scene="x", output=tmp_path / "o.mcap", sensors={"s": file}))
    assert one(report).notes == ["all rows are of one time by column 't'; is it the time?"]


def test_columns_that_look_like_labels_are_pointed_out_and_can_be_left_out(
    tmp_path: Path,
) -> None:
    file = table(tmp_path / "s.csv", "t,a,anomaly\n0,1,0\n1,2,1\n")
    report, _ = imported(ImportPlan(scene="x", output=tmp_path / "1.mcap", sensors={"s": file}))
    assert "--exclude anomaly" in one(report).notes[0]
    report, streams = imported(
        ImportPlan(scene="x", output=tmp_path / "2.mcap", sensors={"s": file}, exclude=["anomaly"])
    )
    assert len(streams["s"][0].sample.data) == 1  # type: ignore[arg-type]
    assert one(report).notes == []


def test_a_regular_table_has_a_rate_and_an_irregular_one_has_none(tmp_path: Path) -> None:
    regular = "t,a\n" + "".join(f"{i * 0.1:.3f},{i}\n" for i in range(50))
    wild = "t,a\n0,1\n1,1\n7,1\n7.5,1\n20,1\n"
    plan = ImportPlan(
        scene="x",
        output=tmp_path / "o.mcap",
        sensors={"r": table(tmp_path / "r.csv", regular), "w": table(tmp_path / "w.csv", wild)},
    )
    run_import(plan)
    with Recording(plan.output) as recording:
        assert recording.streams["r"].rate_hz == 10.0
        assert recording.streams["w"].rate_hz is None


def test_lines_without_a_time_take_that_of_the_line_before(tmp_path: Path) -> None:
    text = "[2024-05-01T12:00:00Z] start\n  at line 3\n2024-05-01 12:00:01,500 stop\n"
    plan = ImportPlan(
        scene="x", output=tmp_path / "o.mcap", text={"l": table(tmp_path / "l.txt", text)}
    )
    report, streams = imported(plan)
    assert stamps_ms(streams["l"], report.start_ns) == [0, 0, 1500]
    assert one(report).faults == {"lines without a time of their own": 1}


@pytest.mark.parametrize(
    ("head", "left"),
    [("date,heat", "row"), ("Unnamed: 0,date,heat", "Unnamed: 0"), (",date,heat", "column0")],
)
def test_a_column_that_counts_the_rows_is_no_reading(tmp_path: Path, head: str, left: str) -> None:
    lines = [f"{n},2015-02-04 17:5{n}:00,{20 + n % 2}" for n in range(1, 9)]
    file = table(tmp_path / "s.csv", "\n".join([head, *lines]) + "\n")
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", sensors={"s": file})
    report, _ = imported(plan)
    assert one(report).notes[0] == f"column {left!r} counts the rows and is left out"
    with Recording(plan.output) as recording:
        assert recording.streams["s"].channels == ("heat",)


def test_a_named_column_that_counts_the_rows_is_kept_and_told(tmp_path: Path) -> None:
    lines = [f"{n},{n},{n % 3}" for n in range(9)]
    file = table(tmp_path / "s.csv", "\n".join(["time,pieces,heat", *lines]) + "\n")
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", sensors={"s": file})
    report, streams = imported(plan)
    assert "'pieces' counts the rows; leave it out with --exclude pieces" in one(report).notes[0]
    assert len(streams["s"][0].sample.data) == 2  # type: ignore[arg-type]


def test_a_column_of_labels_says_when_something_was_wrong_and_is_no_reading(tmp_path: Path) -> None:
    said = ["0", "0", "1", "1", "0", "leak", "leak", "ok", "", "1"]
    rows = [f"{n},{20 + n % 3},{word}" for n, word in enumerate(said)]
    first, then = tmp_path / "in" / "a.csv", tmp_path / "in" / "b.csv"
    first.parent.mkdir()
    table(first, "\n".join(["time,heat,state", *rows]) + "\n")
    table(then, "time,heat,state\n2,1,0\n3,1,1\n30,1,1\n31,1,0\n")
    plan = ImportPlan(
        scene="x", output=tmp_path / "o.mcap", sensors={"s": first.parent}, label="state"
    )
    report, streams = imported(plan)
    with Recording(plan.output) as recording:
        assert recording.streams["s"].channels == ("heat",)
    assert [(one.start_s, one.end_s, one.kind) for one in report.labels] == [
        (2.0, 4.0, "state"),
        (5.0, 7.0, "leak"),
        (9.0, 11.0, "state"),
        (17.0, 45.0, "state"),  # the second begins at 14, and is read every second
    ]
    assert len(streams["s"]) == 14


def test_labels_of_dated_tables_are_where_their_dates_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"2024-05-01 08:00:{n:02},1,{n in (4, 5)}" for n in range(9)]
    file = table(tmp_path / "s.csv", "\n".join(["time,heat,fault", *rows]) + "\n")
    labels, made = tmp_path / "labels.json", tmp_path / "o.mcap"
    named = ["import", "--scene", "x", "--sensors", file, "-o", made]
    assert fusewatch(*named, "--label", "fault", "--labels", labels) == 0
    assert "labels: 1 fault" in capsys.readouterr().out
    assert json.loads(labels.read_text()) == [{"start_s": 4.0, "end_s": 6.0, "kind": "fault"}]
    assert fusewatch(*named, "--label", "fault", "--force") == 64


def test_the_folder_that_a_dated_table_lies_in_labels_it(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name, minute in (("leak/a", 0), ("good/b", 10), ("c", 20)):
        rows = [f"2024-05-01 08:{minute:02}:{n:02},1" for n in range(9)]
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        table(folder / f"{name}.csv", "\n".join(["time,heat", *rows]) + "\n")
    report = run_import(ImportPlan(scene="x", output=tmp_path / "o.mcap", sensors={"s": folder}))
    assert [(one.kind, one.start_s, one.end_s) for one in report.labels] == [
        ("leak", 0.0, 9.0),
        ("normal", 600.0, 609.0),
    ]


def test_a_column_of_labels_says_more_than_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "valve1").mkdir(parents=True)
    rows = [f"2024-05-01 08:00:{n:02},1,{int(3 <= n < 5)}" for n in range(9)]
    table(folder / "valve1" / "a.csv", "\n".join(["time,heat,wrong", *rows]) + "\n")
    sensors = {"s": folder}
    plan = ImportPlan(scene="x", output=tmp_path / "o.mcap", sensors=sensors, label="wrong")
    assert [(one.start_s, one.end_s) for one in run_import(plan).labels] == [(3.0, 5.0)]
