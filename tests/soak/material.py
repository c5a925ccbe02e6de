"""What the soak runs on: a site rendered once, learnt once, and its deployment.

The capture node plays a recording of the synthetic site again and again, so that the camera
(1280x720, 15 pictures a second), the microphone (16 kHz) and the 20 channels at 10 Hz cost next
to nothing beside what is looked at: the nodes themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from nodes.commission import commission_scene
from pipeline.config import load_deployment
from pipeline.core.arrival import SampleArrived, StreamEnded, StreamOpened
from pipeline.core.sample import Modality, Sample, StreamInfo
from pipeline.models.odd_settings import OddSettings
from pipeline.models.settings import DetectorSettings
from pipeline.recording.writer import RecordingWriter
from pipeline.sources.scene import samples
from pipeline.sources.synthetic.reel import Reel
from pipeline.sources.synthetic.settings import ScheduleSettings, SiteSettings

NODE = "site"
STREAMS = ("site-camera", "site-microphone", "site-sensors")
SIZE, FPS, CHANNELS = (1280, 720), 15.0, 20
LEARN_S, LOOP_S = 120, 120
PLACE, SEED = 3, 11
START_NS = 1_700_000_000_000_000_000

DEPLOYMENT = """
name: soak
data: data
nodes:
  {node}:
    fusion: tcp://127.0.0.1:{line}
    spool: {{}}
    sources:
      - {{type: recording, paths: [{loop}], streams: [{streams}], rebase: true, loop: true}}
scenes:
  hall:
    streams: [{streams}]
    model: {model}
    alarm: {{budget: 60/hour}}
fusion:
  listen: tcp://127.0.0.1:{fusion}
  record: {{folder: recordings, max_file_mb: 64, max_total_gb: 0.5}}
alert:
  listen: tcp://127.0.0.1:{alert}
  sinks:
    - {{type: webhook, url: "http://127.0.0.1:{hook}/hook", timeout_s: 5}}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of the loopback that the deployment uses.

    Attributes:
        line: What the capture node takes for the fusion node.
        fusion: The fusion node.
        alert: The alert node.
        hook: The web address that is told of events.
    """

    line: int
    fusion: int
    alert: int
    hook: int


def write_deployment(folder: Path, material: Path, ports: Ports) -> Path:
    """Write the deployment file; its path."""
    file = folder / "soak.yaml"
    text = DEPLOYMENT.format(
        node=NODE,
        streams=", ".join(STREAMS),
        loop=(material / "loop.mcap").resolve(),
        model=(material / "hall.model").resolve(),
        line=ports.line,
        fusion=ports.fusion,
        alert=ports.alert,
        hook=ports.hook,
    )
    file.write_text(text, encoding="utf-8")
    return file


def prepare(material: Path) -> None:
    """Render and learn what is not there yet; about five minutes of one core."""
    material.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    _once(material / "loop.mcap", LEARN_S, LEARN_S + LOOP_S, wrong=True)
    if not (material / "hall.model").exists():
        normal = material / "normal.mcap"
        _once(normal, 0, LEARN_S, wrong=False)
        _learn(material, normal)


def _learn(material: Path, normal: Path) -> None:
    config = write_deployment(material, material, Ports(1, 2, 3, 4))
    draft = material / "draft.model"
    # How long its network learns changes nothing about what a model costs later.
    settings = DetectorSettings(odd=OddSettings(least_s=60.0, steps=20))
    commission_scene(load_deployment(config), "hall", [normal], draft, settings=settings)
    draft.rename(material / "hall.model")


def _once(file: Path, from_s: int, to_s: int, *, wrong: bool) -> None:
    if file.exists():
        return
    draft = file.with_suffix(".draft")
    schedule = ScheduleSettings(every_s=20.0, first_s=from_s + 5.0)
    site = SiteSettings(
        place=PLACE,
        seed=SEED,
        size=SIZE,
        fps=FPS,
        jpeg_quality=70,
        anomalies=schedule if wrong else "none",
    )
    with RecordingWriter(draft, deployment="soak", overwrite=True) as writer:
        for info in _announced(site):
            writer.write(StreamOpened(START_NS, NODE, info))
        at_ns = START_NS
        for sample in _numbered(site, from_s, to_s):
            at_ns = sample.timestamp_ns
            writer.write(SampleArrived(at_ns, NODE, sample))
        for stream in STREAMS:
            writer.write(StreamEnded(at_ns, NODE, stream))
    draft.rename(file)


def _announced(site: SiteSettings) -> Iterator[StreamInfo]:
    """Its streams, the sensors with as many channels as the load asks for."""
    for info in Reel(site).infos():
        wide = info.modality is Modality.SENSOR
        channels = tuple(f"channel-{n}" for n in range(CHANNELS))
        yield replace(info, shape=(CHANNELS,), channels=channels, units=()) if wide else info


def _numbered(site: SiteSettings, from_s: int, to_s: int) -> Iterator[Sample]:
    chance = np.random.default_rng(0)
    next_of = dict.fromkeys(STREAMS, 0)
    for sample in samples(site, START_NS, from_s=from_s, to_s=to_s):
        if sample.stream == STREAMS[2] and isinstance(sample.data, np.ndarray):
            sample.data = _widened(sample.data, chance)
        sample.sequence = next_of[sample.stream]
        next_of[sample.stream] += 1
        yield sample


def _widened(
    reading: npt.NDArray[np.generic], chance: np.random.Generator
) -> npt.NDArray[np.float64]:
    """The few channels as many: the others follow them, each with noise of its own."""
    values = np.resize(np.asarray(reading, np.float64), CHANNELS)
    values[len(reading) :] += chance.normal(0.0, 0.1, CHANNELS - len(reading))
    return values
