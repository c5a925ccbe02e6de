"""How a deployment is, made of what its processes say: streams, scenes, sinks, processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nodes.top_reading import Reading
from pipeline.config.deployment import Deployment

CAPTURE = "capture-"


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream. ``captured = delivered + dropped + spooled``, as its node read it at once.

    Where the node does not answer, what only it knows is None.

    Attributes:
        stream: Name of the stream.
        node: Its node.
        rate_hz: Samples captured a second since the reading before; None: not known yet.
        age_s: Since the stamp of the last sample that arrived; None: none did.
        captured: Samples that came out of the source.
        delivered: Committed by the fusion node.
        dropped: Given up, by reason.
        spooled: Waiting, in memory or on disk, or on their way.
        unexplained: Samples that no entry explains, at the node or on the way.
        clock_offset_s: Site time minus node time; None: not known.
        clock_bound_s: How wrong that may be.
        unseen: Why the stream cannot see; empty: it can.
    """

    stream: str
    node: str
    rate_hz: float | None
    age_s: float | None
    captured: int | None
    delivered: int | None
    dropped: Mapping[str, int]
    spooled: int | None
    unexplained: int
    clock_offset_s: float | None
    clock_bound_s: float | None
    unseen: str


@dataclass(frozen=True, slots=True)
class SceneStatus:
    """One scene.

    Attributes:
        scene: Name of the scene.
        windows: Windows cut since the fusion node started.
        complete: Part of them in which no stream was missing; None: there was none.
        windows_hz: Windows cut a second since the reading before; None: not known yet.
        score: Anomaly score of the last window; None: no model, or none was scored.
        delay_s: From the end of a window to its score, mean; None: none was scored.
        alarms: Alarms that stand.
        health: Events of the equipment that stand.
        raised_day: Alarms raised in the last day.
        budget_ratio: Those over the budget's; None: no model.
    """

    scene: str
    windows: int
    complete: float | None
    windows_hz: float | None
    score: float | None
    delay_s: float | None
    alarms: int
    health: int
    raised_day: int
    budget_ratio: float | None


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """One sink.

    Attributes:
        sink: Name of the sink.
        up: Whether its last try went well.
        pending: Deliveries that wait.
        oldest_s: Since the oldest of them ended.
        failures: Failures in a row.
        delivered: Deliveries made since the alert node started.
        dead: Deliveries moved aside.
    """

    sink: str
    up: bool
    pending: int
    oldest_s: float
    failures: int
    delivered: int
    dead: int


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
    """

    deployment: str
    time_s: float
    processes: tuple[ProcessStatus, ...]
    streams: tuple[StreamStatus, ...]
    scenes: tuple[SceneStatus, ...]
    sinks: tuple[SinkStatus, ...]


def status_of(
    deployment: Deployment,
    now: Mapping[str, Reading],
    before: Mapping[str, Reading],
    time_s: float,
) -> Status:
    """How a deployment is.

    Args:
        deployment: The deployment.
        now: What its processes say, by name.
        before: What they said a while ago; empty: nothing that goes by time is known.
        time_s: Unix time.
    """
    fusion = now.get("fusion", Reading("fusion", 0.0))
    return Status(
        deployment=deployment.name,
        time_s=time_s,
        processes=tuple(_process(one, before.get(name)) for name, one in now.items()),
        streams=tuple(
            stream
            for name, node in deployment.nodes.items()
            for stream in _streams(
                name,
                [one for source in node.sources for one in source.stream_names()],
                now,
                before.get(CAPTURE + name),
                time_s,
            )
        ),
        scenes=tuple(_scene(name, fusion, before.get("fusion")) for name in deployment.scenes),
        sinks=tuple(
            _sink(settings.key, now.get("alert", Reading("alert", 0.0)))
            for settings in deployment.alert.sinks
        ),
    )


def _process(now: Reading, before: Reading | None) -> ProcessStatus:
    words = (f"{name}: {said}" if said else name for name, said in now.troubles.items())
    memory = now.one("process_resident_memory_bytes")
    return ProcessStatus(
        name=now.name,
        answers=not now.error,
        trouble=now.error or "; ".join(words),
        cpu=_rate(now, before, "process_cpu_seconds_total"),
        memory_mb=None if memory is None else memory / 2**20,
    )


def _streams(
    node: str,
    configured: Iterable[str],
    now: Mapping[str, Reading],
    before: Reading | None,
    time_s: float,
) -> Iterator[StreamStatus]:
    own = now.get(CAPTURE + node, Reading(CAPTURE + node, 0.0))
    fusion = now.get("fusion", Reading("fusion", 0.0))
    last_s = fusion.by("stream", "fusewatch_last_sample_time_seconds")
    lost = fusion.by("stream", "fusewatch_unexplained_samples")
    wrong = own.by("stream", "fusewatch_unexplained")
    offset_s, bound_s = _clock(own)
    known = own.by("stream", "fusewatch_captured_total")
    for stream in dict.fromkeys((*configured, *known)):
        yield StreamStatus(
            stream=stream,
            node=node,
            rate_hz=_rate(own, before, "fusewatch_captured_total", stream=stream),
            age_s=time_s - last_s[stream] if stream in last_s else None,
            captured=_count(own, "fusewatch_captured_total", stream),
            delivered=_count(own, "fusewatch_delivered_total", stream),
            dropped=_dropped(own, stream),
            spooled=_count(own, "fusewatch_spooled", stream),
            unexplained=round(max(lost.get(stream, 0), abs(wrong.get(stream, 0)))),
            clock_offset_s=offset_s,
            clock_bound_s=bound_s,
            unseen=_unseen(fusion, stream),
        )


def _clock(reading: Reading) -> tuple[float | None, float | None]:
    """A node's clock offset and its bound, seconds; None before it is known."""
    source = reading.by("fusewatch_clock_source", "fusewatch_clock_source")
    if source.get("none", 1.0):
        return None, None
    offset_s = reading.one("fusewatch_clock_offset_seconds")
    return offset_s, reading.one("fusewatch_clock_uncertainty_seconds")


