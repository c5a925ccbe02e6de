from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.core.clock import ManualClock
from pipeline.core.errors import DependencyMissing, SinkUnavailable
from pipeline.core.event import Severity
from pipeline.sinks.base import SinkContext
from pipeline.sinks.sql import SqlSettings, SqlSink
from tests.event_samples import event, life

CONTEXT = SinkContext(ManualClock(), "site", Path())


def sink_to(url: str) -> SqlSink:
    return SqlSettings(url=url).build(CONTEXT)


def rows(path: Path, columns: str = "*") -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(
            f"SELECT {columns} FROM fusewatch_events ORDER BY start_ns, revision"
        ).fetchall()


def test_a_row_can_be_asked_for_by_plain_columns(tmp_path: Path) -> None:
    sink = sink_to(f"sqlite:///{tmp_path}/e.db")
    sink.open()
    sink.deliver(event(100))
    sink.close()
    columns = "deployment, scene, phase, severity, started_at, start_ns, summary"
    assert rows(tmp_path / "e.db", columns) == [
        (
            "site",
            "hall",
            "raised",
            "high",
            "1970-01-01 00:01:40.000000",
            100 * 10**9,
            "a sound without its cause",
        )
    ]


def test_a_phase_that_comes_again_overwrites_itself(tmp_path: Path) -> None:
    sink = sink_to(f"sqlite:///{tmp_path}/e.db")
    sink.open()
    for each in [*life(), event(severity=Severity.CRITICAL)]:
        sink.deliver(each)
    sink.close()
    assert rows(tmp_path / "e.db", "revision, severity") == [
        (0, "critical"),
        (1, "high"),
        (2, "high"),
    ]


def test_a_table_that_is_there_is_used_as_it_is(tmp_path: Path) -> None:
    for second in (0, 1):
        sink = sink_to(f"sqlite:///{tmp_path}/e.db")
        sink.open()
        sink.deliver(event(second))
        sink.close()
    assert len(rows(tmp_path / "e.db")) == 2


def test_errors_do_not_tell_the_password() -> None:
    with pytest.raises((SinkUnavailable, DependencyMissing)) as caught:
        sink_to("postgresql+nodriver://me:pa55@127.0.0.1:1/db").open()
    assert "pa55" not in str(caught.value)


def test_what_is_no_url_is_refused_before_the_first_event() -> None:
    with pytest.raises(ValidationError, match="is not a database URL; write sqlite:///FILE"):
        sink_to("no url")


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(SinkUnavailable, match="unable to open"):
        sink_to(f"sqlite:///{tmp_path}/none/e.db").open()
