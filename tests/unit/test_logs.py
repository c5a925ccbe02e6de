from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from nodes.logs import RateLimit, Redact, configure_logs


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_lines_are_json_with_the_node_when_nobody_looks() -> None:
    out = io.StringIO()
    configure_logs("hall", file=out)
    structlog.get_logger("x").warning("camera lost", stream="cam", retry_s=2.0)
    (line,) = lines(out)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "stream": "cam",
        "retry_s": 2.0,
        "event": "camera lost",
        "level": "warning",
        "node": "hall",
    }


def test_lines_are_text_when_asked() -> None:
    out = io.StringIO()
    configure_logs("hall", file=out, json=False)
    structlog.get_logger("x").warning("camera lost", stream="cam")
    assert "camera lost" in out.getvalue()
    assert "stream=cam" in out.getvalue()


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("error", 0)])
def test_the_level_decides_what_is_written(level: str, count: int) -> None:
    out = io.StringIO()
    configure_logs("hall", file=out, level=level)
    log = structlog.get_logger("x")
    log.debug("a")
    log.info("b")
    log.warning("c")
    assert len(lines(out)) == count


def test_level_and_format_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEWATCH_LOG_LEVEL", "error")
    monkeypatch.setenv("FUSEWATCH_LOG_FORMAT", "text")
    out = io.StringIO()
    configure_logs("hall", file=out)
    structlog.get_logger("x").warning("a")
    structlog.get_logger("x").error("b")
    assert "[error" in out.getvalue()
    assert "[warning" not in out.getvalue()


def test_libraries_that_use_logging_come_out_the_same_way() -> None:
    out = io.StringIO()
    configure_logs("hall", file=out)
    logging.getLogger("paho").warning("cannot reach %s", "mqtt://u:p@broker")
    (line,) = lines(out)
    assert line["event"] == "cannot reach mqtt://***@broker"
    assert (line["node"], line["level"], line["logger"]) == ("hall", "warning", "paho")


def test_no_secret_gets_into_a_line() -> None:
    out = io.StringIO()
    configure_logs("hall", file=out, secrets={"s3cret", "ab"})
    try:
        raise OSError("rtsp://u:hunter2@cam is down")
    except OSError as error:
        structlog.get_logger("x").exception(
            "lost s3cret",
            url="rtsp://u:hunter2@cam",
            urls=["http://u:hunter2@a", {"b": "s3cret!"}],
            password="hunter2",
            error=error,
            grab="about",
        )
    text = out.getvalue()
    assert "hunter2" not in text
    assert "s3cret" not in text
    (line,) = lines(out)
    assert line["grab"] == "about"
    assert "is down" in line["exception"]
    assert line["error"] == "rtsp://***@cam is down"


def test_a_line_that_repeats_is_written_once_and_then_says_how_many_were_left_out() -> None:
    now = [0.0]
    limit = RateLimit(lambda: now[0])

    def written(**fields: Any) -> dict[str, Any] | None:
        try:
            return dict(limit(None, "warning", {"event": "lost", **fields}))
        except structlog.DropEvent:
            return None

    assert written(stream="a", every_s=10) == {"event": "lost", "stream": "a"}
    assert written(stream="a", every_s=10) is None
    assert written(stream="b", every_s=10) is not None
    assert written(stream="a") is not None
    now[0] = 9.9
    assert written(stream="a", every_s=10) is None
    now[0] = 10.0
    assert written(stream="a", every_s=10) == {"event": "lost", "stream": "a", "suppressed": 2}
    now[0] = 20.0
    assert written(stream="a", every_s=10) == {"event": "lost", "stream": "a"}


def test_cleaning_leaves_other_values_as_they_are() -> None:
    clean = Redact({"secret"}).clean
    assert clean(5) == 5
    assert clean(None) is None
    assert clean(("a", 1.5)) == ["a", 1.5]
    assert clean(ValueError("the secret")) == "the ***"
