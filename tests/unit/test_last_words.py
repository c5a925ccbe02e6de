from __future__ import annotations

import os

import pytest

from nodes.last_words import VARIABLE, LastWords, LastWordsHeard


def test_the_last_line_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = LastWordsHeard()
    monkeypatch.setenv(VARIABLE, str(heard.write))
    words = LastWords.of_this_process()
    assert VARIABLE not in os.environ
    words.say("first")
    words.say("the disk\nis full " + "x" * 10_000)
    said = heard.take()
    assert said.startswith("the disk is full xxx")
    assert len(said) <= 2000
    assert heard.take() == ""


def test_silence_is_heard_as_nothing() -> None:
    heard = LastWordsHeard()
    assert heard.take() == ""
    heard.close()
    heard = LastWordsHeard()
    heard.close_write()
    assert heard.take() == ""


def test_nobody_needs_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    LastWords.of_this_process().say("nobody hears this")
    heard = LastWordsHeard()
    copy = os.dup(heard.write)
    heard.close()
    LastWords(copy).say("the listener is gone")
    os.close(copy)
