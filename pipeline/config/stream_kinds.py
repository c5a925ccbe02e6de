"""What kind each stream of a deployment is, as far as its settings tell."""

from __future__ import annotations

from pipeline.config.deployment import Deployment
from pipeline.core.sample import Modality
from pipeline.sources.base import SourceSettings

_ONE_STREAM = {"camera": Modality.VIDEO, "microphone": Modality.AUDIO}
_NAMED = {"video": Modality.VIDEO, "audio": Modality.AUDIO, "sensor": Modality.SENSOR}
_OTHERS = {"csv_file", "mqtt", "serial_port", "text_log"}


def stream_kinds(deployment: Deployment) -> dict[str, Modality | None]:
    """Kind of each stream by name; None where only opening its source tells."""
    return {
        stream: _kind_of(source, stream)
        for node in deployment.nodes.values()
        for source in node.sources
        for stream in source.stream_names()
    }


def _kind_of(source: SourceSettings, stream: str) -> Modality | None:
    if source.type in _OTHERS:
        return Modality.SENSOR
    named = (kind for key, kind in _NAMED.items() if getattr(source, key, None) == stream)
    return _ONE_STREAM.get(source.type) or next(named, None)
