"""How well the streams of a scene agree on when things happen, from a recording of it.

Each stream with anything to compare is put beside a reference: the sound if there is any, as its
moments are known best, else the sensor or camera of the highest rate. What comes out can be
written into the deployment as ``latency_ms``: the stream that is earliest keeps what it has, the
others get as much more as they are later. Where the stamps of a stream came to mean something
else, with another latency, only what came after that is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from pipeline.alignment.activity import Activity, ActivityMeter
from pipeline.alignment.sync_offset import SyncOffset, find_offset, reference_of
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.errors import AlignmentError, RecordingError
from pipeline.core.sample import StreamInfo
from pipeline.recording.reader import Recording

log = structlog.get_logger(__name__)

MILLISECOND_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class SyncFinding:
    """What was found at one scene.

    Attributes:
        scene: The scene.
        reference: The stream that others are compared with.
        activities: Activity per stream.
        offsets: Offset of each other stream against the reference.
        unusable: Streams that cannot be compared, and why.
        stamps: What the stamps of each stream meant, one after the other (`StreamInfo.stamp`).
        latencies_ms: What to write into the deployment, for streams that should change.
    """

    scene: str
    reference: str
    activities: Mapping[str, Activity]
    offsets: tuple[SyncOffset, ...]
    unusable: Mapping[str, str]
    stamps: Mapping[str, tuple[str, ...]]
    latencies_ms: Mapping[str, float]


def sync_of(
    deployment: Deployment,
    scene: str,
    recording: Path,
    *,
    reference: str | None = None,
    span_s: float = 1.0,
) -> SyncFinding:
    """Compare the streams of a scene.

    Args:
        deployment: The deployment.
        scene: Which of its scenes.
        recording: What its streams showed.
        reference: Stream to compare with; None: see the module.
        span_s: Largest offset that is looked for, seconds.

    Raises:
        AlignmentError: Fewer than two streams can be compared.
        RecordingError: The recording cannot be read, or lacks the reference.
    """
    found = _read(recording, deployment.scenes[scene].streams)
    infos, activities, unusable = found.infos, found.activities, found.unusable
    if reference is not None and reference not in infos:
        known = ", ".join(infos) or "none"
        raise RecordingError(f"no stream {reference!r}; there is {known}", where=str(recording))
    if len(activities) < 2 or (reference is not None and reference not in activities):
        said = "; ".join(f"{name}: {why}" for name, why in unusable.items())
        raise AlignmentError(
            f"fewer than two streams to compare{f' ({said})' if said else ''}", where=scene
        )
    chosen = reference or reference_of(activities, infos)
    offsets: list[SyncOffset] = []
    for name in activities:
        if name == chosen:
            continue
        try:
            offset = find_offset(activities[chosen], activities[name], round(span_s * 1e9))
        except AlignmentError as error:
            unusable[name] = str(error)
        else:
            offsets.append(offset)
    latencies = _latencies(deployment, chosen, offsets)
    return SyncFinding(scene, chosen, activities, tuple(offsets), unusable, found.stamps, latencies)


@dataclass(slots=True)
class _Streams:
    """What a recording holds of a scene: streams, activity, why others have none, stamps."""

    infos: dict[str, StreamInfo]
    activities: dict[str, Activity] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    stamps: dict[str, tuple[str, ...]] = field(default_factory=dict)


def _read(recording: Path, streams: Sequence[str]) -> _Streams:
    """Read a recording once, without keeping a sample of it."""
    with Recording(recording) as opened:
        found = _Streams({n: info for n, info in opened.streams.items() if n in streams})
        meters = _meters(found)
        for arrival in opened.arrivals():
            if isinstance(arrival, StreamOpened) and arrival.info.name in found.infos:
                _note_stamp(found, meters, arrival.info)
            elif isinstance(arrival, SampleArrived) and arrival.sample.stream in meters:
                meters[arrival.sample.stream].take(arrival.sample)
    for name, meter in meters.items():
        try:
            found.activities[name] = meter.activity()
        except AlignmentError as error:
            found.unusable[name] = error.message
        if meter.passed_over:
            log.warning("stamps went back, left out", stream=name, samples=meter.passed_over)
    return found


def _note_stamp(found: _Streams, meters: dict[str, ActivityMeter], info: StreamInfo) -> None:
    """Note what stamps mean from now on; a stream of which that changed is gathered anew."""
    known = found.stamps.get(info.name, ())
    if known[-1:] == (info.stamp,):
        return
    found.stamps[info.name] = (*known, info.stamp)
    if known and info.name in meters:
        meters[info.name] = ActivityMeter(info)


def _meters(found: _Streams) -> dict[str, ActivityMeter]:
    """A meter for each stream that can have activity."""
    meters: dict[str, ActivityMeter] = {}
    for name, info in found.infos.items():
        try:
            meters[name] = ActivityMeter(info)
        except AlignmentError as error:
            found.unusable[name] = error.message
    return meters


def _latencies(
    deployment: Deployment, reference: str, offsets: list[SyncOffset]
) -> dict[str, float]:
    """``latency_ms`` of each stream that is surely later than the earliest."""
    late = {one.second: one for one in offsets if one.sure}
    later_ns = {reference: 0, **{name: one.offset_ns for name, one in late.items()}}
    earliest = min(later_ns, key=lambda name: later_ns[name])
    unsure_ns = {name: one.uncertainty_ns for name, one in late.items()}
    found: dict[str, float] = {}
    for name, own_ns in later_ns.items():
        more_ns = own_ns - later_ns[earliest]
        if more_ns > max(unsure_ns.get(name, 0), unsure_ns.get(earliest, 0)):
            before = deployment.streams[name].latency_ms if name in deployment.streams else 0.0
            found[name] = round(before + more_ns / MILLISECOND_NS, 1)
    return found
