"""The site whose files a release leaves behind: small, with everything that is remembered."""

from __future__ import annotations

from dataclasses import replace
from math import log10

from pipeline.alignment.aligner import AlignerSettings
from pipeline.core.arrival import Arrival, SampleArrived, StreamOpened
from pipeline.core.event import Event
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.engine import Engine, Scene
from pipeline.detection.equipment import Equipment
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.outcome import Outcome, SceneState
from pipeline.detection.recalibration_settings import RecalibrationSettings
from pipeline.detection.scorer import Scorer
from pipeline.detection.sight_health import SightScene
from pipeline.detection.sight_settings import SightSettings
from pipeline.models.odd_settings import OddSettings
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import DetectorSettings
from tests.toy_site import CAMERA, HOP_NS, LENGTH_NS, MICROPHONE, SENSORS, Site
from tests.toy_stream import live

START_NS = 3_400_000_000 * HOP_NS
STREAMS = (CAMERA, MICROPHONE, SENSORS)
NAMES = tuple(info.name for info in STREAMS)
HOPS, MORE = 22, 20
WRONG = range(10, 18)  # hops
ALARM = AlarmSettings(budget="1/week")

SMALL = DetectorSettings(
    picture_cells=12,
    audio_bands=8,
    memory=30,
    place_memory=16,
    embedding_dims=4,
    prediction_dims=4,
    joint_dims=3,
    common_modes=1,
    moments=2,
    folds=2,
    block_s=20.0,
    odd=OddSettings(
        windows=2,
        dims=4,
        hidden=4,
        width=4,
        members=1,
        spares=0,
        steps=20,
        least_s=60,
        context={"type": "gru", "hidden": 4},
    ),
)


def small_model() -> SceneModel:
    """A model of the toy site, as small as it may be; it finds little."""
    from pipeline.training.commissioning import commission

    return commission("hall", Site(streams=STREAMS).windows(0, 400), SMALL)[0]


def engine(model: SceneModel) -> Engine:
    """The engine as a fusion node builds it, with all that has a state to be saved."""
    scorer = Scorer({"hall": model}, "cpu")
    scorer.follow("hall", RecalibrationSettings(enabled=True), ALARM)
    aligner = AlignerSettings(scene="hall", streams=NAMES).build()
    alarm = Alarm(ALARM, "hall", scorer.budget("hall", ALARM).threshold / 4, HOP_NS)
    sight = {"hall": SightScene(SightSettings(), NAMES, {"n": NAMES}, LENGTH_NS, HOP_NS)}
    return Engine(
        [Scene("hall", aligner, alarm)],
        {"hall": NAMES},
        scorer,
        EvidenceKeeper(5.0),
        health=Equipment(sight=sight),
    )


def arrivals(first: int, end: int) -> list[Arrival]:
    """Hops of a live run in which the sensors are wrong for a while."""
    found: list[Arrival] = [StreamOpened(START_NS, "n", info) for info in STREAMS]
    for at_ns, sample in live(end, START_NS):
        if sample.timestamp_ns < START_NS + first * HOP_NS:
            continue
        wrong = sample.stream == "plc" and (sample.timestamp_ns - START_NS) // HOP_NS in WRONG
        shown = replace(sample, data=sample.data + 9.0) if wrong else sample
        found.append(SampleArrived(at_ns, "n", shown))
    return found


def run(machine: Engine, steps: list[Arrival]) -> Outcome:
    """All that comes of arrivals."""
    for arrival in steps:
        machine.take(arrival)
    return machine.collect()


def gone_on(model: SceneModel, state: SceneState) -> tuple[list[tuple[int, float]], list[Event]]:
    """Scores and events of the next hops, by an engine that goes on from a state."""
    machine = engine(model)
    machine.restore({"hall": state}, START_NS + HOPS * HOP_NS)
    outcome = run(machine, arrivals(HOPS - 6, HOPS + MORE))
    return [(score.index, -log10(score.p)) for score in outcome.scores], outcome.events
