"""How long a scene's scoring and alarm remember, so that a replay may begin in the middle.

A replay that begins that long before a piece is, by the time the piece begins, where one that
began with the recordings would be. What each part remembers:

- aligning: some seconds; windows lie on a grid of absolute time, so they are the same windows;
- the networks that look back: as many windows as they were learnt with;
- what lasts: the windows in a row that are heard together (`pipeline.detection.lasting`);
- the alarm: until it is quiet again and has cooled down;
- a camera: colours that stood in the picture, until what is gone hides nothing more, an hour
  (`pipeline.models.standing.FADES_S`). What was gone for longer still counts for a little should
  it come back, so pieces of a scene with a camera may differ there;
- without any end: the level of the last hours of sensors that were learnt over days
  (`pipeline.models.running_level`), which goes on from where learning left it at a bounded speed,
  and recalibration (`pipeline.detection.recalibration`). Such a scene is not cut.

What an hour of a day is like and how limits widen with time are functions of the time alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.alignment.audio import MEMORY_NS
from pipeline.alignment.settings import SceneOptions
from pipeline.config.deployment import Deployment, SceneSettings
from pipeline.models.scene_model import SceneModel
from pipeline.models.standing import FADES_S

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Memory:
    """What one scene remembers.

    Attributes:
        lead_ns: Recorded time after which a replay is where a longer one would be.
        longest: What remembers longest, in words.
        endless: What remembers for ever, in words; empty: nothing does.
        nearly: What is older than that and still counts for a little, in words; may be empty.
    """

    lead_ns: int
    longest: str
    endless: tuple[str, ...] = ()
    nearly: str = ""


def memory_of(deployment: Deployment, scene: str, model: SceneModel) -> Memory:
    """What a scene remembers with a model."""
    settings = deployment.scenes[scene]
    parts = {
        "the aligning of its streams": _aligning_ns(deployment, settings),
        "the alarm": _alarm_ns(settings),
        "the windows that its networks look back at": _past_ns(settings, model),
        "what lasts": model.lasting_windows * _ns(settings.hop_s),
    }
    cameras = [s.info.name for s in model.streams if s.density.objects is not None]
    if cameras:
        parts[f"what stands before {', '.join(cameras)}"] = round(FADES_S * SECOND_NS)
    longest = max(parts, key=lambda part: parts[part])
    nearly = "what was gone from the picture for longer and comes back" if cameras else ""
    # One after the other: windows must be right before what looks at them can be.
    shorter_ns = sum(parts.values()) - parts[longest]
    return Memory(parts[longest] + shorter_ns, longest, tuple(_endless(settings, model)), nearly)


def _aligning_ns(deployment: Deployment, settings: SceneSettings) -> int:
    """Longest that a sample waits or is waited for."""
    ahead_ns = int(SceneOptions.model_fields["max_ahead_ns"].default)
    gaps = [_ns(deployment.stream(name).max_gap_s) for name in settings.streams]
    waits_s = settings.window_s + settings.latency_s + settings.lateness_s + settings.idle_s
    return _ns(waits_s) + max(ahead_ns, MEMORY_NS, *gaps)


def _alarm_ns(settings: SceneSettings) -> int:
    alarm = settings.alarm
    return _ns(alarm.min_duration_s + alarm.clear_after_s + alarm.cooldown_s)


def _past_ns(settings: SceneSettings, model: SceneModel) -> int:
    odd = 1 if model.odd is None else model.odd.settings.windows
    network = 1 if model.network is None else model.network.memo.windows
    return max(odd, network) * _ns(settings.hop_s)


def _endless(settings: SceneSettings, model: SceneModel) -> Iterable[str]:
    running = [s.info.name for s in model.streams if s.density.running is not None]
    if running:
        yield f"the level of the last hours of {', '.join(running)}"
    if settings.recalibrate.enabled:
        yield "recalibration"


def _ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)
