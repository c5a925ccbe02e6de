import numpy as np
import pytest

from pipeline.core.errors import SourceEnded, SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.timestamps import iso_ns
from pipeline.sources.csv_file import CsvFileSettings
from tests.unit.sources import context, read_count


def read_all(settings, ctx):
    source = settings.build(ctx)
    infos = source.open()
    samples = []
    try:
        while True:
            samples.extend(source.read(0.0))
    except SourceEnded:
        return infos, samples
    finally:
        source.close()


def test_rows_keep_their_own_times_and_spacing(tmp_path):
    file = tmp_path / "pump.csv"
    file.write_text("datetime;a;b\n2026-01-01 00:00:00;1;2\n2026-01-01 00:00:01.5;3;4\n")
    ctx, _ = context()
    (info,), samples = read_all(
        CsvFileSettings(path=file, stream="pump", times="own", speed=0), ctx
    )
    assert info.channels == ("a", "b")
    assert info.stamp == "exact"
    assert [s.timestamp_ns for s in samples] == [
        iso_ns("2026-01-01"),
        iso_ns("2026-01-01T00:00:01.5"),
    ]
    np.testing.assert_array_equal(samples[1].data, [3, 4])


def test_rows_shifted_to_now_begin_now(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("t,x\n10,1\n12,2\n")
    ctx, _ = context()
    _, samples = read_all(CsvFileSettings(path=file, stream="a", speed=0), ctx)
    now_ns = ctx.clock.now_ns()
    assert [s.timestamp_ns for s in samples] == [now_ns, now_ns + 2_000_000_000]


def test_gaps_are_missing_text_is_counted_and_old_rows_are_refused(tmp_path):
    file = tmp_path / "dirty.csv"
    file.write_text("t,x,y\n1,5,\n2,oops,7\nnever,1,1\n3,bad,worse\n1.5,1,1\n4,8,9\n")
    ctx, refusals = context()
    _, samples = read_all(CsvFileSettings(path=file, stream="d", speed=0), ctx)
    got = [list(np.nan_to_num(s.data, nan=-1)) for s in samples]
    assert got == [[5, -1], [-1, 7], [8, 9]]
    assert refusals == {("d", DropReason.CORRUPT): 2, ("d", DropReason.OUT_OF_ORDER): 1}


def test_a_missing_file_or_column_says_what_to_do(tmp_path):
    ctx, _ = context()
    with pytest.raises(SourceUnavailable, match="No such file"):
        CsvFileSettings(path=tmp_path / "none.csv", stream="x").build(ctx).open()
    file = tmp_path / "a.csv"
    file.write_text("t,x\n1,2\n")
    with pytest.raises(SourceUnavailable, match="there are t, x"):
        CsvFileSettings(path=file, stream="x", columns=["z"]).build(ctx).open()


@pytest.mark.parametrize(
    ("header", "delimiter"), [("t,x,y", ";"), ("t", None)], ids=["wrong delimiter", "only a time"]
)
def test_a_file_with_no_column_but_the_time_is_refused(tmp_path, header, delimiter):
    file = tmp_path / "a.csv"
    file.write_text(f"{header}\n1,2,3\n")
    ctx, _ = context()
    with pytest.raises(SourceUnavailable, match="no column but the time") as refusal:
        CsvFileSettings(path=file, stream="x", delimiter=delimiter).build(ctx).open()
    assert "the delimiter" in refusal.value.fix


def test_a_growing_file_is_followed_through_rotation(tmp_path):
    file = tmp_path / "grow.csv"
    file.write_text("t,x\n1,1\n")
    ctx, _ = context()
    source = CsvFileSettings(path=file, stream="g", mode="tail").build(ctx)
    source.open()
    with file.open("a") as out:
        out.write("2,2\n3,")
        out.flush()
        (first,) = read_count(source, 1)
        out.write("3\n")
        out.flush()
        (second,) = read_count(source, 1)
    fresh = tmp_path / "fresh.csv"
    fresh.write_text("4,4\n")
    fresh.rename(file)
    (third,) = read_count(source, 1)
    source.close()
    assert [float(s.data[0]) for s in (first, second, third)] == [2, 3, 4]
