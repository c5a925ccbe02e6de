"""Alerts for Prometheus' Alertmanager, by its API v2 (``POST /api/v2/alerts``).

Rules (prometheus.io, "Alerts API"; api/v2/openapi.yaml and types/types.go of Alertmanager 0.27):

- Labels say which alert it is: the event's id and severity are among them, so that routes can go
  by severity. When an event grew worse, the alerts of its lesser severities are ended by the same
  request.
- An alert without ``endsAt`` ends when nothing is heard for ``resolve_timeout``, and clients
  send it again and again. Ours come once: ``endsAt`` is far ahead while the event stands, each
  update moves it on, and the end sets it to when it was over, which Alertmanager takes. Should
  the end never come, the alert ends by itself then.
- What is answered here is not told: its own silences are made there.
- A digest is the alerts of what came and went, ended already: kept, and nobody is notified.

Alertmanager keeps alerts in memory: after its restart it knows of a standing one at its next
update.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answered import EventAnswer
from pipeline.core.digest import Digest
from pipeline.core.event import Event, Phase, Severity
from pipeline.sinks.templates.base import LEVELS, Site, headline, moment, sentence

_SENTENCE = 1000
_STEPS = tuple(Severity)


class Alertmanager:
    """The event as alerts.

    Args:
        site: Where it happened, and how long an alert stands without news.
    """

    content_type = "application/json"

    def __init__(self, site: Site) -> None:
        self._site = site

    def event(self, event: Event, now_ns: int) -> bytes:
        """The event's alert as it stands now, and the end of those that it was before."""
        over = event.phase is Phase.CLEARED
        ahead_ns = max(now_ns, event.end_ns) + self._site.stands_ns
        alerts = [self._alert(event, event.severity, event.end_ns if over else ahead_ns)]
        lesser = _STEPS[: _STEPS.index(event.severity)] if event.revision else ()
        alerts += [self._alert(event, step, event.end_ns) for step in lesser]
        return msgspec.json.encode(alerts, order="sorted")

    def digest(self, digest: Digest, _now_ns: int) -> bytes:
        """Alerts that are over."""
        alerts = [self._alert(event, event.severity, event.end_ns) for event in digest.last]
        return msgspec.json.encode(alerts, order="sorted")

    def answer(self, _event: Event, _answer: EventAnswer) -> None:
        """Nothing: there is no place for it."""
        return

    def _alert(self, event: Event, severity: Severity, ends_ns: int) -> dict[str, Any]:
        alert: dict[str, Any] = {
            "labels": {
                "alertname": "Fusewatch",
                "deployment": self._site.deployment,
                "scene": event.scene,
                "alarm": event.alarm,
                "event": event.id,
                "severity": LEVELS[severity],
            },
            "annotations": {
                "summary": headline(event),
                "description": sentence(event, _SENTENCE),
                "key": event.key,
            },
            "startsAt": moment(event.start_ns),
            "endsAt": moment(ends_ns),
        }
        if link := self._site.link(event):
            alert["generatorURL"] = link
        return alert
