"""The event itself, for programs of one's own: CloudEvents 1.0 in structured JSON.

``id`` is the event's key, so that a receiver can tell a repeat; ``source`` is
``/fusewatch/<deployment>/<scene>``; ``type`` is ``org.fusewatch.event.<phase>``; ``subject`` is
the event's id, the same for all its phases; ``time`` is the end of the span; ``data`` is the
event. A digest (`pipeline.core.digest`) is of type ``org.fusewatch.digest``: ``id`` is its key,
``subject`` the scene, ``data`` says what came and went. What somebody answered to an event is of
type ``org.fusewatch.event.answered``, with the event and, under ``answer``, what and by whom
(`pipeline.core.answered`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answered import EventAnswer, answer_key, answered_json
from pipeline.core.digest import Digest, digest_body
from pipeline.core.event import Event, to_json
from pipeline.sinks.templates.base import Site, rfc3339


class Plain:
    """The event as a CloudEvent.

    Args:
        site: Where it happened.
    """

    content_type = "application/cloudevents+json; charset=utf-8"

    def __init__(self, site: Site) -> None:
        self._deployment = site.deployment

    def event(self, event: Event, _now_ns: int) -> bytes:
        """The event in the CloudEvents 1.0 JSON format."""
        kind, source = f"event.{event.phase.value}", self._source(event.scene)
        return _envelope(event.key, kind, source, event.id, event.end_ns, to_json(event))

    def digest(self, digest: Digest, _now_ns: int) -> bytes:
        """The digest in the CloudEvents 1.0 JSON format."""
        source, body = self._source(digest.scene), digest_body(digest)
        return _envelope(digest.key, "digest", source, digest.scene, digest.end_ns, body)

    def answer(self, event: Event, answer: EventAnswer) -> bytes:
        """The answer in the CloudEvents 1.0 JSON format."""
        key, at_ns = answer_key(event.id, answer), answer.withdrawn_ns or answer.at_ns
        source, body = self._source(event.scene), answered_json(event, answer)
        return _envelope(key, "event.answered", source, event.id, at_ns, body)

    def _source(self, scene: str) -> str:
        return f"/fusewatch/{self._deployment}/{scene}"


def _envelope(key: str, kind: str, source: str, subject: str, at_ns: int, data: bytes) -> bytes:
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": key,
        "source": source,
        "type": f"org.fusewatch.{kind}",
        "subject": subject,
        "time": rfc3339(at_ns),
        "datacontenttype": "application/json",
        "data": msgspec.Raw(data),
    }
    return msgspec.json.encode(envelope, order="sorted")
