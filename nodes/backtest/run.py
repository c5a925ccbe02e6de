"""A whole backtest: survey, plan, replay, join, compare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from nodes.backtest.crews import Crew, Worked, work
from nodes.backtest.figures import SECOND_NS, Told, Truth, scene_result
from nodes.backtest.joining import Joined, join, told_seams
from nodes.backtest.piece import Piece
from nodes.backtest.plan import Cutting, Side, pieces_of
from nodes.backtest.result import Backtest, SceneResult, Seams
from nodes.backtest.survey import Survey
from nodes.backtest.words import length, moment
from nodes.replay import start_of
from pipeline.config.deployment import Deployment
from pipeline.config.retention import age_ns
from pipeline.core.errors import ConfigError, FusewatchError, RecordingError
from pipeline.core.event import Event
from pipeline.recording.coverage import Coverage
from pipeline.store import FusionStore
from pipeline.training.labels import Label, read_labels

NEW, OLD = "new", "old"
_MUCH = 0.05  # of the time that is compared
Known = tuple[Sequence[Label] | None, int]
"""Labels, if there are any, and the site time of their second 0, nanoseconds."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Events that a live deployment stored, to compare with.

    Attributes:
        what: What it is, for people.
        deployment: Its scenes and budgets.
        events: Of each scene.
    """

    what: str
    deployment: Deployment
    events: Mapping[str, Sequence[Event]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be compared.

    Attributes:
        new: What is replayed.
        old: What it is compared with.
        recordings: What is replayed.
        cutting: How it is cut.
        labels: What was really there in `labelled`; None: nobody knows.
        labelled: The scene that the labels are of.
    """

    new: Side
    old: Side | Stored
    recordings: Survey
    cutting: Cutting = field(default_factory=Cutting)
    labels: Path | None = None
    labelled: str = ""

    @property
    def sides(self) -> list[Side]:
        """Those that are replayed."""
        return [self.new, *([self.old] if isinstance(self.old, Side) else [])]

    @property
    def scenes(self) -> list[str]:
        """Scenes that all of them can replay."""
        return [n for n in self.new.models if all(n in side.models for side in self.sides)]


def stored(store: FusionStore, deployment: Deployment, what: str) -> Stored:
    """What a live deployment stored; the store is closed.

    Raises:
        StoreError: It cannot be read.
    """
    with closing(store):
        events: defaultdict[str, list[Event]] = defaultdict(list)
        for event in store.events():
            if not event.health:
                events[event.scene].append(event)
    return Stored(what, deployment, events)


def backtest(
    asked: Asked, crew: Crew, told: Callable[[int, int], None] = lambda *_: None
) -> Backtest:
    """Replay and compare.

    Args:
        asked: What is to be compared.
        crew: Who replays; closed at the end.
        told: Told how many pieces are over, of how many.

    Raises:
        ConfigError: The labels are wrong.
        RecordingError: The recordings hold no stream of any scene.
        ModelError: A model cannot be used.
    """
    try:
        known = _labels(asked)
        pieces = [
            piece
            for side in asked.sides
            for piece in pieces_of(side, asked.recordings, asked.cutting, asked.scenes)
        ]
        if not pieces:
            raise _strangers(asked)
    except BaseException:
        crew.close()
        raise
    worked = work(pieces, crew, told)
    joined = {s.name: join(r for r in worked.results if r.side == s.name) for s in asked.sides}
    recordings = asked.recordings
    spans = recordings.coverage.spans
    scenes = [_scene(asked, joined, known, name) for name in joined[NEW].events]
    return Backtest(
        deployment=asked.new.deployment.name,
        new=asked.new.what,
        old=asked.old.what,
        recordings=str(recordings.folder),
        from_ns=spans[0][0],
        to_ns=spans[-1][1],
        recorded_s=recordings.coverage.total_ns / SECOND_NS,
        files=len(recordings.files),
        unreadable=recordings.unreadable,
        damaged=_damaged(recordings, joined.values()),
        given_up=[_given_up(piece, why) for piece, why in worked.given_up],
        again=worked.again,
        seams={name: _seams(name, one, pieces) for name, one in joined.items()},
        warnings=list(_warnings(asked, joined, worked, sum(scene.outside for scene in scenes))),
        scenes=scenes,
    )


def _scene(asked: Asked, joined: Mapping[str, Joined], known: Known, scene: str) -> SceneResult:
    labels, origin_ns = known
    own = labels if scene == asked.labelled else None
    truth = Truth(own, origin_ns, joined[NEW].recorded[scene])
    new, old = asked.new, asked.old
    settings = new.deployment.scenes[scene]
    budget = new.budgets[scene]
    outside = 0
    if isinstance(old, Side):
        before = joined[OLD].events.get(scene, [])
        told = old.budgets.get(scene)
        threshold = None if told is None else told.threshold
    else:
        all_of_it = old.events.get(scene, ())
        before = [e for e in all_of_it if truth.recorded.holds(e.start_ns, e.end_ns)]
        outside, threshold = len(all_of_it) - len(before), None
    earlier = old.deployment.scenes.get(scene, settings)
    return scene_result(
        scene,
        Told(before, earlier.alarm, threshold),
        Told(joined[NEW].events[scene], settings.alarm, budget.threshold),
        {day: n for (name, day), n in joined[NEW].watched.items() if name == scene},
        settings.hop_s,
        truth,
        outside,
    )


