"""What is known of a running deployment: of its streams, scenes, sinks and processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nodes.cluster.operating import GroupStatus


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream. ``captured = delivered + dropped + spooled``, as its node read it at once.

    Where a process does not answer, what only it knows is None.

    Attributes:
        stream: Name of the stream.
        node: Its node.
        rate_hz: Samples captured a second since the reading before; None: not known yet.
        age_s: Since the stamp of the last sample that arrived; None: none did.
        captured: Samples that came out of the source.
        delivered: Committed by the fusion node.
        dropped: Given up, by reason.
        spooled: Waiting, in memory or on disk, or on their way.
        unexplained: Samples that no entry explains, at the node or on the way; None: neither
            its node nor the fusion node answers.
        clock_offset_s: Site time minus node time; None: not known.
        clock_bound_s: How wrong that may be.
        unseen: Why the stream cannot see; empty: it can; None: the fusion node does not answer.
    """

    stream: str
    node: str
    rate_hz: float | None
    age_s: float | None
    captured: int | None
    delivered: int | None
    dropped: Mapping[str, int]
    spooled: int | None
    unexplained: int | None
    clock_offset_s: float | None
    clock_bound_s: float | None
    unseen: str | None


@dataclass(frozen=True, slots=True)
class SceneStatus:
    """One scene. All is None when the fusion node does not answer.

    Attributes:
        scene: Name of the scene.
        windows: Windows cut since the fusion node started.
        complete: Part of them in which no stream was missing; None: there was none.
        windows_hz: Windows cut a second since the reading before; None: not known yet.
        score: Anomaly score of the last window; None: no model, or none was scored.
        delay_s: From the end of a window to its score, mean of those scored since the reading
            before, or of all if none was; None: none was scored.
        load: Share of the fusion node's time that it needs; None: not known yet.
        waits_s: How long the first of its samples that is not taken has waited; None: not known.
        hop_times: How many times further apart than set its windows are scored, as the fusion
            node cannot keep up; 1: as set.
        alarms: Alarms that stand.
        health: Events of the equipment that stand.
        held: Events not sent, as they follow from another that stands, or may.
        raised_day: Alarms raised in the last day, but those that a person said were real.
        budget: The scene's budget of false alarms, ``COUNT/PERIOD``.
        spent: Alarms that spent of it in the last one of its periods; None: no model.
        over: Whether that is more than it allows.
        budget_ratio: Those over the budget's; None: no model.
    """

    scene: str
    windows: int | None
    complete: float | None
    windows_hz: float | None
    score: float | None
    delay_s: float | None
    load: float | None
    waits_s: float | None
    hop_times: int | None
    alarms: int | None
    health: int | None
    held: int | None
    raised_day: int | None
    budget: str
    spent: int | None
    over: bool
    budget_ratio: float | None


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """One sink. All is None, or empty, when the alert node does not answer.

    Attributes:
        sink: Name of the sink.
        up: Whether its last try went well.
        pending: Deliveries that wait.
        oldest_s: Since the oldest of them ended.
        held: Deliveries held for later, by why (quiet hours, escalation).
        failures: Failures in a row.
        delivered: Deliveries made since the alert node started.
        dead: Deliveries moved aside.
    """

    sink: str
    up: bool | None
    pending: int | None
    oldest_s: float | None
    held: Mapping[str, int]
    failures: int | None
    delivered: int | None
    dead: int | None


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process.

    Attributes:
        name: Name of the process.
        answers: Whether it could be asked.
        trouble: Why not, or what it is not ready for; empty: all is well.
        cpu: Cores used since the reading before; None: not known yet.
        memory_mb: Resident memory, MiB.
    """

    name: str
    answers: bool
    trouble: str
    cpu: float | None
    memory_mb: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """A whole deployment.

    Attributes:
        deployment: Its name.
        time_s: When it was asked, Unix time.
        processes: Its processes.
        streams: Its streams, by node.
        scenes: Its scenes.
        sinks: Its sinks.
        groups: Of a cluster: where its scenes are fused, as the store tells.
        groups_trouble: Of a cluster: why that cannot be told; empty: it can.
    """

    deployment: str
    time_s: float
    processes: tuple[ProcessStatus, ...]
    streams: tuple[StreamStatus, ...]
    scenes: tuple[SceneStatus, ...]
    sinks: tuple[SinkStatus, ...]
    groups: tuple[GroupStatus, ...] = ()
    groups_trouble: str = ""
