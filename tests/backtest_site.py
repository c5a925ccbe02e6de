"""Recordings of the toy site's sensors and a model of them, for tests of backtests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.sample import Encoding, Sample
from pipeline.models.checkpoint import save_model
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import DetectorSettings
from pipeline.recording.folder import RecordingFolder
from pipeline.training.commissioning import commission
from tests.toy_site import FIRST, HOP_NS, SENSOR_HZ, SENSORS, WINDOWS, Site

SECOND_NS = 1_000_000_000
START_NS = (FIRST + WINDOWS) * HOP_NS
FILE_S = 60.0

DEPLOYMENT = """
name: backtest
data: data
nodes:
  cabinet: {{sources: [{{type: csv_file, stream: plc, path: plc.csv}}]}}
scenes:
  hall:
    streams: [plc]
    model: hall.model
    alarm: {{budget: {budget}}}
    {more}
fusion: {{device: cpu}}
"""


@lru_cache(maxsize=1)
def learnt() -> SceneModel:
    """A model of the sensors, learnt once a process."""
    import torch

    torch.set_num_threads(1)
    settings = DetectorSettings(evidence=())
    return commission("hall", Site(streams=(SENSORS,)).windows(0, WINDOWS), settings)[0]


def deployment(folder: Path, budget: str = "2/day", more: str = "", name: str = "site") -> Path:
    """A deployment of the site beside its model; its file."""
    save_model(learnt(), folder / "hall.model")
    file = folder / f"{name}.yaml"
    file.write_text(DEPLOYMENT.format(budget=budget, more=more))
    return file


def loaded(folder: Path, budget: str = "2/day", more: str = "") -> Deployment:
    return load_deployment(deployment(folder, budget, more))


def record(
    folder: Path,
    seconds: int,
    wrong: Sequence[tuple[float, float]],
    from_s: int = 0,
    delay_ns: int = SECOND_NS // 50,
) -> list[Path]:
    """Record the sensors in files of a minute; they jump at the seconds that are wrong.

    Args:
        folder: Where to.
        seconds: How much.
        wrong: From when until when, seconds.
        from_s: Where it begins.
        delay_ns: From when something is measured until it arrives.
    """
    recording = RecordingFolder(folder, name="backtest", max_file_s=FILE_S)
    first_ns = START_NS + from_s * SECOND_NS + delay_ns
    recording.write(StreamOpened(first_ns, "cabinet", SENSORS))
    normal, odd = Site(), Site(wrong="sensor", wrong_to=1 << 40)
    per_hop = SENSOR_HZ * HOP_NS // SECOND_NS
    for hop in range(2 * from_s, 2 * (from_s + seconds)):
        at_s = hop * HOP_NS / SECOND_NS
        spoilt = any(start <= at_s < end for start, end in wrong)
        readings = (odd if spoilt else normal)._chunk(WINDOWS + hop).readings
        for number, row in enumerate(readings):
            stamp_ns = START_NS + hop * HOP_NS + number * (SECOND_NS // SENSOR_HZ)
            sample = Sample("plc", hop * per_hop + number, stamp_ns, row, Encoding.FLOAT)
            recording.write(SampleArrived(stamp_ns + delay_ns, "cabinet", sample))
    recording.close()
    return sorted(folder.glob("*.mcap"))
