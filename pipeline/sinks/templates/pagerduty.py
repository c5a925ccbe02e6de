"""Incidents of PagerDuty, by its Events API v2 (``https://events.pagerduty.com/v2/enqueue``).

The event's id is the ``dedup_key``: what is raised triggers an alert, an update is written into
the same alert's log, what is over resolves it (developer.pagerduty.com, "Send an alert event").
A summary has at most 1,024 letters and a key at most 255. A digest triggers an alert of the
lowest severity that a person closes: somebody should know that the pager was out of reach.
Whoever answers here acknowledges the alert there (with ``answers: true``); what is answered at
PagerDuty stays there, and there is no way to take an acknowledgement back.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answered import SETTLING, EventAnswer
from pipeline.core.digest import Digest
from pipeline.core.event import Event, Phase, Severity
from pipeline.sinks.templates.base import (
    LEVELS,
    Site,
    digest_lines,
    facts,
    headline,
    moment,
    one_line,
    sentence,
)

_SUMMARY = 512  # half of what is taken: a rare letter may count twice


class PagerDuty:
    """The event as an incident.

    Args:
        site: Where it happened, and the key of the service that is paged.
    """

    content_type = "application/json"

    def __init__(self, site: Site) -> None:
        self._site = site

    def event(self, event: Event, _now_ns: int) -> bytes:
        """Trigger the event's alert, write into its log, or resolve it."""
        body = {"routing_key": self._site.routing_key, "dedup_key": event.id}
        if event.phase is Phase.CLEARED:
            return _encoded(body | {"event_action": "resolve"})
        details = {name.lower(): value for name, value in facts(event, self._site)}
        payload = {
            "summary": one_line(f"{headline(event)}: {sentence(event, _SUMMARY)}", _SUMMARY),
            "severity": LEVELS[event.severity],
            "timestamp": moment(event.start_ns),
            "class": event.alarm,
            "custom_details": details | {"key": event.key},
        }
        link = self._site.link(event)
        links = {"links": [{"href": link, "text": "Look at it"}]} if link else {}
        return _encoded(body | self._trigger(event.scene, payload) | links)

    def digest(self, digest: Digest, _now_ns: int) -> bytes:
        """Trigger an alert that tells what came and went."""
        payload = {
            "summary": f"Meanwhile in {digest.scene}: {digest.summary}",
            "severity": LEVELS[Severity.LOW],
            "timestamp": moment(digest.start_ns),
            "class": "digest",
            "custom_details": {"events": digest_lines(digest)},
        }
        body = {"routing_key": self._site.routing_key, "dedup_key": digest.key}
        return _encoded(body | self._trigger(digest.scene, payload))

    def answer(self, event: Event, answer: EventAnswer) -> bytes | None:
        """Acknowledge the event's alert when somebody looks after it."""
        if answer.action not in SETTLING or answer.withdrawn_ns:
            return None
        body = {"routing_key": self._site.routing_key, "dedup_key": event.id}
        return _encoded(body | {"event_action": "acknowledge"})

    def _trigger(self, scene: str, payload: dict[str, Any]) -> dict[str, Any]:
        where = {
            "source": f"{self._site.deployment}/{scene}",
            "component": scene,
            "group": self._site.deployment,
        }
        client = {"client": "fusewatch"}
        if self._site.page:
            client["client_url"] = self._site.page
        return {"event_action": "trigger", "payload": payload | where} | client


def _encoded(body: dict[str, Any]) -> bytes:
    return msgspec.json.encode(body, order="sorted")
