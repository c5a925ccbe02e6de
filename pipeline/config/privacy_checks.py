"""Privacy settings that are well formed and cannot be meant: for the wrong kind of stream."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pipeline.config.deployment import Deployment
from pipeline.config.problems import Problem
from pipeline.core.sample import Modality
from pipeline.sources.base import SourceSettings

_ONE_STREAM = {"camera": Modality.VIDEO, "microphone": Modality.AUDIO}
_NAMED = {"video": Modality.VIDEO, "audio": Modality.AUDIO, "sensor": Modality.SENSOR}
_OTHERS = {"csv_file", "mqtt", "serial_port", "text_log"}


def privacy_problems(deployment: Deployment) -> Iterator[Problem]:
    """Settings that a stream of its kind cannot have, and models that are not there."""
    kinds = {
        stream: kind_of(source, stream)
        for node in deployment.nodes.values()
        for source in node.sources
        for stream in source.stream_names()
    }
    for name, stream in deployment.streams.items():
        asked = {
            "mask": (bool(stream.mask), Modality.VIDEO, "a picture"),
            "blur": (stream.blur is not None, Modality.VIDEO, "a picture"),
            "privacy": (stream.privacy is not None, Modality.AUDIO, "sound"),
        }
        for key, (given, wanted, words) in asked.items():
            if given and kinds.get(name) not in (None, wanted):
                where = ("streams", name, key)
                yield Problem(where, f"{name!r} is not {words}", f"remove '{key}'")
        model = stream.blur.model if stream.blur is not None else None
        if model is not None and not os.path.isfile(model):
            place = ("streams", name, "blur", "model")
            fix = "put a YuNet ONNX file there on the capture node"
            yield Problem(place, f"there is no file {model}", fix, fatal=False)


def kind_of(source: SourceSettings, stream: str) -> Modality | None:
    """What kind of stream a source gives by this name; None where only opening it tells."""
    if source.type in _OTHERS:
        return Modality.SENSOR
    named = (kind for key, kind in _NAMED.items() if getattr(source, key, None) == stream)
    return _ONE_STREAM.get(source.type) or next(named, None)
