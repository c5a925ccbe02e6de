"""The demo's synthetic site: its normal recorded, and the truth about its live minute."""

from __future__ import annotations

from pathlib import Path

from nodes.demo_report import Truth
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import SampleArrived, StreamEnded, StreamOpened
from pipeline.core.errors import ConfigError
from pipeline.recording.writer import RecordingWriter
from pipeline.sources.scene import SceneSourceSettings, labels, samples
from pipeline.sources.synthetic.reel import Reel

NODE = "site"
SECOND_NS = 1_000_000_000
STEP_NS = 600 * SECOND_NS
START_NS = 1_700_000_000_000_000_000


def site_of(deployment: Deployment) -> SceneSourceSettings:
    """The deployment's synthetic site.

    Raises:
        ConfigError: It has none.
    """
    for node in deployment.nodes.values():
        for source in node.sources:
            if isinstance(source, SceneSourceSettings):
                return source
    raise ConfigError("no source of type 'scene'", where=deployment.name)


def zero_ns_of(site: SceneSourceSettings, now_ns: int) -> int:
    """Site time of scene second 0, so that the normal ends where the live seconds begin.

    Where those begin when their node is opened, which is not known yet, it ends up to `STEP_NS`
    before now: windows, and the parts that are held out, are cut by the clock, and so the same is
    learnt of the same seconds at any time of day.
    """
    if site.start_ns is not None:
        return site.start_ns
    ago_ns = (now_ns - round(site.from_s * SECOND_NS) - START_NS) % STEP_NS
    return now_ns - round(site.from_s * SECOND_NS) - ago_ns


def record_normal(
    site: SceneSourceSettings, file: Path, from_s: float, to_s: float, zero_ns: int = START_NS
) -> None:
    """Record scene seconds of the site with nothing wrong; `zero_ns` is site time of second 0."""
    normal = site.model_copy(update={"anomalies": "none"})
    file.parent.mkdir(parents=True, exist_ok=True)
    sequences: dict[str, int] = {}
    with RecordingWriter(file, deployment="demo", overwrite=True) as writer:
        first_ns = zero_ns + int(from_s * 1e9)
        for info in Reel(normal).infos():
            writer.write(StreamOpened(first_ns, NODE, info))
        last_ns = first_ns
        for sample in samples(normal, zero_ns, from_s=from_s, to_s=to_s):
            sample.sequence = sequences.get(sample.stream, 0)
            sequences[sample.stream] = sample.sequence + 1
            last_ns = sample.timestamp_ns
            writer.write(SampleArrived(last_ns, NODE, sample))
        for stream in sequences:
            writer.write(StreamEnded(last_ns, NODE, stream))


def truths_of(site: SceneSourceSettings, live_s: float) -> list[Truth]:
    """What was wrong in the live seconds, on the run's time axis."""
    return [
        Truth(
            label.start_s - site.from_s,
            label.end_s - site.from_s,
            label.kind,
            tuple(label.modalities),
            label.description,
        )
        for label in labels(site)
        if site.from_s <= label.start_s < site.from_s + live_s
    ]
