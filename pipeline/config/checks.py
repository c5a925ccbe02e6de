"""What a deployment says that is well formed and still cannot be meant."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from pipeline.config import addresses
from pipeline.config.channel_checks import channel_problems
from pipeline.config.deployment import Deployment
from pipeline.config.engine_checks import engine_problems
from pipeline.config.privacy_checks import privacy_problems
from pipeline.config.problems import KeyPath, Problem, dotted, suggest
from pipeline.config.small_checks import small_problems
from pipeline.core.errors import ConfigError


def find_problems(deployment: Deployment) -> tuple[Problem, ...]:
    """Everything that contradicts itself, and warnings (``fatal`` False)."""
    return tuple(
        chain(
            _unique_streams(deployment),
            _unused_streams(deployment),
            _scenes(deployment),
            _stream_options(deployment),
            channel_problems(deployment),
            privacy_problems(deployment),
            small_problems(deployment),
            _models(deployment),
            _sinks(deployment),
            _incident_groups(deployment),
            _addresses(deployment),
            _encryption(deployment),
            _http(deployment),
            engine_problems(deployment),
        )
    )


def require_models(deployment: Deployment, where: Path | None = None) -> None:
    """Make sure that every model file is there, as running needs it.

    Args:
        deployment: The deployment.
        where: Its file, for the message.

    Raises:
        ConfigError: A scene names a model file that does not exist.
    """
    problems = tuple(str(problem) for problem in _models(deployment))
    if problems:
        raise ConfigError(
            "the model is missing" if len(problems) == 1 else "models are missing",
            where="" if where is None else str(where),
            fix="to record first what the nodes send, start with --without-model",
            problems=problems,
        )


def without_missing_models(deployment: Deployment) -> tuple[Deployment, tuple[str, ...]]:
    """The deployment as far as it has been learnt, to record what is to be learnt.

    Returns:
        The deployment, in which scenes whose model file is not there yet have none, so that they
        are aligned and recorded only; and the names of these scenes.
    """
    missing = tuple(problem.path[1] for problem in _models(deployment))
    scenes = {
        name: scene.model_copy(update={"model": None}) if name in missing else scene
        for name, scene in deployment.scenes.items()
    }
    return deployment.model_copy(update={"scenes": scenes}), tuple(map(str, missing))


def stream_places(deployment: Deployment) -> dict[str, list[KeyPath]]:
    """Sources that give each stream, as paths."""
    places: dict[str, list[KeyPath]] = defaultdict(list)
    for node, capture in deployment.nodes.items():
        for index, source in enumerate(capture.sources):
            for stream in source.stream_names():
                places[stream].append(("nodes", node, "sources", index))
    return dict(places)


def _unique_streams(deployment: Deployment) -> Iterator[Problem]:
    for stream, places in stream_places(deployment).items():
        for place in places[1:]:
            yield Problem(
                place,
                f"stream {stream!r} is given by {dotted(places[0])} too",
                "give one of them another name",
            )


def _unused_streams(deployment: Deployment) -> Iterator[Problem]:
    used = {stream for scene in deployment.scenes.values() for stream in scene.streams}
    for stream, places in stream_places(deployment).items():
        if stream not in used:
            yield Problem(
                places[0],
                f"no scene uses stream {stream!r}",
                "add it to the streams of a scene",
                fatal=False,
            )


def _scenes(deployment: Deployment) -> Iterator[Problem]:
    known = stream_places(deployment)
    for name, scene in deployment.scenes.items():
        for index, stream in enumerate(scene.streams):
            path = ("scenes", name, "streams", index)
            if stream not in known:
                yield Problem(path, f"no source gives a stream {stream!r}", suggest(stream, known))
            if stream in scene.streams[:index]:
                yield Problem(path, f"stream {stream!r} is listed twice", "remove one")
        if scene.hop_s > scene.window_s:
            yield Problem(
                ("scenes", name, "hop_s"),
                f"a hop of {scene.hop_s:g} s would skip time between windows of "
                f"{scene.window_s:g} s",
                f"write at most {scene.window_s:g}",
            )


def _stream_options(deployment: Deployment) -> Iterator[Problem]:
    known = stream_places(deployment)
    for stream in deployment.streams:
        if stream not in known:
            yield Problem(
                ("streams", stream),
                f"options for stream {stream!r}, which no source gives",
                suggest(stream, known),
            )


def _models(deployment: Deployment) -> Iterator[Problem]:
    for name, scene in deployment.scenes.items():
        if scene.model is not None and not os.path.isfile(scene.model):
            yield Problem(
                ("scenes", name, "model"),
                f"there is no file {scene.model}",
                "make it with 'fusewatch commission'",
                fatal=False,
            )


def _sinks(deployment: Deployment) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, sink in enumerate(deployment.alert.sinks):
        if sink.key in first:
            yield Problem(
                ("alert", "sinks", index),
                f"alert.sinks[{first[sink.key]}] is named {sink.key!r} too",
                "give each its own 'name'",
            )
        first.setdefault(sink.key, index)
        for name in sink.scenes:
            if name not in deployment.scenes:
                yield Problem(
                    ("alert", "sinks", index, "scenes"),
                    f"there is no scene {name!r}",
                    suggest(name, deployment.scenes),
                )


def _incident_groups(deployment: Deployment) -> Iterator[Problem]:
    for index, group in enumerate(deployment.incidents.groups or ()):
        for name in group:
            if name not in deployment.scenes:
                yield Problem(
                    ("incidents", "groups", index),
                    f"there is no scene {name!r}",
                    suggest(name, deployment.scenes),
                )


def _all_addresses(deployment: Deployment) -> Iterator[tuple[KeyPath, str | None]]:
    yield ("fusion", "listen"), deployment.fusion.listen
    yield ("alert", "listen"), deployment.alert.listen
    yield ("fusion", "alert"), deployment.fusion.alert
    for name, node in deployment.nodes.items():
        yield ("nodes", name, "fusion"), node.fusion


def _addresses(deployment: Deployment) -> Iterator[Problem]:
    for path, address in _all_addresses(deployment):
        if address is None:
            continue
        if fault := addresses.fault_of(address):
            yield Problem(path, f"{address!r} {fault}", "write tcp://HOST:PORT or ipc://FILE")
        elif path[-1] != "listen" and addresses.is_wildcard(address):
            yield Problem(
                path, f"nobody can connect to {address!r}", "write the other machine's name"
            )


def _encryption(deployment: Deployment) -> Iterator[Problem]:
    security = deployment.security
    remote = [
        (path, address)
        for path, address in _all_addresses(deployment)
        if address and not addresses.fault_of(address) and not addresses.is_this_machine(address)
    ]
    if security.curve == "off":
        for path, address in remote:
            yield Problem(
                path,
                f"{address} leaves this machine without encryption, because of security.curve: off",
                "write 'curve: auto' and make keys with 'fusewatch keys create'",
                fatal=False,
            )
    elif (remote or security.curve == "on") and not os.path.isdir(security.keys):
        yield Problem(
            ("security", "keys"),
            f"encryption is on, but there is no folder {security.keys}",
            f"make keys with 'fusewatch keys create NAME --role ROLE --keys {security.keys}'",
            fatal=False,
        )


def _http(deployment: Deployment) -> Iterator[Problem]:
    places: list[tuple[KeyPath, str | None]] = [
        (("fusion", "http"), deployment.fusion.http),
        (("alert", "http"), deployment.alert.http),
        *((("nodes", name, "http"), node.http) for name, node in deployment.nodes.items()),
    ]
    for path, address in places:
        if address is None:
            continue
        try:
            host, _ = addresses.http_address(address)
            if not addresses.is_loopback(host) and deployment.security.http is None:
                raise addresses.require_guard(address)
        except ConfigError as error:
            yield Problem(path, error.message, error.fix)
