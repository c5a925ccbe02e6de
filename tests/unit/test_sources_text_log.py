import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.core.clock import NodeClock
from pipeline.core.ledger import DropReason
from pipeline.core.timestamps import iso_ns
from pipeline.sources.journal import ExportParser, Journal
from pipeline.sources.text_log import TextLogSettings
from tests.unit.sources import context, read_count


def test_lines_carry_their_own_time_when_they_have_one(tmp_path):
    file = tmp_path / "app.log"
    file.write_text("2026-01-01T00:00:05Z started\nno time here\n2026-01-01T00:00:06Z done\n")
    settings = TextLogSettings(
        stream="log", path=file, from_start=True, time_regex=r"^(?P<time>\S+)Z "
    )
    ctx, refusals = context()
    source = settings.build(ctx)
    source.open()
    samples = read_count(source, 2)
    source.close()
    assert samples[0].timestamp_ns == iso_ns("2026-01-01T00:00:05")
    assert samples[1].data == "2026-01-01T00:00:06Z done"
    assert refusals == {("log", DropReason.CORRUPT): 1}


def test_lines_without_a_time_are_stamped_on_arrival(tmp_path):
    file = tmp_path / "app.log"
    file.write_text("old\n")
    ctx, _ = context(NodeClock())
    source = TextLogSettings(stream="log", path=file).build(ctx)
    source.open()
    before_ns = ctx.clock.now_ns()
    with file.open("a") as out:
        out.write("new\n")
    (sample,) = read_count(source, 1)
    source.close()
    assert sample.data == "new"
    assert before_ns <= sample.timestamp_ns <= ctx.clock.now_ns()


@pytest.mark.parametrize("origin", [{}, {"path": "a.log", "journal": []}])
def test_exactly_one_origin_must_be_named(origin):
    with pytest.raises(ValueError, match="exactly one"):
        TextLogSettings(stream="log", **origin)


@pytest.mark.parametrize("regex", ["(?P<time>[", r"^\S+"])
def test_an_expression_that_finds_no_time_is_refused_with_the_settings(regex):
    with pytest.raises(ValidationError):
        TextLogSettings(stream="log", path="a.log", time_regex=regex)


ENTRY = (
    b"__REALTIME_TIMESTAMP=1700000000000001\nSYSLOG_IDENTIFIER=sshd\n"
    b"MESSAGE\n" + (11).to_bytes(8, "little") + b"two\nlines=x\n\n"
)


@given(st.lists(st.integers(1, 40), max_size=20))
def test_the_journal_is_read_whatever_the_portions(sizes):
    parser, entries, data = ExportParser(), [], ENTRY * 3
    for size in [*sizes, len(data)]:
        portion, data = data[:size], data[size:]
        entries.extend(parser.feed(portion))
    assert len(entries) == 3
    assert entries[0]["MESSAGE"] == b"two\nlines=x"


def test_journal_entries_become_lines_with_their_own_time():
    ctx, _ = context()
    program = f"import sys, time; sys.stdout.buffer.write({ENTRY!r}); sys.stdout.flush(); input()"
    source = Journal("log", [], ctx, command=(sys.executable, "-c", program))
    source.open()
    (sample,) = read_count(source, 1)
    source.close()
    assert sample.data == "sshd: two lines=x"
    assert sample.timestamp_ns == 1_700_000_000_000_001_000
