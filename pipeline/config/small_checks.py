"""Settings of streams that are sent small which are well formed and cannot be meant."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.config.deployment import Deployment, SceneSettings
from pipeline.config.problems import Problem
from pipeline.config.stream_kinds import stream_kinds
from pipeline.core.sample import Modality


def small_problems(deployment: Deployment) -> Iterator[Problem]:
    """Small pictures of what is no picture, and full ones that are gone when they are wanted."""
    kinds = stream_kinds(deployment)
    for name, stream in deployment.streams.items():
        if stream.small is None:
            continue
        where = ("streams", name, "small")
        if kinds.get(name) not in (None, Modality.VIDEO):
            yield Problem(where, f"{name!r} is not a picture", "remove 'small'")
        scenes = (s for s in deployment.scenes.values() if name in s.streams)
        needed_s = max((_asked_after_s(deployment, scene) for scene in scenes), default=0.0)
        if 0 < stream.small.keep_full_s < needed_s:
            yield Problem(
                (*where, "keep_full_s"),
                f"full pictures of the beginning of an event are gone when it is raised, up to "
                f"{needed_s:g} s later",
                f"write at least {needed_s:g}",
                fatal=False,
            )


def _asked_after_s(deployment: Deployment, scene: SceneSettings) -> float:
    """Age of the first picture of a clip when its event is raised, seconds, or a little less."""
    detected_s = scene.window_s + scene.latency_s + scene.alarm.min_duration_s
    return deployment.fusion.evidence_s + detected_s
