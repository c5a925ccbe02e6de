"""The toy site watched by its commissioned model, on two nodes: what a deployment really runs.

Somebody leaves a red thing in the picture for a while (an alarm with snapshot, box, clip and
sound), the microphone is unplugged for a while (a stream that cannot see), and recalibration
follows what is calm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import simplejpeg

from pipeline.config import load_deployment
from pipeline.core.sample import Sample
from pipeline.models.checkpoint import save_model
from pipeline.transport.full_ring import FullRing, RingLimits
from tests.crash.link import CaptureNode
from tests.crash.world import Turn, World
from tests.toy_site import CAMERA, HOP_NS, MICROPHONE, SENSORS, commissioned
from tests.toy_stream import live

SECOND = 1_000_000_000
START_NS = 3_400_000_000 * HOP_NS
HOPS = 76
THING_S, MUTE_S = (6.0, 10.0), (14.0, 30.0)
NODES = {"pi": (CAMERA, MICROPHONE), "cabinet": (SENSORS,)}

DEPLOYMENT = """
name: d
nodes:
  pi: {{sources: [{{type: media, url: "rtsp://camera", video: cam, audio: mic}}]}}
  cabinet: {{sources: [{{type: csv_file, stream: plc, path: plc.csv}}]}}
scenes:
  hall:
    streams: [cam, mic, plc]
    model: {model}
    alarm: {{budget: 1/week, update_every_s: 2.0}}
    recalibrate: {{enabled: true, horizon_s: 20, per_hour: 50, guard_s: 1}}
    sight: {{after_s: {sight_s}, clear_after_s: 2.0}}
fusion:
  device: cpu
  evidence_s: 3.0
  {record}
{streams}
"""
SIGHT_S = 4.0
"""So long nothing comes of a stream before that is told, seconds."""
PATIENT_S = 13.0
"""The same where processes live: a busy machine lets one of them stand still for a while, which
the script knows nothing of. The microphone is mute for longer."""
SMALL = "streams: {cam: {small: {width: 100}}}"


def hall(
    folder: Path,
    model: Path,
    *,
    record: bool = False,
    full: FullRing | None = None,
    sight_s: float = SIGHT_S,
) -> World:
    """The hall, its data in a folder; its camera's pictures sent small when `full` keeps them."""
    folder.mkdir(parents=True, exist_ok=True)
    recording = "record: {folder: recordings}" if record else ""
    small = SMALL if full is not None else ""
    text = DEPLOYMENT.format(model=model, record=recording, streams=small, sight_s=sight_s)
    (folder / "d.yaml").write_text(text)
    nodes = {name: CaptureNode(name, streams, full) for name, streams in NODES.items()}
    return World(load_deployment(folder / "d.yaml"), nodes)


def full_ring() -> FullRing:
    """What the camera of the hall saw, at twice the size of what is sent."""
    ring = FullRing({"cam": RingLimits(10**18, 1 << 30)})
    for turn in script():
        for sample in turn.samples["pi"]:
            if sample.stream == "cam":
                large = np.asarray(sample.data).repeat(2, axis=0).repeat(2, axis=1)
                jpeg = simplejpeg.encode_jpeg(large, quality=90, colorspace="BGR")
                ring.put("cam", sample.timestamp_ns, bytes(jpeg), 0)
    return ring


def model_file(folder: Path) -> Path:
    """The commissioned model of the hall."""
    save_model(commissioned()[0], folder / "hall.model")
    return folder / "hall.model"


@lru_cache(maxsize=1)
def script(turn_ns: int = HOP_NS) -> Sequence[Turn]:
    """What happens in the hall, in turns of the loop."""
    of = {info.name: node for node, streams in NODES.items() for info in streams}
    turns: list[Turn] = []
    for at_ns, sample in live(HOPS, START_NS):
        number = max(0, at_ns - START_NS - 1) // turn_ns
        while len(turns) <= number:
            end_ns = START_NS + (len(turns) + 1) * turn_ns
            turns.append(Turn(end_ns, {name: [] for name in NODES}))
        shown = _spoilt(sample, (sample.timestamp_ns - START_NS) / SECOND)
        if shown is not None:
            turns[-1].samples[of[sample.stream]].append(shown)  # type: ignore[attr-defined]
    return turns


def _spoilt(sample: Sample, at_s: float) -> Sample | None:
    if sample.stream == "mic" and MUTE_S[0] <= at_s < MUTE_S[1]:
        return None
    if sample.stream == "cam" and THING_S[0] <= at_s < THING_S[1]:
        picture = np.array(sample.data)
        picture[6:16, 62:72] = (30, 30, 220)
        return replace(sample, data=picture)
    return sample
