"""What `tests.benchmarks.overload` runs: a calm scene, and one that floods the fusion node.

Both are sensors that follow one cause, recorded and learnt once, and played again and again: that
costs next to nothing beside what is looked at, the fusion node.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nodes.commission import commission_scene
from pipeline.config import load_deployment
from pipeline.core.arrival import SampleArrived, StreamEnded, StreamOpened
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.models.settings import DetectorSettings, Evidence
from pipeline.recording.writer import RecordingWriter
from tests.system.ports import free_port

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
LEARN_S, RATE_HZ, CHANNELS = 60, 10.0, 6
CALM, FLOOD = "calm", "flood"
HOP_S = 0.5
TOLD = "told.jsonl"

DEPLOYMENT = """
name: overload
data: data
nodes:
  calm: {{sources: [{{type: recording, paths: [calm.mcap], streams: [calm-0], {again}}}]}}
  flood: {{sources: [{{type: recording, paths: [flood.mcap], streams: [{flood}], {again}}}]}}
scenes:
  calm: {{streams: [calm-0], hop_s: 0.5, model: calm.model, alarm: {{budget: 2/week}}}}
  flood: {{streams: [{flood}], hop_s: 0.1, model: flood.model, alarm: {{budget: 2/week}}}}
fusion: {{listen: "tcp://127.0.0.1:{fusion}", device: cpu}}
alert: {{listen: "tcp://127.0.0.1:{alert}", sinks: [{{type: jsonl, path: told.jsonl}}]}}
incidents: {{groups: []}}
"""


def prepare(folder: Path, streams: int) -> Path:
    """Record and learn both scenes, unless the folder has them; the deployment's file."""
    folder.mkdir(parents=True, exist_ok=True)
    flood = ", ".join(names(FLOOD, streams))
    config = folder / "overload.yaml"
    known = {"flood": flood, "fusion": free_port(), "alert": free_port()}
    config.write_text(DEPLOYMENT.format(again="rebase: true, loop: true", **known), "utf-8")
    shutil.rmtree(folder / "data", ignore_errors=True)
    (folder / TOLD).unlink(missing_ok=True)
    deployment = load_deployment(config)
    # How well it is learnt changes nothing about what is looked at.
    settings = DetectorSettings(evidence=(Evidence.BETWEEN,), folds=2)
    for scene, count in ((CALM, 1), (FLOOD, streams)):
        recording, model = folder / f"{scene}.mcap", folder / f"{scene}.model"
        if not model.exists():
            _record(recording, names(scene, count))
            commission_scene(deployment, scene, [recording], model, settings=settings)
    return config


def names(scene: str, count: int) -> list[str]:
    """Streams of a scene."""
    return [f"{scene}-{number}" for number in range(count)]


def _record(file: Path, streams: Sequence[str]) -> None:
    """Readings that follow one cause, each stream with a noise of its own."""
    chance = np.random.default_rng(1)
    channels = tuple(f"c{number}" for number in range(CHANNELS))
    infos = [
        StreamInfo(name, Modality.SENSOR, RATE_HZ, (CHANNELS,), "float64", stamp="exact",
                   channels=channels)
        for name in streams
    ]  # fmt: skip
    with RecordingWriter(file, deployment="overload", overwrite=True) as writer:
        for info in infos:
            writer.write(StreamOpened(START_NS, "node", info))
        for number in range(round(LEARN_S * RATE_HZ)):
            at_ns = START_NS + round(number * SECOND_NS / RATE_HZ)
            cause = np.sin(number / RATE_HZ / 7 + np.arange(CHANNELS))
            for name in streams:
                data = cause + chance.normal(0.0, 0.1, CHANNELS)
                sample = Sample(name, number, at_ns, data, Encoding.FLOAT)
                writer.write(SampleArrived(at_ns, "node", sample))
        for info in infos:
            writer.write(StreamEnded(at_ns, "node", info.name))
