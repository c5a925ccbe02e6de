"""Options of single channels that no channel has the name of."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.config.deployment import Deployment
from pipeline.config.problems import Problem, suggest


def channel_problems(deployment: Deployment) -> Iterator[Problem]:
    """Warnings: what is asked of a channel that is not there is done for none."""
    known = {
        stream: source.channel_names(stream)
        for node in deployment.nodes.values()
        for source in node.sources
        for stream in source.stream_names()
    }
    for name, stream in deployment.streams.items():
        channels = known.get(name, ())
        for option in ("channel_interpolation", "channel_range"):
            for channel in getattr(stream, option) if channels else ():
                if channel not in channels:
                    yield Problem(
                        ("streams", name, option, channel),
                        f"{name!r} has no channel {channel!r}",
                        suggest(channel, channels),
                        fatal=False,
                    )
