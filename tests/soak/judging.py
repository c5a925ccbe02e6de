"""Whether a soak went well: books, memory, events, pace.

Nothing here runs anything: what was looked at and what was kept goes in, figures and violations
come out, so that a soak can be judged again later and by a test.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tests.soak.faults import CALM, LINE, SINK, STORM, Fault
from tests.soak.kept import Kept
from tests.soak.sampling import Look

NODES = ("capture-site", "fusion", "alert", "supervisor")
CAPTURE, ALERT = NODES[0], NODES[2]
MOST_MB_PER_H = 1.0
SETTLE_S, LEAST_SPAN_S = 180.0, 1500.0
LEAST_PACE = 0.98
QUIET_S = 40.0
PER_S = {"site-camera": 15.0, "site-sensors": 10.0}


@dataclass(slots=True)
class Verdict:
    """Figures by name, and what must not be."""

    figures: dict[str, object] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """For the report file."""
        return json.dumps(asdict(self), indent=1)


def judge(kept: Kept) -> Verdict:
    """All of it."""
    verdict = Verdict()
    verdict.figures["hours"] = round(kept.looks[-1].at_s / 3600, 2)
    kinds = Counter(f"{fault.kind} {fault.target}" for fault in kept.faults)
    verdict.figures["faults"] = dict(sorted(kinds.items()))
    if kept.exit_code:
        verdict.violations.append(f"the supervisor ended with {kept.exit_code}")
    _judge_books(kept, verdict)
    _judge_pace(kept, verdict)
    _judge_memory(kept, verdict)
    _judge_events(kept, verdict)
    verdict.figures["window age s"] = ages(kept)
    return verdict


def _judge_books(kept: Kept, verdict: Verdict) -> None:
    """The rule of `pipeline.core.ledger` at every look, nothing lost, nothing left at the end."""
    looked = [look for look in kept.looks if look.ledger]
    verdict.figures["ledger looked at"] = len(looked)
    for look in looked:
        for stream, books in look.ledger.items():
            if books.unexplained:
                verdict.violations.append(
                    f"{books.unexplained} samples of {stream} unexplained at {look.at_s:.0f} s"
                )
    last = kept.last
    verdict.figures["ledger at the end"] = {name: asdict(books) for name, books in last.items()}
    if not looked or not last:
        verdict.violations.append("the ledger was never seen")
    for stream, books in last.items():
        if books.spooled or books.unexplained:
            verdict.violations.append(
                f"{books.spooled} samples of {stream} were not delivered at the end"
            )
    verdict.figures["recorded, of what is left"] = {n: asdict(r) for n, r in kept.recorded.items()}
    for stream, recorded in kept.recorded.items():
        if recorded.missing:
            verdict.violations.append(f"{recorded.missing} samples of {stream} are not recorded")
    for name, count in _lost(looked).items():
        verdict.violations.append(f"{count} samples lost: {name}")


def _lost(looked: Sequence[Look]) -> dict[str, int]:
    """Drops of every life of the capture node, by stream and reason."""
    ends: dict[tuple[int, str], int] = {}
    for look in looked:
        life = look.processes[CAPTURE].pid if CAPTURE in look.processes else 0
        for stream, books in look.ledger.items():
            for reason, count in books.dropped.items():
                ends[life, f"{stream}, {reason}"] = count
    lost: Counter[str] = Counter()
    for (_, name), count in ends.items():
        lost[name] += count
    return {name: count for name, count in lost.items() if count}


def _judge_pace(kept: Kept, verdict: Verdict) -> None:
    """Whatever happens elsewhere, the capture node takes every sample when it is there."""
    count: Counter[str] = Counter()
    passed_s = 0.0
    own = [fault for fault in kept.faults if fault.target == CAPTURE]
    for before, after in _same_life(kept.looks, CAPTURE):
        told = before.ledger.keys() & after.ledger.keys() >= PER_S.keys()
        if told and not _during(own, before.at_s, after.at_s, 15.0):
            passed_s += after.at_s - before.at_s
            for stream in PER_S:
                count[stream] += after.ledger[stream].captured - before.ledger[stream].captured
    pace = {s: round(count[s] / passed_s / hz, 4) for s, hz in PER_S.items() if passed_s}
    verdict.figures["captured, of what the sources give"] = pace
    for stream, share in pace.items():
        if share < LEAST_PACE:
            verdict.violations.append(f"only {share:.1%} of {stream} was captured")


def _judge_memory(kept: Kept, verdict: Verdict) -> None:
    """Resident memory of each process, and its growth in the long part without kills."""
    for name in NODES:
        lives = [look for look in kept.looks if name in look.processes]
        if not lives:
            verdict.violations.append(f"{name} was never seen")
            continue
        figures: dict[str, object] = {
            "most MB": round(max(look.processes[name].resident_mb for look in lives), 1),
            "cores": round(share_of_core(lives, name), 4),
        }
        verdict.figures[name] = figures
        at_s, size_mb = steady(kept, name)
        if len(at_s) < 10:
            continue
        slope, low, high = growth(at_s, size_mb)
        figures["judged h"] = round((at_s[-1] - at_s[0]) / 3600, 2)
        figures["MB/h"] = [round(value, 2) for value in (slope, low, high)]
        if at_s[-1] - at_s[0] >= LEAST_SPAN_S and slope > MOST_MB_PER_H:
            verdict.violations.append(f"{name} grows by {slope:.2f} MB an hour")


def steady(kept: Kept, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Seconds and resident MB of a process in its longest life after all buffers were full."""
    cuts = sorted((fault.lasts_s, fault.end_s) for fault in kept.faults if fault.target == LINE)
    filled_s = cuts[-1][1] if cuts else 0.0
    from_s = max(filled_s, STORM * kept.seconds) + min(SETTLE_S, kept.seconds / 10)
    inside = [
        (look.at_s, look.processes[name])
        for look in kept.looks
        if name in look.processes and from_s <= look.at_s < CALM * kept.seconds
    ]
    lives = Counter(process.pid for _, process in inside)
    life = max(lives, key=lambda pid: lives[pid], default=None)
    points = [(at_s, process.resident_mb) for at_s, process in inside if process.pid == life]
    at, size = np.array(points, np.float64).reshape(-1, 2).T
    return at, size


