"""From a deployment to its engine: aligners, scorer, alarms and evidence put together.

The live fusion node and the replay build the engine here, so both are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
import torch

from nodes.turn_span import TURN_NS
from pipeline.alignment.aligner import Aligner, AlignerSettings
from pipeline.alignment.settings import StreamOptions
from pipeline.config.deployment import Deployment, SceneSettings
from pipeline.config.stream_settings import StreamSettings
from pipeline.core.errors import ModelFileError
from pipeline.detection.ahead import Ahead
from pipeline.detection.alarm import Alarm
from pipeline.detection.calibration import Budget
from pipeline.detection.engine import Engine
from pipeline.detection.engine_scene import Scene
from pipeline.detection.equipment import Equipment
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.evidence_writer import EvidenceWriter
from pipeline.detection.incidents import Incidents
from pipeline.detection.ledger_health import LedgerHealth
from pipeline.detection.scorer import Scorer, Watch
from pipeline.detection.sight_health import SightScene
from pipeline.detection.sync_health import SyncHealth
from pipeline.models.checkpoint import load_model
from pipeline.models.scene_model import SceneModel

log = structlog.get_logger(__name__)

SECOND_NS = 1_000_000_000
DECODERS = 4
"""Threads that decode pictures beside a GPU."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """The engine of a deployment and what its scenes were set to.

    Attributes:
        engine: The engine.
        ahead: Makes pictures ready before the engine asks for them; None: nobody does.
        budgets: Threshold, and how sure it is, of each scene that has a model.
    """

    engine: Engine
    budgets: Mapping[str, Budget]
    ahead: Ahead | None = None


def build_engine(
    deployment: Deployment,
    *,
    models: Mapping[str, Path] | None = None,
    writer: EvidenceWriter | None = None,
    watch: Watch | None = None,
) -> Assembly:
    """Put the engine of a deployment together.

    Args:
        deployment: The deployment.
        models: Model file per scene instead of the deployment's.
        writer: Writes evidence files; None: only their names are given.
        watch: Shown what the models see in each window; None: nobody.

    Raises:
        ModelError: A model file cannot be used.
    """
    # One setting for live and replay: the number of threads changes the last bits of sums.
    torch.set_num_threads(deployment.fusion.threads)
    files = {n: s.model for n, s in deployment.scenes.items() if s.model is not None}
    files.update(models or {})
    loaded = {name: scene_model(deployment, name, path) for name, path in files.items()}
    scorer = Scorer(loaded, deployment.fusion.device, watch) if loaded else None
    scenes, budgets = [], {}
    for name, settings in deployment.scenes.items():
        alarm = None
        if scorer is not None and name in loaded:
            budgets[name] = scorer.budget(name, settings.alarm)
            scorer.follow(name, settings.recalibrate, settings.alarm)
            scorer.explain(name, budgets[name].threshold)
            alarm = _alarm(name, settings, scorer, budgets[name].threshold)
        scenes.append(Scene(name, aligner_of(deployment, name), alarm))
    streams = {name: tuple(settings.streams) for name, settings in deployment.scenes.items()}
    waits_s = {name: raised_within_s(deployment.scenes[name]) for name in loaded}
    fusion = deployment.fusion
    keeper = EvidenceKeeper(fusion.evidence_s, writer, streams, waits_s, fusion.evidence_mb)
    watched = {n: s.sync_watch for n, s in deployment.scenes.items() if s.sync_watch.enabled}
    health = Equipment(SyncHealth(watched, streams), _sights(deployment), LedgerHealth(streams))
    incidents = Incidents(deployment.incidents)
    ahead = None if scorer is None else _ahead(deployment, scorer)
    prepare = None if ahead is None else ahead.prepare
    engine = Engine(scenes, streams, scorer, keeper, prepare, health, incidents)
    return Assembly(engine, budgets, ahead)


def _ahead(deployment: Deployment, scorer: Scorer) -> Ahead | None:
    threads = deployment.fusion.decoders
    if threads is None:
        threads = 0 if scorer.device.type == "cpu" else DECODERS
    return Ahead(scorer.prepare, threads) if threads else None


def _alarm(name: str, settings: SceneSettings, scorer: Scorer, threshold: float) -> Alarm:
    def wide(times: int) -> float:
        return scorer.budget(name, settings.alarm, times).threshold

    hop_ns, window_ns = _ns(settings.hop_s), _ns(settings.window_s)
    return Alarm(settings.alarm, name, threshold, hop_ns, wide, max(1, window_ns // hop_ns))


def _sights(deployment: Deployment) -> dict[str, SightScene]:
    """What there is to see in each scene of which it is told."""
    given = {
        node: {name for source in capture.sources for name in source.stream_names()}
        for node, capture in deployment.nodes.items()
    }
    return {
        name: SightScene(
            settings=scene.sight,
            streams=tuple(scene.streams),
            nodes={
                node: own
                for node, streams in given.items()
                if (own := tuple(s for s in scene.streams if s in streams))
            },
            window_ns=_ns(scene.window_s),
            hop_ns=_ns(scene.hop_s),
        )
        for name, scene in deployment.scenes.items()
        if scene.sight.enabled
    }


def raised_within_s(settings: SceneSettings) -> float:
    """Longest from the start of an event until it is raised and asks for its evidence, seconds.

    By the stamps of samples, when the fusion node keeps up; not less than a window is long.
    """
    alarm = settings.alarm
    scored_s = settings.latency_s + settings.lateness_s + TURN_NS / SECOND_NS
    waits_s = max(alarm.min_duration_s, alarm.cooldown_s)
    return settings.window_s + settings.hop_s + waits_s + scored_s


def scene_model(deployment: Deployment, scene: str, path: Path) -> SceneModel:
    """The model of a scene, which must have learnt windows as the scene cuts them.

    Raises:
        ModelFileError: It has not, or the file cannot be used.
    """
    model, settings = load_model(path), deployment.scenes[scene]
    if model.length_ns != _ns(settings.window_s):
        learnt_s = model.length_ns / SECOND_NS
        told = f"learnt windows of {learnt_s} s, the scene has {settings.window_s} s"
        raise _unlike(told, "window_s", scene, path)
    if model.hop_ns != _ns(settings.hop_s):
        learnt_s = model.hop_ns / SECOND_NS
        told = f"learnt windows {learnt_s} s apart, those of the scene are {settings.hop_s} s apart"
        raise _unlike(told, "hop_s", scene, path)
    return model


def _unlike(told: str, setting: str, scene: str, path: Path) -> ModelFileError:
    fix = f"set {setting} of scene {scene} as it was, or commission the scene again"
    return ModelFileError(told, where=str(path), fix=fix)


def budget_now(deployment: Deployment, scene: str, path: Path, every: int = 1) -> Budget:
    """Threshold of a scene's alarm by a model file, if every so many windows count.

    Raises:
        ModelFileError: See `scene_model`.
    """
    scorer = Scorer({scene: scene_model(deployment, scene, path)}, "cpu")
    return scorer.budget(scene, deployment.scenes[scene].alarm, every)


def aligner_of(deployment: Deployment, scene: str) -> Aligner:
    """The aligner of a scene, as the deployment sets it."""
    settings: SceneSettings = deployment.scenes[scene]
    return AlignerSettings(
        scene=scene,
        streams=tuple(settings.streams),
        window_ns=_ns(settings.window_s),
        hop_ns=_ns(settings.hop_s),
        latency_ns=_ns(settings.latency_s),
        lateness_ns=_ns(settings.lateness_s),
        idle_ns=_ns(settings.idle_s),
        options={name: _options(deployment.stream(name)) for name in settings.streams},
    ).build()


def _options(settings: StreamSettings) -> StreamOptions:
    return StreamOptions(
        interpolation=settings.interpolation,
        channel_interpolation=settings.channel_interpolation,
        channel_range=settings.channel_range,
        max_gap_ns=_ns(settings.max_gap_s),
        grid_hz=settings.grid_hz,
    )


def _ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)
