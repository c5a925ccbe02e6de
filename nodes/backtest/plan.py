"""Cutting recordings into pieces that can be replayed independently of each other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodes.backtest.memory import SECOND_NS, Memory, memory_of
from nodes.backtest.piece import CHECK_NS, Piece
from nodes.backtest.survey import Survey
from pipeline.alignment.sync_watch_settings import SyncWatchSettings
from pipeline.config.deployment import (
    AlertSettings,
    Deployment,
    SecuritySettings,
)
from pipeline.core.errors import ConfigError
from pipeline.detection.calibration import Budget
from pipeline.detection.sight_settings import SightSettings
from pipeline.recording.coverage import Coverage

LEADS = 4
"""A piece is so many times as long as what is replayed before it: a fifth of the work is that."""
TOGETHER = 8
"""Scenes in a piece: what is read for one is read for all."""

SHORTEST_NS = 3600 * SECOND_NS
TAIL_NS = 2 * 3600 * SECOND_NS
"""An event is followed for so long after its piece."""


@dataclass(frozen=True, slots=True)
class Cutting:
    """How recordings are to be cut.

    Attributes:
        piece_ns: Recorded time in a piece; None: by what the scene remembers. When it is given,
            scenes that remember for ever are cut too.
        lead_ns: Recorded time replayed before each piece; None: likewise.
    """

    piece_ns: int | None = None
    lead_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """A model and configuration that recordings are replayed with.

    Attributes:
        name: ``new`` or ``old``.
        what: What it is, for people.
        deployment: Its deployment.
        models: Model file of each scene that has one.
        memories: What each of these scenes remembers.
        budgets: Threshold of each of them.
        learnt: Time that each of them was learnt or calibrated from.
    """

    name: str
    what: str
    deployment: Deployment
    models: Mapping[str, Path]
    memories: Mapping[str, Memory]
    budgets: Mapping[str, Budget]
    learnt: Mapping[str, Coverage]


def side_of(
    name: str,
    what: str,
    deployment: Deployment,
    models: Mapping[str, Path] | None = None,
    scene: str | None = None,
) -> Side:
    """A side, its models looked at.

    Args:
        name: ``new`` or ``old``.
        what: What it is, for people.
        deployment: Its deployment.
        models: Model file of some scenes instead of the deployment's.
        scene: Only this scene; None: every scene that has a model.

    Raises:
        ConfigError: No scene has a model.
        ModelError: A model cannot be used.
    """
    from nodes.assembly import scene_model
    from pipeline.detection.scorer import Scorer

    files = {n: s.model for n, s in deployment.scenes.items() if s.model is not None}
    files |= dict(models or {})
    files = {n: path for n, path in files.items() if scene is None or n == scene}
    if not files:
        raise ConfigError(
            "no scene has a model to replay with",
            where=deployment.name if scene is None else f"scene {scene}",
            fix="give --model FILE, or name it in the deployment",
        )
    memories, budgets, learnt = {}, {}, {}
    for one, path in files.items():
        model = scene_model(deployment, one, path)
        memories[one] = memory_of(deployment, one, model)
        budgets[one] = Scorer({one: model}, "cpu").budget(one, deployment.scenes[one].alarm)
        learnt[one] = Coverage((end - model.hop_ns, end) for end in model.known_end_ns.tolist())
    return Side(name, what, deployment, files, memories, budgets, learnt)


def pieces_of(
    side: Side, recordings: Survey, cutting: Cutting, wanted: Collection[str] | None = None
) -> list[Piece]:
    """The pieces of a side: those of scenes that can be cut, and each other scene as a whole.

    Args:
        side: The side.
        recordings: What is replayed.
        cutting: How it is cut.
        wanted: Only these scenes; None: all.
    """
    recorded = {n for n, s in side.deployment.scenes.items() if recordings.streams & {*s.streams}}
    known = side.models if wanted is None else wanted
    scenes = [name for name in side.models if name in recorded and name in known]
    whole = [n for n in scenes if side.memories[n].endless and cutting.piece_ns is None]
    cut = [n for n in scenes if n not in whole]
    pieces: list[Piece] = []
    for group in (cut[at : at + TOGETHER] for at in range(0, len(cut), TOGETHER)):
        lead_ns = cutting.lead_ns
        if lead_ns is None:
            lead_ns = max(side.memories[name].lead_ns for name in group)
        length_ns = cutting.piece_ns or max(LEADS * lead_ns, SHORTEST_NS)
        pieces += _cut(side, recordings, group, length_ns, lead_ns)
    for name in whole:
        pieces += _cut(side, recordings, [name], recordings.coverage.total_ns, 0)
    return pieces


def _cut(
    side: Side, recordings: Survey, scenes: list[str], length_ns: int, lead_ns: int
) -> list[Piece]:
    coverage = recordings.coverage
    spans = coverage.pieces(length_ns)
    deployment = _stripped(side.deployment, scenes)
    found = []
    for number, (from_ns, to_ns) in enumerate(spans):
        last = number == len(spans) - 1
        begin_ns = coverage.before(from_ns, lead_ns) if number else from_ns
        check_ns = None if last else coverage.after(to_ns, CHECK_NS)
        stop_ns = None if last else coverage.after(to_ns, TAIL_NS)
        found.append(
            Piece(
                side=side.name,
                number=number,
                deployment=deployment,
                models={name: side.models[name] for name in scenes},
                files=recordings.between(begin_ns, stop_ns),
                begin_ns=begin_ns,
                from_ns=from_ns,
                to_ns=None if last else to_ns,
                first_ns=coverage.after(from_ns, CHECK_NS),
                check_ns=check_ns,
                stop_ns=stop_ns,
            )
        )
    return found


def _stripped(deployment: Deployment, scenes: list[str]) -> Deployment:
    """What the engine needs of a deployment, so that no password travels to other machines.

    What is told of the equipment is left out: it depends on the whole run, and spends no budget.
    """
    quiet = {"sight": SightSettings(enabled=False), "sync_watch": SyncWatchSettings()}
    fusion = deployment.fusion.model_copy(update={"store": None, "record": None, "threads": 1})
    return deployment.model_copy(
        update={
            "scenes": {n: deployment.scenes[n].model_copy(update=quiet) for n in scenes},
            "nodes": {},
            "fusion": fusion,
            "alert": AlertSettings(),
            "dashboard": None,
            "security": SecuritySettings(),
        }
    )
