"""Privacy settings that are well formed and cannot be meant: for the wrong kind of stream."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pipeline.config.deployment import Deployment
from pipeline.config.problems import Problem
from pipeline.config.stream_kinds import stream_kinds
from pipeline.core.sample import Modality


def privacy_problems(deployment: Deployment) -> Iterator[Problem]:
    """Settings that a stream of its kind cannot have, and models that are not there."""
    kinds = stream_kinds(deployment)
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
