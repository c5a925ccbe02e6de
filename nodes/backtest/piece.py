"""One piece of a backtest: a stretch of the recordings, replayed by itself.

A piece has the arrivals of ``[from_ns, to_ns)``, and owns the events that are raised while they
are taken. It begins earlier, at ``begin_ns``, with nothing remembered: what is raised before
``from_ns`` belongs to the piece before, and is thrown away unless it still stands when the piece
begins. It reads on after ``to_ns`` until its events are over, but not beyond ``stop_ns``.

It reads on for `CHECK_NS` in any case: these windows are the first that count of the next piece.
So it can be seen whether that one knew all that matters, see `nodes.backtest.joining`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from nodes.replay import driven, ended
from pipeline.config.deployment import Deployment
from pipeline.core.event import Event, Evidence, Phase
from pipeline.core.window import Window
from pipeline.detection.outcome import Outcome
from pipeline.recording.coverage import Span
from pipeline.recording.merge import RecordingSet

DAY_NS = 86_400_000_000_000
CHECK_NS = 60_000_000_000
"""Recorded time after a piece in which the next one is compared with it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What is to be replayed, and how.

    Attributes:
        side: What it is replayed for, ``new`` or ``old``.
        number: Its place among the pieces of the same scenes and side.
        deployment: Scenes and alarms, without nodes, sinks and keys.
        models: Model file of each scene.
        files: Recordings that hold something of it.
        begin_ns: Arrivals from here on are taken.
        from_ns: Arrivals from here on count.
        to_ns: Those from here on do not; None: all do, and then all streams end.
        first_ns: Scores up to here are compared with those of the piece before.
        check_ns: It is read up to here, so that the next piece can be compared with it.
        stop_ns: Nothing is read from here on.
    """

    side: str
    number: int
    deployment: Deployment
    models: Mapping[str, Path]
    files: tuple[Path, ...]
    begin_ns: int
    from_ns: int
    to_ns: int | None
    first_ns: int
    check_ns: int | None
    stop_ns: int | None

    @property
    def scenes(self) -> tuple[str, ...]:
        """Names of its scenes."""
        return tuple(self.deployment.scenes)

    @property
    def bounds_ns(self) -> tuple[int, ...]:
        """Times at which something else begins to count."""
        known = (self.from_ns, self.to_ns, self.first_ns, self.check_ns)
        return tuple(one for one in known if one is not None)

    def holds(self, at_ns: int) -> bool:
        """Whether what arrives then counts."""
        return self.from_ns <= at_ns and (self.to_ns is None or at_ns < self.to_ns)


def _scores() -> defaultdict[str, dict[int, float]]:
    return defaultdict(dict)


@dataclass(slots=True)
class PieceResult:
    """What came of a piece. Scenes are keys wherever something is kept by scene.

    Attributes:
        side: As the piece's.
        number: Likewise.
        scenes: Likewise.
        events: Events it owns, each at its last phase.
        carried: Events that stood when it began to count, likewise.
        windows: Windows that count.
        watched: Windows that count and could be judged, by scene and day since the epoch.
        recorded: Site time of the windows that count and show anything, in order.
        first: p of the first windows that count, by index.
        beyond: p of the windows after those that count, by index.
        standing_after: Events that stood at its end.
        faults: What could not be read, by file.
        unfit: Streams that do not fit their scene's model, and why.
        corrupt: Samples that could not be decoded, by stream.
    """

    side: str
    number: int
    scenes: tuple[str, ...]
    events: list[Event] = field(default_factory=list)
    carried: list[Event] = field(default_factory=list)
    windows: Counter[str] = field(default_factory=Counter)
    watched: Counter[tuple[str, int]] = field(default_factory=Counter)
    recorded: defaultdict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    first: defaultdict[str, dict[int, float]] = field(default_factory=_scores)
    beyond: defaultdict[str, dict[int, float]] = field(default_factory=_scores)
    standing_after: frozenset[str] = frozenset()
    faults: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    corrupt: dict[str, int] = field(default_factory=dict)


def replay_piece(piece: Piece) -> PieceResult:
    """Replay one piece. Runs in a process of its own.

    Raises:
        RecordingError: A recording cannot be opened any more.
        ModelError: A model cannot be used.
    """
    from nodes.assembly import build_engine

    engine = build_engine(piece.deployment, models=piece.models).engine
    book = _Book(piece)
    with RecordingSet(piece.files) as recordings:
        arrivals = recordings.arrivals(piece.begin_ns, piece.stop_ns)
        counted = ended(arrivals) if piece.to_ns is None else arrivals
        for at_ns, outcome in driven(engine, counted, piece.bounds_ns):
            if book.over(at_ns):
                break
            book.take(at_ns, outcome)
        book.done.faults = {str(p.path): p.faults for p in recordings.parts if p.faults}
    book.done.unfit = {stream: why for (_, stream), why in engine.unfit.items()}
    book.done.corrupt = dict(engine.corrupt)
    return book.close()


class _Book:
    """Keeps what counts of a piece."""

    def __init__(self, piece: Piece) -> None:
        self.done = PieceResult(piece.side, piece.number, piece.scenes)
        self._piece = piece
        self._own: dict[str, Event] = {}
        self._earlier: dict[str, Event] = {}
        self._standing: set[str] = set()
        self._ended = False

    def over(self, at_ns: int) -> bool:
        """Whether nothing that arrives then or later matters."""
        piece = self._piece
        if piece.to_ns is None or piece.check_ns is None or at_ns < piece.to_ns:
            return False
        if not self._ended:
            self._ended = True
            self.done.standing_after = frozenset(self._standing)
        return at_ns >= piece.check_ns and not self._standing

    def take(self, at_ns: int, outcome: Outcome) -> None:
        """Take in what came of arrivals from then on."""
        if not outcome.windows and not outcome.events:
            return
        counts = self._piece.holds(at_ns)
        if counts:
            self.done.windows.update(window.scene for window in outcome.windows)
            for window in outcome.windows:
                self._recorded(window)
        for score in outcome.scores:
            if counts:
                day = (score.scene, score.end_ns // DAY_NS)
                self.done.watched[day] += bool(score.detectors)
            if counts and at_ns < self._piece.first_ns:
                self.done.first[score.scene][score.index] = score.p
            if self._ended and at_ns < (self._piece.check_ns or 0):
                self.done.beyond[score.scene][score.index] = score.p
        for event in outcome.events:
            if not event.health:
                self._event(at_ns, event)

    def close(self) -> PieceResult:
        """What the piece gave."""
        self.done.events = list(self._own.values())
        self.done.carried = list(self._earlier.values())
        return self.done

    def _recorded(self, window: Window) -> None:
        if not any(part.coverage for part in window.slices.values()):
            return
        spans, start_ns = self.done.recorded[window.scene], window.start_ns
        if spans and start_ns <= spans[-1][1]:
            start_ns = spans.pop()[0]
        spans.append((start_ns, window.end_ns))

    def _event(self, at_ns: int, event: Event) -> None:
        early = at_ns < self._piece.from_ns
        if event.phase is Phase.RAISED and (early or self._piece.holds(at_ns)):
            kept = self._earlier if early else self._own
        else:
            kept = self._earlier if event.id in self._earlier else self._own
            if event.id not in kept:
                return  # raised after the piece: it belongs to the next one
        kept[event.id] = replace(event, explanation=None, evidence=Evidence(), ledger={})
        if event.phase is not Phase.CLEARED:
            self._standing.add(event.id)
            return
        self._standing.discard(event.id)
        if early:
            del kept[event.id]