def growth(
    at_s: npt.NDArray[np.float64], size_mb: npt.NDArray[np.float64]
) -> tuple[float, float, float]:
    """Slope in MB an hour, as the median over all pairs, and the middle half of those.

    Pairs closer than a tenth of the span say nothing of a slope and are left out (Theil 1950,
    Sen 1968, for the rest).

    Args:
        at_s: Seconds, growing, ``(n,)``.
        size_mb: Sizes, ``(n,)``.
    """
    keep = np.unique(np.linspace(0, len(at_s) - 1, min(len(at_s), 700)).round().astype(int))
    at_h, size = at_s[keep] / 3600, size_mb[keep]
    first, second = np.triu_indices(len(at_h), 1)
    apart_h = at_h[second] - at_h[first]
    far = apart_h >= (at_h[-1] - at_h[0]) / 10
    slopes = (size[second] - size[first])[far] / apart_h[far]
    low, middle, high = np.percentile(slopes, (25, 50, 75))
    return float(middle), float(low), float(high)


def share_of_core(looks: Sequence[Look], name: str) -> float:
    """Processor seconds per second, within lives."""
    spent_s = passed_s = 0.0
    for before, after in _same_life(looks, name):
        spent_s += after.processes[name].cpu_s - before.processes[name].cpu_s
        passed_s += after.at_s - before.at_s
    return spent_s / passed_s if passed_s else 0.0


def _judge_events(kept: Kept, verdict: Verdict) -> None:
    """What the store holds is what the web address took, once, or again after a fault."""
    stored = {f"{event}.{revision}" for event, revision, _ in kept.stored}
    taken = Counter(key for key, _ in kept.taken)
    again = sum(taken.values()) - len(taken)
    excuses = sum(fault.target in (ALERT, SINK) for fault in kept.faults)
    verdict.figures["events"] = {
        "raised": sum(phase == "raised" for _, _, phase in kept.stored),
        "phases stored": len(stored),
        "phases taken": len(taken),
        "taken again": again,
    }
    wrong = {
        "were never taken": len(stored - set(taken)),
        "taken that the store lacks": len(set(taken) - stored),
        "taken again without a fault that explains it": max(0, again - excuses),
        "taken again with another body": len(set(kept.taken)) - len(taken),
        "have gaps or phases twice": sum(not _whole(life) for life in _lives(kept.stored)),
    }
    verdict.violations += [f"{count} events {what}" for what, count in wrong.items() if count]


def _lives(stored: Sequence[tuple[str, int, str]]) -> Iterator[list[tuple[int, str]]]:
    by_id: dict[str, list[tuple[int, str]]] = {}
    for event, revision, phase in stored:
        by_id.setdefault(event, []).append((revision, phase))
    yield from by_id.values()


def _whole(life: list[tuple[int, str]]) -> bool:
    """Raised once, first; cleared at most once, last; no revision is missing or twice."""
    revisions, phases = zip(*sorted(life), strict=True)
    ordered = revisions == tuple(range(len(revisions)))
    once = phases[0] == "raised" and "raised" not in phases[1:] and "cleared" not in phases[:-1]
    return ordered and once


def ages(kept: Kept) -> dict[str, object]:
    """From the end of a window to its score: below which bucket 50, 95 and 99 of 100 lie.

    In all, and at times without a fault then or shortly before.
    """
    every: Counter[str] = Counter()
    quiet: Counter[str] = Counter()
    for before, after in _same_life(kept.looks, "fusion"):
        if not before.ages or not after.ages:
            continue
        gained = {k: int(n - before.ages.get(k, 0)) for k, n in after.ages.items() if k != "sum"}
        every.update(gained)
        if not _during(kept.faults, before.at_s, after.at_s, QUIET_S):
            quiet.update(gained)
    return {"all": _shares(every), "quiet": _shares(quiet)}


def _shares(counts: Counter[str]) -> dict[str, object]:
    bounds = sorted(float(k[3:]) for k in counts if k.startswith("le "))
    total = counts["count"]
    found: dict[str, object] = {"windows": total}
    by_bound = {float(k[3:]): n for k, n in counts.items() if k.startswith("le ")}
    for share in (50, 95, 99):
        enough = [b for b in bounds if by_bound[b] * 100 >= share * total]
        found[f"p{share} <="] = str(enough[0]) if enough and total else "-"
    return found


def _same_life(looks: Sequence[Look], name: str) -> Iterator[tuple[Look, Look]]:
    """Neighbouring looks at one life of a process."""
    for before, after in pairwise(look for look in looks if name in look.processes):
        if before.processes[name].pid == after.processes[name].pid:
            yield before, after


def _during(faults: Sequence[Fault], from_s: float, to_s: float, after_s: float) -> bool:
    """Whether a fault was there at that time, or ended shortly before."""
    return any(fault.at_s <= to_s and from_s <= fault.end_s + after_s for fault in faults)
