"""False alarms and recall on synthetic sites with and without recalibration.

Run by hand: ``python -m tests.benchmarks.recalibration``. Each site is commissioned on its
half hour of normal and then watched in the order in which things happen: fresh normal, as many
half hours of further normal as ``--later`` says (rendered and scored once, two to three CPU
minutes each, see `tests.benchmarks.score_tables`), and last the part with an anomaly every
14 s, judged by what was learnt before and during it. What the detector says is kept, so that
other settings (``--set most=1.5``) are tried in seconds.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import platformdirs
import structlog
import torch

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.calibration import Calibration
from pipeline.detection.recalibration import Recalibrator
from pipeline.detection.recalibration_settings import RecalibrationSettings
from pipeline.detection.score import WindowScore
from pipeline.training.event_metrics import alarms_of, match_alarms
from tests.benchmarks.score_tables import Kept, Table
from tests.benchmarks.synthetic_sites import HOP_NS, HOPS, SCENE, START_NS, Part, Site

SITES = ((3, 11), (5, 21), (8, 31))
BUDGETS = ("6/hour", "2/hour")


@dataclass(frozen=True, slots=True)
class Figures:
    """What one way of scoring gave at one site.

    Attributes:
        false: False alarms on normal.
        hours: Length of that normal.
        found: Labels found.
        labels: Labels there were.
        beside: False alarms between the anomalies.
        factors: Factor per detector when the normal was over.
    """

    false: int
    hours: float
    found: int
    labels: int
    beside: int
    factors: dict[str, float]


def watch(kept: Kept, later: int, rules: AlarmSettings, settings: RecalibrationSettings) -> Figures:
    """Watch a site under one set of rules."""
    held = kept.held()
    calibration = Calibration(kept.names, held.scores, held.end_ns, HOP_NS)
    budget = calibration.budget(
        rules.false_alarms_hz, min_duration_s=rules.min_duration_s, merge_s=rules.clear_after_s
    )
    machine = None
    if settings.enabled:
        machine = Recalibrator(settings, calibration, rules, budget.threshold, HOP_NS, SCENE)
    false = windows = 0
    for table in (kept.part(Part.NORMAL), *(kept.later(n) for n in range(later))):
        scores = list(_scores(table, calibration, machine))
        windows += len(scores)
        false += len(alarms_of(scores, rules, budget.threshold, HOP_NS, START_NS))
    factors = {} if machine is None else machine.factors
    scores = list(_scores(kept.part(Part.WRONG), calibration, machine))
    raised = alarms_of(scores, rules, budget.threshold, HOP_NS, START_NS)
    match = match_alarms(kept.labels, raised, rules.clear_after_s)
    found = sum(alarm is not None for _, alarm in match.found)
    hours = windows * HOP_NS / 3.6e12
    return Figures(false, hours, found, len(match.found), len(match.false), factors)


def _scores(
    table: Table, calibration: Calibration, machine: Recalibrator | None
) -> Iterator[WindowScore]:
    for end_ns, row in zip(table.end_ns.tolist(), table.scores, strict=True):
        index = end_ns // HOP_NS
        verdict = calibration.judge(row)
        if machine is not None:
            verdict = machine.judge(verdict, index, end_ns)
        yield WindowScore(SCENE, index, end_ns - HOPS * HOP_NS, end_ns, verdict.p)


def main(arguments: Sequence[str] = ()) -> int:
    wanted = _arguments(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    changes = dict(change.split("=", 1) for change in wanted.set)
    on = RecalibrationSettings.model_validate({**changes, "enabled": True})
    print(
        f"{'site':8}{'budget':8}{'':5}{'false/h':>8}{'hours':>6}{'found':>9}{'beside':>8}  factors"
    )
    for place, seed in wanted.sites:
        kept = Kept(Site(place, seed), wanted.cache, wanted.tables, _tell)
        for budget in BUDGETS:
            for name, settings in (("off", RecalibrationSettings(enabled=False)), ("on", on)):
                got = watch(kept, wanted.later, AlarmSettings(budget=budget), settings)
                factors = " ".join(f"{n} {f:.2f}" for n, f in got.factors.items())
                print(
                    f"{f'p{place}s{seed}':8}{budget:8}{name:5}{got.false / got.hours:8.1f}"
                    f"{got.hours:6.1f}{got.found:5}/{got.labels}{got.beside:8}  {factors}",
                    flush=True,
                )
    return 0


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    cache = Path(platformdirs.user_cache_dir("fusewatch")) / "sites"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", nargs="+", type=_site, default=SITES, metavar="PLACE,SEED")
    parser.add_argument("--later", type=int, default=0, help="further half hours of normal")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings")
    parser.add_argument("--cache", type=Path, default=cache, help="rendered sites")
    parser.add_argument("--tables", type=Path, default=cache / "tables", help="kept scores")
    return parser.parse_args(arguments)


def _site(text: str) -> tuple[int, int]:
    place, _, seed = text.partition(",")
    return int(place), int(seed)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