def _labels(asked: Asked) -> Known:
    if asked.labels is None:
        return None, 0
    origin_ns = start_of([file.path for file in asked.recordings.files])
    return read_labels(asked.labels, origin_ns), origin_ns


def _seams(name: str, joined: Joined, pieces: Sequence[Piece]) -> Seams:
    own = [piece for piece in pieces if piece.side == name]
    kinds = told_seams(joined.seams)
    return Seams(
        pieces=len(own),
        same=kinds["same"],
        different=kinds["different"],
        not_compared=kinds["not compared"],
        worst=max((s.worst for s in joined.seams if s.compared), default=0.0),
        merged=joined.merged,
        lead_s=max((p.from_ns - p.begin_ns for p in own), default=0) / SECOND_NS,
    )


def _damaged(recordings: Survey, joined: Iterable[Joined]) -> dict[str, Sequence[str]]:
    found = {name: [what] for name, what in recordings.cut.items()}
    for one in joined:
        for file, faults in one.faults.items():
            name = str(Path(file).relative_to(recordings.folder))
            known = found.setdefault(name, [])
            known += sorted(fault for fault in faults if fault not in known)
    return dict(found)


def _given_up(piece: Piece, why: str) -> str:
    end = "the end" if piece.to_ns is None else moment(piece.to_ns)
    return f"{', '.join(piece.scenes)} ({piece.side}), {moment(piece.from_ns)} to {end}: {why}"


def _warnings(
    asked: Asked, joined: Mapping[str, Joined], worked: Worked, outside: int
) -> Iterator[str]:
    for side in asked.sides:
        yield from _side_warnings(asked, side, joined[side.name])
    without = sorted(set(asked.new.deployment.scenes) - set(joined[NEW].events))
    if without:
        yield (
            f"scenes not compared, as one side has no model for them or they were not recorded: "
            f"{', '.join(without)}"
        )
    if isinstance(asked.old, Stored):
        yield from _stored_warnings(asked.recordings.coverage, asked.old, joined[NEW], outside)
    if not worked.results:
        yield "nothing was replayed"


def _stored_warnings(recorded: Coverage, old: Stored, new: Joined, outside: int) -> Iterator[str]:
    if outside:
        yield f"stored alarms of times that were not recorded, not compared: {outside}"
    others = sum(len(events) for scene, events in old.events.items() if scene not in new.events)
    if others:
        yield f"stored alarms of scenes that are not compared: {others}"
    limit, (begin_ns, _), (_, end_ns) = (
        old.deployment.retention.events, recorded.spans[0], recorded.spans[-1]
    )  # fmt: skip
    if limit is not None and begin_ns < end_ns - age_ns(limit):
        yield (
            f"the store keeps events for {limit} only (retention.events): older alarms are missing "
            "on the old side and look gained"
        )


def _side_warnings(asked: Asked, side: Side, joined: Joined) -> Iterator[str]:
    for stream, why in joined.unfit.items():
        yield f"{side.name}: {stream} was left out of its scene: {why}"
    for stream, count in joined.corrupt.items():
        yield f"{side.name}: {count} samples of {stream} could not be decoded (some counted twice)"
    if joined.open:
        yield f"{side.name}: of {joined.open} alarms the end was not seen"
    for scene in joined.events:
        memory = side.memories[scene]
        if memory.endless and asked.cutting.piece_ns is None:
            why = " and ".join(memory.endless)
            yield f"{side.name}: {scene} was replayed in one piece, as {why} goes on without end"
        elif memory.endless:
            why = " and ".join(memory.endless)
            yield f"{side.name}: {why} of {scene} begins anew with each piece, as --piece wants it"
        recorded = joined.recorded[scene]
        learnt_ns = recorded.shared_ns(side.learnt[scene])
        if learnt_ns > _MUCH * recorded.total_ns:
            yield (
                f"{side.name}: {scene} has learnt from {length(learnt_ns / SECOND_NS)} of this "
                "time, which flatters it; what came later tells more"
            )
        lead_ns = asked.cutting.lead_ns
        if lead_ns is not None and lead_ns < memory.lead_ns and joined.seams:
            yield (
                f"{side.name}: {scene} remembers {length(memory.lead_ns / SECOND_NS)} "
                f"({memory.longest}), more than --lead"
            )


def _strangers(asked: Asked) -> FusewatchError:
    known = ", ".join(sorted(asked.recordings.streams)) or "none at all"
    wanted = sorted({s for n in asked.scenes for s in asked.new.deployment.scenes[n].streams})
    if not wanted:
        names = " and ".join(", ".join(side.models) for side in asked.sides)
        return ConfigError("the two sides have no scene in common", where=names)
    return RecordingError(
        f"no stream of the scenes to replay is recorded; there are {known}",
        where=str(asked.recordings.folder),
        fix=f"the scenes have {', '.join(wanted)}: make the names agree",
    )