def _count(reading: Reading, metric: str, stream: str) -> int | None:
    found = _value(reading, metric, stream=stream)
    return None if found is None else round(found)


def _dropped(reading: Reading, stream: str) -> dict[str, int]:
    return {
        labels["reason"]: round(value)
        for labels, value in reading.each("fusewatch_dropped_total")
        if labels.get("stream") == stream and value
    }


def _unseen(fusion: Reading, stream: str) -> str:
    found = (
        labels["reason"]
        for labels, value in fusion.each("fusewatch_stream_unseen")
        if labels.get("stream") == stream and value
    )
    return next(found, "")


def _scene(name: str, fusion: Reading, before: Reading | None) -> SceneStatus:
    def of(metric: str, **labels: str) -> float | None:
        return _value(fusion, metric, scene=name, **labels)

    complete = of("fusewatch_windows_total", complete="true") or 0.0
    windows = fusion.by("scene", "fusewatch_windows_total").get(name, 0.0)
    scored = of("fusewatch_window_age_seconds_count")
    age_s = of("fusewatch_window_age_seconds_sum")
    return SceneStatus(
        scene=name,
        windows=round(windows),
        complete=complete / windows if windows else None,
        windows_hz=_rate(fusion, before, "fusewatch_windows_total", scene=name),
        score=of("fusewatch_anomaly_score"),
        delay_s=age_s / scored if scored and age_s is not None else None,
        alarms=round(of("fusewatch_events_standing", kind="alarm") or 0),
        health=round(of("fusewatch_events_standing", kind="health") or 0),
        raised_day=round(of("fusewatch_alarms_raised", period="day") or 0),
        budget_ratio=of("fusewatch_alarm_budget_ratio", period="day"),
    )


def _sink(name: str, alert: Reading) -> SinkStatus:
    def of(metric: str) -> float:
        return _value(alert, f"fusewatch_{metric}", sink=name) or 0.0

    return SinkStatus(
        sink=name,
        up=bool(of("sink_up")),
        pending=round(of("outbox_pending")),
        oldest_s=of("outbox_oldest_seconds"),
        failures=round(of("sink_failures")),
        delivered=round(of("sink_delivered_total")),
        dead=round(of("outbox_dead")),
    )


def _value(reading: Reading, metric: str, **labels: str) -> float | None:
    """The sum of a metric's samples that have these labels; None: there is none."""
    found = [v for its, v in reading.each(metric) if labels.items() <= its.items()]
    return sum(found) if found else None


def _rate(now: Reading, before: Reading | None, metric: str, **labels: str) -> float | None:
    """Growth of a counter a second; None when it is not known, or began anew."""
    if before is None or now.at_s <= before.at_s:
        return None
    new, old = _value(now, metric, **labels), _value(before, metric, **labels)
    if new is None or old is None or new < old:
        return None
    return (new - old) / (now.at_s - before.at_s)
