"""How a deployment is, made of what its processes say: streams, scenes, sinks, processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isnan

from nodes.cluster.narrowing import worker_name
from nodes.top_model import ProcessStatus, SceneStatus, SinkStatus, Status, StreamStatus
from nodes.top_reading import Reading, cluster_groups
from pipeline.config.deployment import Deployment
from pipeline.config.groups import scenes_of_node
from pipeline.detection.alarm import AlarmSettings

CAPTURE, FUSION = "capture-", "fusion"


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
    fuses = _fusing(deployment)
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
                _of(now, fuses, next(iter(scenes_of_node(deployment, name)), "")),
                before.get(CAPTURE + name),
                time_s,
            )
        ),
        scenes=tuple(
            _scene(name, scene.alarm, _of(now, fuses, name), before.get(fuses.get(name, FUSION)))
            for name, scene in deployment.scenes.items()
        ),
        sinks=tuple(
            _sink(settings.key, now.get("alert", _unasked("alert")))
            for settings in deployment.alert.sinks
        ),
    )


def _fusing(deployment: Deployment) -> dict[str, str]:
    """Process that fuses each scene: of a cluster, its group's worker."""
    groups = cluster_groups(deployment).items()
    found = {scene: worker_name(group) for group, scenes in groups for scene in scenes}
    return {scene: found.get(scene, FUSION) for scene in deployment.scenes}


def _of(now: Mapping[str, Reading], fuses: Mapping[str, str], scene: str) -> Reading:
    """What the process said that fuses a scene."""
    name = fuses.get(scene, FUSION)
    return now.get(name, _unasked(name))


def _unasked(name: str) -> Reading:
    return Reading(name, 0.0, "not asked")


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
    fusion: Reading,
    before: Reading | None,
    time_s: float,
) -> Iterator[StreamStatus]:
    own = now.get(CAPTURE + node, _unasked(CAPTURE + node))
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
            dropped=_by_reason(own, "fusewatch_dropped_total", stream=stream),
            spooled=_count(own, "fusewatch_spooled", stream),
            unexplained=None
            if own.silent and fusion.silent
            else round(max(lost.get(stream, 0), abs(wrong.get(stream, 0)))),
            clock_offset_s=offset_s,
            clock_bound_s=bound_s,
            unseen=None if fusion.silent else _unseen(fusion, stream),
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


def _by_reason(reading: Reading, metric: str, **labels: str) -> dict[str, int]:
    """Those of a metric's samples that have these labels and are not 0, by reason."""
    return {
        its["reason"]: round(value)
        for its, value in reading.each(metric)
        if value and labels.items() <= its.items()
    }


def _unseen(fusion: Reading, stream: str) -> str:
    found = (
        labels["reason"]
        for labels, value in fusion.each("fusewatch_stream_unseen")
        if labels.get("stream") == stream and value
    )
    return next(found, "")


def _scene(name: str, alarm: AlarmSettings, fusion: Reading, before: Reading | None) -> SceneStatus:
    def of(metric: str, **labels: str) -> float | None:
        return _value(fusion, metric, scene=name, **labels)

    def count(metric: str, **labels: str) -> int | None:
        return None if fusion.silent else round(of(metric, **labels) or 0)

    complete = of("fusewatch_windows_total", complete="true") or 0.0
    windows = fusion.by("scene", "fusewatch_windows_total").get(name, 0.0)
    spent = of("fusewatch_alarm_budget_spent")
    times = of("fusewatch_hop_times")
    return SceneStatus(
        scene=name,
        windows=None if fusion.silent else round(windows),
        complete=complete / windows if windows else None,
        windows_hz=_rate(fusion, before, "fusewatch_windows_total", scene=name),
        score=of("fusewatch_anomaly_score"),
        delay_s=_delay_s(name, fusion, before),
        load=of("fusewatch_scene_load"),
        waits_s=of("fusewatch_scene_lag_seconds"),
        hop_times=None if times is None else round(times),
        alarms=count("fusewatch_events_standing", kind="alarm"),
        health=count("fusewatch_events_standing", kind="health"),
        held=count("fusewatch_events_held"),
        raised_day=count("fusewatch_alarms_raised", period="day"),
        budget=alarm.budget,
        spent=None if spent is None else round(spent),
        over=spent is not None and spent > alarm.allowed,
        budget_ratio=of("fusewatch_alarm_budget_ratio", period="day"),
    )


def _delay_s(scene: str, now: Reading, before: Reading | None) -> float | None:
    """Mean age of the windows scored between two readings; of all, if none was."""

    def of(reading: Reading | None, part: str) -> float:
        metric = f"fusewatch_window_age_seconds_{part}"
        return 0.0 if reading is None else _value(reading, metric, scene=scene) or 0.0

    count, age_s = of(now, "count"), of(now, "sum")
    earlier = of(before, "count")
    if 0 < earlier < count:
        count, age_s = count - earlier, age_s - of(before, "sum")
    return age_s / count if count else None


def _sink(name: str, alert: Reading) -> SinkStatus:
    if alert.silent:
        return SinkStatus(name, None, None, None, {}, None, None, None)

    def of(metric: str) -> float:
        return _value(alert, f"fusewatch_{metric}", sink=name) or 0.0

    return SinkStatus(
        sink=name,
        up=bool(of("sink_up")),
        pending=round(of("outbox_pending")),
        oldest_s=of("outbox_oldest_seconds"),
        held=_by_reason(alert, "fusewatch_outbox_held", sink=name),
        failures=round(of("sink_failures")),
        delivered=round(of("sink_delivered_total")),
        dead=round(of("outbox_dead")),
    )


def _value(reading: Reading, metric: str, **labels: str) -> float | None:
    """The sum of a metric's samples that have these labels; None: there is none, or no number."""
    found = [v for its, v in reading.each(metric) if labels.items() <= its.items()]
    return None if not found or isnan(sum(found)) else sum(found)


def _rate(now: Reading, before: Reading | None, metric: str, **labels: str) -> float | None:
    """Growth of a counter a second; None when it is not known, or began anew."""
    if before is None or now.at_s <= before.at_s:
        return None
    new, old = _value(now, metric, **labels), _value(before, metric, **labels)
    if new is None or old is None or new < old:
        return None
    return (new - old) / (now.at_s - before.at_s)
