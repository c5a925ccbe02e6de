"""Groups of scenes, each of which is fused by one worker of a cluster.

A capture node sends all its streams to one worker, so scenes that share a capture node are in one
group. Where the deployment names no groups they are made so: scenes that are joined by capture
nodes, directly or through others, are *inseparable*. Each such set is a group, named after the
first of its scenes; or, with ``group_count``, sets are dealt to so many groups, the largest first,
each to the group with the fewest scenes so far.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config.deployment import Deployment
from pipeline.core.errors import ConfigError


def groups_of(deployment: Deployment) -> dict[str, tuple[str, ...]]:
    """Scenes of each group, by its name."""
    engine = deployment.engine
    if engine.groups:
        return {name: tuple(scenes) for name, scenes in engine.groups.items()}
    sets = inseparable(deployment)
    if engine.group_count is None:
        return {scenes[0]: scenes for scenes in sets}
    return _dealt(sets, engine.group_count)


def group_of(deployment: Deployment, group: str) -> tuple[str, ...]:
    """Scenes of one group.

    Raises:
        ConfigError: There is no such group.
    """
    groups = groups_of(deployment)
    if group not in groups:
        raise ConfigError(f"there is no group {group!r}", fix=f"one of: {', '.join(groups)}")
    return groups[group]


def scenes_of_node(deployment: Deployment, node: str) -> tuple[str, ...]:
    """Scenes that a capture node has a stream of."""
    capture = deployment.nodes.get(node)
    if capture is None:
        return ()
    own = {stream for source in capture.sources for stream in source.stream_names()}
    return tuple(name for name, s in deployment.scenes.items() if own.intersection(s.streams))


def inseparable(deployment: Deployment) -> list[tuple[str, ...]]:
    """Sets of scenes that must be in one group, in the order of the deployment."""
    together = {scene: {scene} for scene in deployment.scenes}
    for node in deployment.nodes:
        joined = set().union(*(together[s] for s in scenes_of_node(deployment, node)))
        together.update(dict.fromkeys(joined, joined))
    sets = {id(found): found for found in together.values()}
    return [tuple(s for s in deployment.scenes if s in found) for found in sets.values()]


def _dealt(sets: Sequence[tuple[str, ...]], count: int) -> dict[str, tuple[str, ...]]:
    dealt: list[list[str]] = [[] for _ in range(min(count, len(sets)))]
    for scenes in sorted(sets, key=len, reverse=True):
        min(dealt, key=len).extend(scenes)
    return {f"group-{number}": tuple(scenes) for number, scenes in enumerate(dealt, 1)}
