"""Messages for Slack's incoming webhooks: blocks, and a text for where blocks do not show.

Slack (docs.slack.dev, "Sending messages using incoming webhooks" and "Block Kit") takes at most
150 letters of a header, 3,000 of a section, 2,000 of a field and 50 blocks, and answers
``invalid_payload`` to more. What comes from the event stands in ``plain_text`` objects, where
nothing is markup; in ``text`` ``&``, ``<`` and ``>`` are escaped, so that no summary can call a
channel. A webhook cannot change a message: each phase is one of its own.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answered import EventAnswer
from pipeline.core.digest import Digest
from pipeline.core.event import Event, Phase, Severity
from pipeline.sinks.templates.base import (
    Site,
    digest_lines,
    facts,
    headline,
    one_line,
    sentence,
)

# Half of what Slack takes: it does not say whether a rare letter counts once or twice.
_HEADER, _SECTION = 75, 1500
_SIGNS = {
    Severity.LOW: ":large_blue_circle:",
    Severity.MEDIUM: ":large_yellow_circle:",
    Severity.HIGH: ":large_orange_circle:",
    Severity.CRITICAL: ":red_circle:",
}
_OVER = ":white_check_mark:"


class Slack:
    """The event as a Slack message.

    Args:
        site: Where it happened.
    """

    content_type = "application/json"

    def __init__(self, site: Site) -> None:
        self._site = site

    def event(self, event: Event, _now_ns: int) -> bytes:
        """A message that tells of the phase."""
        sign = _OVER if event.phase is Phase.CLEARED else _SIGNS[event.severity]
        fields = [_words(f"{name}: {value}") for name, value in facts(event, self._site)]
        blocks = [
            _header(f"{sign} {headline(event)}"),
            {"type": "section", "text": _words(sentence(event, _SECTION))},
            {"type": "section", "fields": fields},
        ]
        if link := self._site.link(event):
            text = {"type": "mrkdwn", "text": f"<{_escaped(link)}|Look at it>"}
            blocks.append({"type": "section", "text": text})
        blocks.append({"type": "context", "elements": [_words(event.key)]})
        return _message(f"{headline(event)}: {sentence(event, 300)}", blocks)

    def digest(self, digest: Digest, _now_ns: int) -> bytes:
        """A message that tells what came and went."""
        title = f"Meanwhile in {digest.scene}"
        blocks = [
            _header(title),
            {"type": "section", "text": _words(digest.summary)},
            *({"type": "section", "text": _words(line)} for line in digest_lines(digest)),
            {"type": "context", "elements": [_words(digest.key)]},
        ]
        return _message(f"{title}: {digest.summary}", blocks)

    def answer(self, event: Event, answer: EventAnswer) -> bytes:
        """A message that tells what was answered."""
        title, words = f"Answered in {event.scene}", one_line(answer.words, _SECTION)
        about = {"type": "context", "elements": [_words(sentence(event, 300))]}
        blocks = [_header(title), {"type": "section", "text": _words(words)}, about]
        return _message(f"{title}: {words}", blocks)


def _header(text: str) -> dict[str, Any]:
    shown = {"type": "plain_text", "text": one_line(text, _HEADER), "emoji": True}
    return {"type": "header", "text": shown}


def _words(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _message(text: str, blocks: list[dict[str, Any]]) -> bytes:
    return msgspec.json.encode({"text": _escaped(text), "blocks": blocks}, order="sorted")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
