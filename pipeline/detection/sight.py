"""Which streams of a scene cannot see in a window, and why.

- *Absent*: nothing of the stream is in the window. A stream that need not give anything in a
  window (a log, a door contact, a reading every minute) is *quiet* then, which says nothing,
  unless it was never announced or a log has ended.
- *Late*: what came of it was too late to be in the window, by its delay or by its stamps: the
  clock of a device that lost its power begins at 1970.
- *Unusable*: it is not the stream that the scene's model has learnt, or of another modality than
  it was announced with.
- *Incomplete*: the model had too little of it to score.
- What the model's measures of quality say: dark, covered, blurred, frozen, clipped, silent,
  stuck, partly missing; see `pipeline.models.quality`. And moved: it looks elsewhere than where
  it learnt, see `pipeline.models.video_view`.
- *Out of range*: most readings of a channel are beyond what was declared to be possible. They
  are not scored.
- *Clock*: its stamps may be off by more than the limit and the time between two of its samples,
  so that what it shows cannot be put beside what others show.

A scene without a model tells what is absent, out of range, or of an untrusted clock. A camera
turned so far that nothing of what it learnt is left in the picture, and a sensor far from what it
ever read of which no range is declared, are not among them: they are anomalies, which the model
scores.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import Slice, TextSlice, Window
from pipeline.detection.score import WindowScore
from pipeline.models.sensor_quality import out_of_range

ABSENT = "absent"
UNUSABLE = "unusable"
INCOMPLETE = "incomplete"
CLOCK = "clock"
LATE = "late"
QUIET = "quiet"
SECOND_NS = 1_000_000_000
_HOW_MUCH = " by about "


def reasons_of(
    window: Window,
    streams: Sequence[str],
    score: WindowScore | None,
    unfit: Collection[str],
    clock_limit_ns: int,
) -> dict[str, str]:
    """Why each of a scene's streams cannot see; without those that do.

    Args:
        window: The window.
        streams: Streams of the scene.
        score: Its score; None: the scene has no model.
        unfit: Streams that the scene or its model cannot use.
        clock_limit_ns: From here on a clock is not trusted.
    """
    found = {}
    for stream in streams:
        part = window.slices.get(stream)
        reason = UNUSABLE if stream in unfit else out_of_range(part) or _presence(part, window)
        if part is not None and not reason:
            reason = _quality(part, window, score) or _clock(part.info, window, clock_limit_ns)
        if reason:
            found[stream] = reason
    return found


def same_reason(one: str, other: str) -> bool:
    """Whether two reasons say the same but for how much: a number may waver."""
    return one.partition(_HOW_MUCH)[0] == other.partition(_HOW_MUCH)[0]


def gone_nodes(nodes: Mapping[str, Sequence[str]], reasons: Mapping[str, str]) -> list[str]:
    """Nodes of which nothing comes: two streams or more are absent, and none is heard."""
    return [
        node
        for node, streams in nodes.items()
        if all(reasons.get(s) in (ABSENT, QUIET) for s in streams)
        and sum(reasons[s] == ABSENT for s in streams) > 1
    ]


def regular(info: StreamInfo, length_ns: int) -> bool:
    """Whether a stream that is well gives something in every span of this length."""
    if info.modality is Modality.TEXT:
        return False
    if not info.rate_hz:
        return info.modality is not Modality.SENSOR
    return info.rate_hz * length_ns >= SECOND_NS


def _presence(part: Slice | None, window: Window) -> str:
    if part is None:
        return ABSENT
    if isinstance(part, TextSlice):
        return ABSENT if not part.coverage else "" if part.lines else QUIET
    if part.coverage:
        return ""
    if window.late.get(part.info.name):
        return LATE
    return ABSENT if regular(part.info, window.end_ns - window.start_ns) else QUIET


def _quality(part: Slice, window: Window, score: WindowScore | None) -> str:
    if score is None:
        return ""
    if part.info.name in score.missing and regular(part.info, window.end_ns - window.start_ns):
        return INCOMPLETE
    return score.degraded.get(part.info.name, "")


def _clock(info: StreamInfo, window: Window, limit_ns: int) -> str:
    period_ns = SECOND_NS / info.rate_hz if info.rate_hz else 0
    return CLOCK if window.uncertainty_ns.get(info.name, 0) - period_ns > limit_ns else ""
