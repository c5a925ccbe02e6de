"""Results of pieces put together as one replay, and how well they fit where they meet.

The earlier of two pieces has replayed the first windows of the later one too. Where both gave the
same scores, and the same event stood, the later one knew all that matters then, and the events are
those of one long replay. Where not, the seam is told, and no event is lost or counted twice: one
that stood when the later piece began and that the earlier one did not have is taken in, and events
of one alarm that overlap are one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from nodes.backtest.piece import PieceResult
from pipeline.core.event import Event, Phase
from pipeline.detection.transition import anomaly_score
from pipeline.recording.coverage import Coverage, Span


@dataclass(frozen=True, slots=True)
class Seam:
    """Where two pieces of a scene meet.

    Attributes:
        scene: Name of the scene.
        number: Of the later piece.
        compared: Windows that both scored.
        worst: Largest difference of their scores, ``-log10 p``.
        standing: Whether both saw the same event standing, or none.
    """

    scene: str
    number: int
    compared: int
    worst: float
    standing: bool

    @property
    def fits(self) -> bool:
        """Whether the later piece was where the earlier one was, as far as can be seen."""
        return self.standing and self.worst == 0.0


@dataclass(slots=True)
class Joined:
    """What a side gave over all its pieces.

    Attributes:
        events: Of each scene, by when they began.
        windows: Windows of each scene.
        watched: Windows that could be judged, by scene and day since the epoch.
        recorded: Site time of which anything was recorded, by scene.
        seams: Where pieces met.
        merged: Events that two pieces told as two and that are one.
        open: Events whose end was not seen.
        faults: What could not be read, by file.
        unfit: Streams that do not fit their scene's model, and why.
        corrupt: Samples that could not be decoded, by stream.
    """

    events: dict[str, list[Event]] = field(default_factory=dict)
    windows: Counter[str] = field(default_factory=Counter)
    watched: Counter[tuple[str, int]] = field(default_factory=Counter)
    recorded: dict[str, Coverage] = field(default_factory=dict)
    seams: list[Seam] = field(default_factory=list)
    merged: int = 0
    open: int = 0
    faults: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    unfit: dict[str, str] = field(default_factory=dict)
    corrupt: Counter[str] = field(default_factory=Counter)


def join(results: Iterable[PieceResult]) -> Joined:
    """Put the results of one side's pieces together."""
    joined = Joined()
    rows: defaultdict[tuple[str, ...], dict[int, PieceResult]] = defaultdict(dict)
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    for result in results:
        rows[result.scenes][result.number] = result
        joined.windows.update(result.windows)
        joined.watched.update(result.watched)
        joined.corrupt.update(result.corrupt)
        joined.unfit.update(result.unfit)
        for file, faults in result.faults.items():
            joined.faults[file].update(faults)
        for scene, some in result.recorded.items():
            spans[scene] += some
    for scenes, row in rows.items():
        for scene in scenes:
            joined.recorded[scene] = Coverage(spans[scene])
            joined.events[scene] = _events(joined, [row[n] for n in sorted(row)], scene)
            joined.seams += [
                _seam(row[number - 1], row[number], scene)
                for number in sorted(row)
                if number - 1 in row
            ]
    told = [event for events in joined.events.values() for event in events]
    joined.open = sum(event.phase is not Phase.CLEARED for event in told)
    return joined


def _events(joined: Joined, row: Sequence[PieceResult], scene: str) -> list[Event]:
    """Events of one scene, by when they began, none twice."""
    own = [event for piece in row for event in piece.events if event.scene == scene]
    carried = [event for piece in row for event in piece.carried if event.scene == scene]
    alone = [e for e in carried if not any(_same(e, other) for other in own)]
    found: list[Event] = []
    for event in sorted([*own, *alone], key=lambda e: (e.start_ns, e.end_ns)):
        at = next((n for n, known in enumerate(found) if _same(known, event)), None)
        if at is None:
            found.append(event)
        else:
            joined.merged += event.id != found[at].id
            found[at] = _longer(found[at], event)
    return found


def _same(one: Event, other: Event) -> bool:
    """Whether two events of one alarm overlap, which an alarm that is not cut never tells."""
    return one.alarm == other.alarm and one.start_ns < other.end_ns and other.start_ns < one.end_ns


def _longer(first: Event, second: Event) -> Event:
    """The first event, going on for as long as the second."""
    worse = second if second.p < first.p else first
    return replace(
        worse,
        id=first.id,
        start_ns=first.start_ns,
        end_ns=max(first.end_ns, second.end_ns),
        phase=second.phase,
    )


def _seam(earlier: PieceResult, later: PieceResult, scene: str) -> Seam:
    first, second = earlier.beyond.get(scene, {}), later.first.get(scene, {})
    both = first.keys() & second.keys()
    apart = [abs(anomaly_score(first[i]) - anomaly_score(second[i])) for i in both]
    standing = {e.id for e in later.carried if e.scene == scene}
    before = _ids(earlier, scene) & earlier.standing_after
    return Seam(scene, later.number, len(both), max(apart, default=math.nan), standing == before)


def _ids(result: PieceResult, scene: str) -> set[str]:
    return {e.id for e in (*result.events, *result.carried) if e.scene == scene}


def told_seams(seams: Sequence[Seam]) -> Mapping[str, int]:
    """How many seams fit, differ, or could not be compared."""
    kinds = Counter(
        "not compared" if not s.compared else "same" if s.fits else "different" for s in seams
    )
    return {kind: kinds[kind] for kind in ("same", "different", "not compared")}
