"""What Slack, Teams, PagerDuty and Alertmanager take, from their own documentation.

Each answers a real request as the service would, by a schema of what it documents: required
keys, types, limits. Unknown keys are refused where the service says which there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from jsonschema import Draft202012Validator

TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"
WEB = r"^https?://[^\s/]+"


def text(most: int, least: int = 1) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": most}


def thing(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": required | optional,
        "additionalProperties": False,
    }


def slack_words(most: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> dict[str, Any]:
    return thing({"type": {"enum": list(kinds)}, "text": text(most)}, emoji={"type": "boolean"})


# docs.slack.dev/reference/block-kit/blocks and /messaging/sending-messages-using-incoming-webhooks
SLACK = thing(
    {"text": text(40_000)},
    blocks={
        "type": "array",
        "minItems": 1,
        "maxItems": 50,
        "items": {
            "oneOf": [
                thing({"type": {"const": "header"}, "text": slack_words(150, ("plain_text",))}),
                thing({"type": {"const": "section"}, "text": slack_words(3000)}),
                thing(
                    {
                        "type": {"const": "section"},
                        "fields": {"type": "array", "maxItems": 10, "items": slack_words(2000)},
                    }
                ),
                thing(
                    {
                        "type": {"const": "context"},
                        "elements": {"type": "array", "maxItems": 10, "items": slack_words(3000)},
                    }
                ),
            ]
        },
    },
)

# adaptivecards.io/explorer, version 1.4; learn.microsoft.com/microsoftteams/platform/webhooks-...
RUN = thing(
    {"type": {"const": "TextRun"}, "text": text(28_000)},
    size={"enum": ["Default", "Small", "Medium", "Large", "ExtraLarge"]},
    weight={"enum": ["Default", "Lighter", "Bolder"]},
    color={"enum": ["Default", "Dark", "Light", "Accent", "Good", "Warning", "Attention"]},
    isSubtle={"type": "boolean"},
)
CARD = thing(
    {
        "$schema": {"type": "string"},
        "type": {"const": "AdaptiveCard"},
        "version": {"enum": ["1.2", "1.3", "1.4", "1.5"]},
        "body": {
            "type": "array",
            "minItems": 1,
            "items": {
                "oneOf": [
                    thing(
                        {
                            "type": {"const": "RichTextBlock"},
                            "inlines": {"type": "array", "minItems": 1, "items": RUN},
                        }
                    ),
                    thing(
                        {
                            "type": {"const": "FactSet"},
                            "facts": {
                                "type": "array",
                                "minItems": 1,
                                "items": thing({"title": text(100), "value": text(1000)}),
                            },
                        }
                    ),
                ]
            },
        },
    },
    fallbackText=text(2000),
    actions={
        "type": "array",
        "maxItems": 6,
        "items": thing(
            {
                "type": {"const": "Action.OpenUrl"},
                "title": text(100),
                "url": {"type": "string", "pattern": WEB},
            }
        ),
    },
)
TEAMS = thing(
    {
        "type": {"const": "message"},
        "attachments": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": thing(
                {
                    "contentType": {"const": "application/vnd.microsoft.card.adaptive"},
                    "content": CARD,
                },
                contentUrl={"type": "null"},
            ),
        },
    }
)

# developer.pagerduty.com/docs/send-alert-event
KEYS = {"routing_key": {"type": "string", "minLength": 32, "maxLength": 32}, "dedup_key": text(255)}
PAGERDUTY = {
    "oneOf": [
        thing(
            KEYS
            | {
                "event_action": {"const": "trigger"},
                "payload": thing(
                    {
                        "summary": text(1024),
                        "source": text(1024),
                        "severity": {"enum": ["critical", "error", "warning", "info"]},
                    },
                    timestamp={"type": "string", "pattern": TIME},
                    component=text(1024),
                    group=text(1024),
                    custom_details={"type": "object"},
                    **{"class": text(1024)},
                ),
            },
            client=text(1024),
            client_url={"type": "string", "pattern": WEB},
            links={
                "type": "array",
                "items": thing({"href": {"type": "string", "pattern": WEB}, "text": text(1024)}),
            },
        ),
        thing(KEYS | {"event_action": {"enum": ["acknowledge", "resolve"]}}),
    ]
}

# api/v2/openapi.yaml of prometheus/alertmanager (postableAlerts), and its check of label names
LABELS = {
    "type": "object",
    "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
    "additionalProperties": {"type": "string"},
}
ALERTMANAGER = {
    "type": "array",
    "items": thing(
        {"labels": LABELS | {"minProperties": 1, "required": ["alertname"]}},
        annotations=LABELS,
        startsAt={"type": "string", "pattern": TIME},
        endsAt={"type": "string", "pattern": TIME},
        generatorURL={"type": "string", "pattern": WEB},
    ),
}


class Service:
    """Answers a request as the service would, and keeps what it took."""

    schema: Mapping[str, Any]
    taken = 200
    refusal = b"invalid_payload"
    longest = 1_000_000
    content_type = "application/json"

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.faults: list[str] = []
        self._schema = Draft202012Validator(self.schema)

    def judge(self, headers: Mapping[str, str], body: bytes) -> int:
        said = json.loads(body)
        faults = [error.message for error in self._schema.iter_errors(said)]
        faults += ["too long"] if len(body) > self.longest else []
        faults += ["content type"] if headers["content-type"] != self.content_type else []
        faults += self.further(said)
        self.faults += faults
        if faults:
            return 400
        self.bodies.append(said)
        return self.taken

    def further(self, _said: Any) -> list[str]:
        """What a schema cannot say."""
        return []


class SlackService(Service):
    schema = SLACK

    def further(self, said: Any) -> list[str]:
        """No text may call a channel, however letters are counted."""
        long = [t for limit, t in _slack_texts(said) if len(t.encode("utf-16-le")) > 2 * limit]
        return [*long, *(["a mention"] if "<!" in said["text"] else [])]


class TeamsService(Service):
    schema = TEAMS
    taken = 202
    longest = 28 * 1024


class PagerDutyService(Service):
    schema = PAGERDUTY
    taken = 202
    longest = 512 * 1024

    @property
    def open(self) -> list[str]:
        """Keys of alerts that stand."""
        stands: dict[str, bool] = {}
        for body in self.bodies:
            if body["event_action"] != "resolve" or body["dedup_key"] in stands:
                stands[body["dedup_key"]] = body["event_action"] != "resolve"
        return [key for key, open_ in stands.items() if open_]


class AlertmanagerService(Service):
    schema = ALERTMANAGER

    def further(self, said: Any) -> list[str]:
        return ["ends before it starts" for one in said if one["endsAt"] < one["startsAt"]]

    def active(self, at: datetime) -> list[dict[str, str]]:
        """Labels of alerts that stand, by the rule with which it merges what it is sent.

        The younger says when it ends, unless both stand: then the later end does.
        """
        ends: dict[str, datetime] = {}
        for alert in (alert for body in self.bodies for alert in body):
            labels = json.dumps(alert["labels"], sort_keys=True)
            end = datetime.fromisoformat(alert["endsAt"])
            ends[labels] = max(end, ends.get(labels, end)) if end > at else end
        return [json.loads(labels) for labels, end in ends.items() if end > at]


def _slack_texts(said: Any) -> Iterator[tuple[int, str]]:
    for block in said["blocks"]:
        limit = 150 if block["type"] == "header" else 3000
        yield from ((limit, block["text"]["text"]) for _ in [0] if "text" in block)
        yield from ((2000, field["text"]) for field in block.get("fields", []))
