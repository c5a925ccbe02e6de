"""Which capture nodes share a queue: those that are joined by a scene.

What the nodes of one scene send must be taken in one order, or one stream would seem late to the
others. Scenes that have no node in common can be taken turns with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.config.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Flows:
    """The queues of a deployment.

    Attributes:
        of_node: Queue of each node; of one that is not named here: its own.
        of_scene: Queue of each scene that has a node.
        scenes: Scenes of each queue.
        streams: Streams that scenes are made of.
    """

    of_node: Mapping[str, str]
    of_scene: Mapping[str, str]
    scenes: Mapping[str, tuple[str, ...]]
    streams: frozenset[str]


def flows_of(deployment: Deployment) -> Flows:
    """The queues of a deployment, each by the name of its first node."""
    streams = {
        node: {name for source in own.sources for name in source.stream_names()}
        for node, own in deployment.nodes.items()
    }
    of_node = {node: node for node in streams}
    of_scene: dict[str, str] = {}
    for scene, settings in deployment.scenes.items():
        joined = {of_node[n] for n, own in streams.items() if own.intersection(settings.streams)}
        if not joined:
            continue
        first = min(joined)
        of_node |= {node: first for node, flow in of_node.items() if flow in joined}
        of_scene |= {one: first for one, flow in of_scene.items() if flow in joined}
        of_scene[scene] = first
    scenes = {
        flow: tuple(name for name, own in of_scene.items() if own == flow)
        for flow in of_scene.values()
    }
    fused = {name for settings in deployment.scenes.values() for name in settings.streams}
    return Flows(of_node, of_scene, scenes, frozenset(fused))
