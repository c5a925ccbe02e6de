"""The parts of one scene, as the engine drives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.alignment.aligner import Aligner
from pipeline.detection.alarm import Alarm


@dataclass(slots=True)
class Scene:
    """One scene's parts; ``alarm`` is None when the scene has no model."""

    name: str
    aligner: Aligner
    alarm: Alarm | None = None


def users_of(
    scenes: Sequence[Scene], streams: Mapping[str, Sequence[str]]
) -> dict[str, tuple[Scene, ...]]:
    """Scenes that use each stream.

    Args:
        scenes: The scenes.
        streams: Streams of each scene, by scene name.
    """
    users: dict[str, tuple[Scene, ...]] = {}
    for scene in scenes:
        for stream in streams[scene.name]:
            users[stream] = (*users.get(stream, ()), scene)
    return users
