"""What people are told of streams that cannot see."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core.sample import Modality
from pipeline.core.timestamps import format_iso
from pipeline.detection.sight import ABSENT, CLOCK, INCOMPLETE, LATE, UNUSABLE

_NOUNS = {
    Modality.VIDEO: "camera",
    Modality.AUDIO: "microphone",
    Modality.SENSOR: "sensor",
    Modality.TEXT: "log",
}
_SAID = {
    ABSENT: "Nothing has come from {it}",
    UNUSABLE: "{It} is not the stream that the model has learnt or the scene knew, and is not used",
    INCOMPLETE: "Too little that can be used has come from {it}",
    LATE: "What comes from {it} comes too late, or with wrong times,",
    CLOCK: "The clock of {it} cannot be trusted",
    "dark": "{It} has seen nothing but darkness",
    "covered": "{It} has shown an empty picture, as if it were covered,",
    "blurred": "{It} has been out of focus",
    "frozen": "{It} has shown the same picture",
    "clipped": "{It} has been too loud for its range (clipped)",
    "silent": "{It} has heard nothing, not even noise,",
}
_ELSE = "{It} has been {reason}"


def blind(stream: str, modality: Modality | None, reason: str, since_ns: int) -> str:
    """That a stream cannot see, as the beginning of a sentence."""
    it = f"the {_noun(modality)} {stream}"
    start = it[0].upper() + it[1:]
    said = _SAID.get(reason, _ELSE).format(it=it, It=start, reason=reason)
    return f"{said} since {_moment(since_ns)}"


def blind_node(node: str, streams: Sequence[str], since_ns: int) -> str:
    """That nothing comes from a node, likewise."""
    return f"Nothing has come from node {node} ({', '.join(streams)}) since {_moment(since_ns)}"


def back(name: str, modality: Modality | None, *, of_node: bool) -> str:
    """That it is over."""
    noun = "node" if of_node else _noun(modality)
    return f"The {noun} {name} is back to normal."


def meanwhile(left: Sequence[str] | None) -> str:
    """What the scene is scored by, as the end of the sentence; None: by nothing at any time."""
    if left is None:
        return "."
    if not left:
        return "; nothing is left to score the scene by."
    return f"; scoring goes on with {', '.join(left)}."


def _noun(modality: Modality | None) -> str:
    return "stream" if modality is None else _NOUNS[modality]


def _moment(time_ns: int) -> str:
    return f"{format_iso(time_ns)[:19].replace('T', ' ')} UTC"
