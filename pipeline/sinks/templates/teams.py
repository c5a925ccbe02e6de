"""Adaptive Cards for Microsoft Teams, through a webhook of its Workflows.

The webhooks of Office 365 connectors are retired; the workflow "Post to a channel when a webhook
request is received" takes a message with one Adaptive Card as its attachment, of 28 KB at most
(learn.microsoft.com, "Create incoming webhooks with Workflows" and the limits of the Teams
connector). What comes from the event stands in text runs, which know no Markdown. A webhook
cannot change a card: each phase is one of its own.
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

_LONGEST = 1500  # letters of the sentence, of up to 4 bytes
_COLOURS = {
    Severity.LOW: "Accent",
    Severity.MEDIUM: "Warning",
    Severity.HIGH: "Attention",
    Severity.CRITICAL: "Attention",
}
_OVER = "Good"


class Teams:
    """The event as a card.

    Args:
        site: Where it happened.
    """

    content_type = "application/json"

    def __init__(self, site: Site) -> None:
        self._site = site

    def event(self, event: Event, _now_ns: int) -> bytes:
        """A card that tells of the phase."""
        colour = _OVER if event.phase is Phase.CLEARED else _COLOURS[event.severity]
        told = [{"title": name, "value": value} for name, value in facts(event, self._site)]
        body = [
            _title(headline(event), colour),
            _words(sentence(event, _LONGEST)),
            {"type": "FactSet", "facts": told},
            _small(event.key),
        ]
        link = self._site.link(event)
        actions = [{"type": "Action.OpenUrl", "title": "Look at it", "url": link}] if link else []
        return _message(f"{headline(event)}: {sentence(event, 300)}", body, actions)

    def digest(self, digest: Digest, _now_ns: int) -> bytes:
        """A card that tells what came and went."""
        title = f"Meanwhile in {digest.scene}"
        lines = [_words(line) for line in digest_lines(digest)]
        body = [_title(title, "Default"), _words(digest.summary), *lines, _small(digest.key)]
        return _message(f"{title}: {digest.summary}", body, [])

    def answer(self, event: Event, answer: EventAnswer) -> bytes:
        """A card that tells what was answered."""
        title, words = f"Answered in {event.scene}", one_line(answer.words, _LONGEST)
        body = [_title(title, "Default"), _words(words), _small(sentence(event, 300))]
        return _message(f"{title}: {one_line(words, 300)}", body, [])


def _title(text: str, colour: str) -> dict[str, Any]:
    run = {"type": "TextRun", "text": text, "size": "Large", "weight": "Bolder", "color": colour}
    return {"type": "RichTextBlock", "inlines": [run]}


def _words(text: str) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text}]}


def _small(text: str) -> dict[str, Any]:
    run = {"type": "TextRun", "text": text, "size": "Small", "isSubtle": True}
    return {"type": "RichTextBlock", "inlines": [run]}


def _message(text: str, body: list[dict[str, Any]], actions: list[dict[str, Any]]) -> bytes:
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": text,
        "body": body,
    }
    if actions:
        card["actions"] = actions
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return msgspec.json.encode({"type": "message", "attachments": [attachment]}, order="sorted")
