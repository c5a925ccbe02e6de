from __future__ import annotations

import io

import pytest

from pipeline.core.errors import SinkUnavailable
from pipeline.core.event import HEALTH_PREFIX, Phase, Severity
from pipeline.sinks import console
from pipeline.sinks.console import ConsoleSettings, ConsoleSink
from tests.event_samples import event, life


class Screen(io.StringIO):
    def __init__(self, terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__()
        self._terminal = terminal
        self._encoding = encoding

    @property
    def encoding(self) -> str:
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


def printed(screen: Screen, *events, **settings) -> str:
    sink = ConsoleSink(ConsoleSettings(utc=True, **settings), screen)
    sink.open()
    for each in events:
        sink.deliver(each)
    sink.close()
    return screen.getvalue()


def test_one_line_says_when_what_where_and_how_sure() -> None:
    (line,) = printed(Screen(), event(100), details=False).splitlines()
    assert line.startswith("1970-01-01 00:01:41Z")
    for part in ("RAISED", "high", "hall", "a sound without its cause", "1.0 s", "p=1.0e-05"):
        assert part in line
    assert event(100).id[:8] in line


def test_what_tells_of_the_equipment_has_no_probability() -> None:
    of_equipment = event(100, id=f"{HEALTH_PREFIX}0123")
    (line,) = printed(Screen(), of_equipment, details=False).splitlines()
    assert "p=" not in line
    assert "1.0 s" in line


def test_a_raised_event_shows_what_contributed() -> None:
    text = printed(Screen(), *life())
    assert text.count("audio:mic: 90%, louder than ever") == 1
    assert "not seen: cam" in text
    assert "picture: hall/a.jpg" in text


def test_there_are_no_colours_off_a_terminal() -> None:
    assert "\x1b" not in printed(Screen(), *life())


def test_colours_follow_severity_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    lines = [
        printed(Screen(terminal=True), event(severity=s, phase=p), details=False)
        for s, p in [(Severity.LOW, Phase.RAISED), (Severity.CRITICAL, Phase.RAISED)]
    ]
    assert all("\x1b[" in line for line in lines)
    assert lines[0].split("RAISED")[0] != lines[1].split("RAISED")[0]


def test_a_terminal_without_unicode_gets_plain_marks() -> None:
    assert printed(Screen(encoding="ascii"), *life()).isascii()


def test_markup_and_control_signs_in_a_summary_are_printed_not_obeyed() -> None:
    text = printed(Screen(), event(summary="[red]x[/red] \x1b[31mred"), details=False)
    assert "[red]x[/red]" in text
    assert "\x1b" not in text


def test_only_so_many_keys_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "REMEMBERED", 3)
    screen = Screen()
    text = printed(screen, *[event(s) for s in (0, 1, 2, 3, 3, 0)], details=False)
    assert len(text.splitlines()) == 5


def test_a_closed_output_is_unavailable() -> None:
    screen = Screen()
    sink = ConsoleSink(ConsoleSettings(), screen)
    sink.open()
    screen.close()
    with pytest.raises(SinkUnavailable, match="stdout"):
        sink.deliver(event())
