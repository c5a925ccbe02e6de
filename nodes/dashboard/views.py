"""What the page's API gives and takes; times are milliseconds since the Unix epoch, UTC."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from nodes.cluster.operating import GroupStatus
from pipeline.detection.live_rate import LiveRate, Spent, Standing
from pipeline.store import Action, Answer, ScoreMinute, Verdict

MILLISECOND_NS = 1_000_000


class View(BaseModel):
    """Base of all that is given."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class RateView(View):
    """Alarms of a period beside the budget."""

    period: str
    raised: int
    budgeted: float
    ratio: float
    low: float
    high: float


class SpentView(View):
    """What was spent of a budget in the last one of its periods, up to the last window."""

    spent: int
    """Alarms, but those that a person said were real."""
    allowed: float
    period: str
    real: int
    watched_s: float
    standing: Standing
    words: str
    """All this as people say it."""


class SceneView(View):
    """A scene and how it is."""

    name: str
    streams: list[str]
    budget: str
    learnt: bool
    standing: list[str]
    """Ids of events that have not been cleared."""
    spent: SpentView | None
    """None without a model, or before the first window."""
    rates: list[RateView]


class AnswerView(View):
    """What somebody answered to an event."""

    position: int
    event: str
    scene: str
    action: Action
    value: str
    note: str
    who: str
    at_ms: int
    withdrawn_ms: int | None


def _one_of_a_kind(schema: dict[str, Any]) -> None:
    """Say in the schema what `AnswerGiven` checks: what each action comes with."""
    said = schema["properties"]
    nothing = {"type": "null"}
    value, minutes = said["value"]["anyOf"][0], said["minutes"]["anyOf"][0]
    plain = [action.value for action in Action if action not in (Action.VERDICT, Action.SNOOZE)]
    schema["oneOf"] = [
        _kind({"const": Action.VERDICT.value}, value, nothing, ["value"]),
        _kind({"const": Action.SNOOZE.value}, nothing, minutes, ["minutes"]),
        _kind({"enum": plain}, nothing, nothing, []),
    ]


def _kind(action: object, value: object, minutes: object, needed: list[str]) -> dict[str, Any]:
    said = {"action": action, "value": value, "minutes": minutes}
    return {"properties": said, "required": ["action", *needed]}


class AnswerGiven(View):
    """What is answered to an event."""

    model_config = ConfigDict(json_schema_extra=_one_of_a_kind)

    action: Action
    value: Verdict | None = None
    """What it was, for a verdict."""
    minutes: Annotated[int, Field(ge=1, le=7 * 24 * 60)] | None = None
    """How long the scene is not to be told of, for a snooze."""
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.action is Action.VERDICT) != (self.value is not None):
            raise ValueError("a verdict has a value, and nothing else has one")
        if (self.action is Action.SNOOZE) != (self.minutes is not None):
            raise ValueError("a snooze has minutes, and nothing else has any")
        return self


class MinuteView(View):
    """The worst of one or several minutes."""

    at_ms: int
    windows: int
    unseen: int
    score: float
    detectors: dict[str, float]


class History(View):
    """Scores over a span."""

    step_ms: int
    first_ms: int | None
    """The earliest minute that is known of the scene."""
    threshold: float | None
    minutes: list[MinuteView]


class CheckView(View):
    """One check of a node."""

    name: str
    ok: bool
    detail: str


class GroupView(View):
    """A group of scenes that a worker of a cluster fuses."""

    group: str
    scenes: list[str]
    state: str
    machine: str
    owner: str
    """Machine and process that may write its scenes now; empty: none."""
    token: int
    """By which: of two that believe they may, the one with the newest."""
    restarts: int
    detail: str


class NodeView(View):
    """A node process on this machine."""

    name: str
    pid: int
    since_ms: int
    reached: bool
    checks: list[CheckView]


def spent_view(spent: Spent) -> SpentView:
    """What was spent of a budget as it is given."""
    return SpentView(**asdict(spent), words=spent.words)


def group_view(status: GroupStatus) -> GroupView:
    """A group of scenes as it is given."""
    return GroupView(
        group=status.group,
        scenes=list(status.scenes),
        state=status.state,
        machine=status.machine,
        owner=status.owner,
        token=status.token,
        restarts=status.restarts,
        detail=status.detail,
    )


def rate_view(rate: LiveRate) -> RateView:
    """Alarms of a period as they are given."""
    return RateView(
        period=rate.period,
        raised=rate.raised,
        budgeted=rate.budgeted,
        ratio=rate.ratio,
        low=rate.low,
        high=rate.high,
    )


def answer_view(answer: Answer) -> AnswerView:
    """An answer as it is given."""
    return AnswerView(
        position=answer.position,
        event=answer.event,
        scene=answer.scene,
        action=answer.action,
        value=answer.value,
        note=answer.note,
        who=answer.who,
        at_ms=answer.at_ns // MILLISECOND_NS,
        withdrawn_ms=answer.withdrawn_ns // MILLISECOND_NS if answer.withdrawn_ns else None,
    )


def minute_view(minute: ScoreMinute) -> MinuteView:
    """A minute as it is given."""
    return MinuteView(
        at_ms=minute.minute * 60_000,
        windows=minute.windows,
        unseen=minute.unseen,
        score=minute.score,
        detectors=dict(minute.detectors),
    )
