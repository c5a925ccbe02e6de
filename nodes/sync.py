"""How well the streams of a scene agree on when things happen, from a recording of it.

Each stream with anything to compare is put beside a reference: the sound if there is any, as its
moments are known best, else the sensor or camera of the highest rate. What comes out can be
written into the deployment as ``latency_ms``: the stream that is earliest keeps what it has, the
others get as much more as they are later. Where the stamps of a stream came to mean something
else, with another latency, or it changed its form, only what came after that is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from nodes.stamping import EXACT
from pipeline.alignment.activity import Activity, ActivityMeter
from pipeline.alignment.sync_offset import SyncOffset, find_offset, reference_of
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import Arrival, SampleArrived, StreamOpened
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
        late_ms: By how much streams are later whose stamps are ``exact``, as of an import: these
            are taken as they are, and no latency off them.
    """

    scene: str
    reference: str
    activities: Mapping[str, Activity]
    offsets: tuple[SyncOffset, ...]
    unusable: Mapping[str, str]
    stamps: Mapping[str, tuple[str, ...]]
    latencies_ms: Mapping[str, float]
    late_ms: Mapping[str, float]


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
    gathered = SyncGathering(deployment.scenes[scene].streams)
    with Recording(recording) as opened:
        for arrival in opened.arrivals():
            gathered.take(arrival)
    return gathered.finding(deployment, scene, reference=reference, span_s=span_s)


class SyncGathering:
    """Gathers from arrivals what the streams of a scene can be compared by; keeps no sample.

    Args:
        streams: The scene's streams.
        keep_ns: What is older than this before the newest is forgotten; None: nothing is.
    """

    def __init__(self, streams: Sequence[str], keep_ns: int | None = None) -> None:
        self._streams = streams
        self._keep_ns = keep_ns
        self._infos: dict[str, StreamInfo] = {}
        self._meters: dict[str, ActivityMeter] = {}
        self._stamps: dict[str, tuple[str, ...]] = {}
        self._unfit: dict[str, str] = {}

    def take(self, arrival: Arrival) -> None:
        """Take in what arrived."""
        if isinstance(arrival, StreamOpened) and arrival.info.name in self._streams:
            self._open(arrival.info)
        elif isinstance(arrival, SampleArrived) and arrival.sample.stream in self._meters:
            self._meters[arrival.sample.stream].take(arrival.sample)

    def finding(
        self, deployment: Deployment, scene: str, *, reference: str | None = None, span_s: float
    ) -> SyncFinding:
        """Compare what was gathered; arguments and errors as of `sync_of`."""
        activities, unusable = self._activities()
        if reference is not None and reference not in self._infos:
            known = ", ".join(self._infos) or "none"
            raise RecordingError(f"no stream {reference!r}; there is {known}", where=scene)
        if len(activities) < 2 or (reference is not None and reference not in activities):
            said = "; ".join(f"{name}: {why}" for name, why in unusable.items())
            raise AlignmentError(
                f"fewer than two streams to compare{f' ({said})' if said else ''}", where=scene
            )
        chosen = reference or reference_of(activities, self._infos)
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
        late_ms = _late_ms(chosen, offsets)
        exact = {name for name in late_ms if self._stamps[name][-1] == EXACT}
        latencies = {n: _with_known(deployment, n, ms) for n, ms in late_ms.items()}
        return SyncFinding(
            scene, chosen, activities, tuple(offsets), unusable, dict(self._stamps),
            {name: ms for name, ms in latencies.items() if name not in exact},
            {name: round(ms, 1) for name, ms in late_ms.items() if name in exact},
        )  # fmt: skip

    def _open(self, info: StreamInfo) -> None:
        """Note a stream; one in another form, or with stamps of another sense, begins anew."""
        known, stamps = self._infos.get(info.name), self._stamps.get(info.name, ())
        self._infos[info.name] = info
        if info == known:
            return
        if stamps[-1:] != (info.stamp,):
            self._stamps[info.name] = (*stamps, info.stamp)
        self._meters.pop(info.name, None)
        self._unfit.pop(info.name, None)
        try:
            self._meters[info.name] = ActivityMeter(info, self._keep_ns)
        except AlignmentError as error:
            self._unfit[info.name] = error.message

    def _activities(self) -> tuple[dict[str, Activity], dict[str, str]]:
        """Activity by stream, and why others have none."""
        found: dict[str, Activity] = {}
        unusable = dict(self._unfit)
        for name, meter in self._meters.items():
            try:
                found[name] = meter.activity()
            except AlignmentError as error:
                unusable[name] = error.message
            if meter.passed_over:
                log.warning(
                    "stamps went back, left out", stream=name, samples=meter.passed_over,
                    every_s=60,
                )  # fmt: skip
        return found, unusable


def _with_known(deployment: Deployment, stream: str, late_ms: float) -> float:
    """``latency_ms`` of a stream that is so much too late with the one that it has."""
    known = deployment.streams.get(stream)
    return round((known.latency_ms if known is not None else 0.0) + late_ms, 1)


def _late_ms(reference: str, offsets: list[SyncOffset]) -> dict[str, float]:
    """By how much each stream is later than the earliest that surely is, milliseconds."""
    late = {one.second: one for one in offsets if one.sure}
    later_ns = {reference: 0, **{name: one.offset_ns for name, one in late.items()}}
    earliest = min(later_ns, key=lambda name: later_ns[name])
    unsure_ns = {name: one.uncertainty_ns for name, one in late.items()}
    found: dict[str, float] = {}
    for name, own_ns in later_ns.items():
        more_ns = own_ns - later_ns[earliest]
        if more_ns > max(unsure_ns.get(name, 0), unsure_ns.get(earliest, 0)):
            found[name] = more_ns / MILLISECOND_NS
    return found
