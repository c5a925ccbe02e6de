"""The tables and the JSON of the detection benchmark, with the targets of GOALS beside."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.detection.alarm import AlarmSettings
from pipeline.sources.synthetic.settings import Kind
from pipeline.training.evaluation_result import Row
from pipeline.training.event_metrics import HOUR_S, Recall, recall_of
from pipeline.training.intervals import garwood
from tests.benchmarks.fusion_figures import Alarms, Outcome

KINDS = tuple(kind.value for kind in Kind)
BETWEEN_STREAMS = tuple(kind for kind in KINDS if kind.startswith("X"))
MEAN_AUROC, LEAST_AUROC = 0.94, 0.85
FOUND = {"6/hour": 0.75, "2/hour": 0.60}
FOUND_BETWEEN = 0.70
ONE_DELAY_S, BETWEEN_DELAY_S = 2.0, 4.0
COMMISSION_S, WINDOW_MS = 300.0, 20.0

_NAME = 26
_TARGET = "target"
Cells = Sequence[str]


def tables(outcomes: Sequence[Outcome]) -> str:
    """All tables of one site, or of several together.

    Args:
        outcomes: One a variant; what its detectors show alone is told of the first.
    """
    blocks = [_level_table(outcomes)]
    blocks += [_alarm_table(outcomes, number) for number in range(len(outcomes[0].alarms))]
    return "\n".join(f"{block}\n" for block in blocks)


def _level_table(outcomes: Sequence[Outcome]) -> str:
    head = [*KINDS, "mean", "least", "VUS-PR", "6/h", "2/h", "learn s", "ms"]
    lines = [
        _line("AUROC, windows by kind", head),
        _line(_TARGET, [*("" for _ in KINDS), *_level_targets()]),
    ]
    for one in outcomes:
        costs = [f"{one.commission_cpu_s:.0f}", f"{one.window_cpu_ms:.1f}"]
        lines.append(_line(one.variant, [*_levels(one.rows[0]), *costs]))
    lines.append(f"of {outcomes[0].variant}, alone, and what has learnt nothing:")
    lines += [_line(row.name, _levels(row)) for row in outcomes[0].rows[1:]]
    lines.append(
        "6/h and 2/h: share found by the best threshold within that rate, which uses the labels; "
        "learn s and ms: CPU"
    )
    return "\n".join(lines)


def _level_targets() -> Cells:
    best = ["", "", ""]
    return [_two(MEAN_AUROC), _two(LEAST_AUROC), *best, f"{COMMISSION_S:.0f}", f"{WINDOW_MS:.0f}"]


def _levels(row: Row) -> list[str]:
    values = [row.kinds.get(kind, math.nan) for kind in KINDS]
    best = [_percent(row.found[rate]) for rate in ("6", "2")]
    return [
        *map(_two, values),
        _two(mean_auroc(row)),
        _two(np.nanmin(values)),
        _two(row.vus_pr),
        *best,
    ]


def _alarm_table(outcomes: Sequence[Outcome], number: int) -> str:
    budget = outcomes[0].alarms[number].budget
    rate = AlarmSettings(budget=budget).false_alarms_hz * HOUR_S
    head = [*KINDS, "all", "cross", "false/h", "90 %", "beside/h", "delay s", "cross"]
    shares = [_percent(FOUND[budget]), _percent(FOUND_BETWEEN)] if budget in FOUND else ["", ""]
    wanted = [*shares, f"{rate / 2:.2g}-{rate * 1.5:.2g}", ""]
    lines = [
        _line(f"found at {budget}, own limit", head),
        _line(_TARGET, [*("" for _ in KINDS), *wanted, "", *_delay_targets()]),
    ]
    lines += [_line(o.variant, _alarm_cells(o.alarms[number])) for o in outcomes]
    return "\n".join(lines)


def _delay_targets() -> Cells:
    return f"{ONE_DELAY_S:.1f}", f"{BETWEEN_DELAY_S:.1f}"


def _alarm_cells(alarms: Alarms) -> Cells:
    low, high = false_interval(alarms)
    one_kind = found_of(alarms, lambda kind: kind not in BETWEEN_STREAMS)
    cross = found_of(alarms, lambda kind: kind in BETWEEN_STREAMS)
    return [
        *(_percent(found_of(alarms, kind.__eq__).share) for kind in KINDS),
        _percent(recall_of(alarms.found).share),
        _percent(cross.share),
        f"{_per_hour(alarms.false, alarms.normal_s):.1f}",
        f"{low:.1f}-{high:.1f}",
        f"{_per_hour(alarms.beside, alarms.beside_s):.1f}",
        _seconds(one_kind.delay_median_s),
        _seconds(cross.delay_median_s),
    ]


def found_of(alarms: Alarms, wanted: Callable[[str], bool]) -> Recall:
    """How many labels of some kinds were found, and how late."""
    return recall_of([pair for pair in alarms.found if wanted(pair[0].kind)])


def mean_auroc(row: Row) -> float:
    """Mean over the kinds."""
    return float(np.mean(list(row.kinds.values())))


def false_interval(alarms: Alarms) -> tuple[float, float]:
    """90 % interval of the false alarms per hour of fresh normal."""
    low, high = (_per_hour(count, alarms.normal_s) for count in garwood(alarms.false))
    return low, high


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Everything of an outcome, for a file; what has no meaning is null."""
    told: dict[str, Any] = _clean(
        {
            "variant": outcome.variant,
            "site": outcome.site,
            "mean_auroc": mean_auroc(outcome.rows[0]),
            "commission_cpu_s": outcome.commission_cpu_s,
            "window_cpu_ms": outcome.window_cpu_ms,
            "rows": [asdict(row) for row in outcome.rows],
            "alarms": [_alarms_as_json(alarms) for alarms in outcome.alarms],
        }
    )
    return told


def _alarms_as_json(alarms: Alarms) -> dict[str, Any]:
    groups = {kind: found_of(alarms, kind.__eq__) for kind in KINDS}
    groups |= {
        "all": recall_of(alarms.found),
        "one stream": found_of(alarms, lambda kind: kind not in BETWEEN_STREAMS),
        "between streams": found_of(alarms, lambda kind: kind in BETWEEN_STREAMS),
    }
    return {
        "budget": alarms.budget,
        "thresholds": alarms.thresholds,
        "found": {name: asdict(recall) for name, recall in groups.items() if recall.labels},
        "false": alarms.false,
        "normal_s": alarms.normal_s,
        "false_per_hour": _per_hour(alarms.false, alarms.normal_s),
        "false_per_hour_90": false_interval(alarms),
        "beside": alarms.beside,
        "beside_s": alarms.beside_s,
    }


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _per_hour(count: float, length_s: float) -> float:
    return count / length_s * HOUR_S if length_s else math.nan


def _line(name: str, cells: Iterable[str]) -> str:
    return f"{name:{_NAME}}" + "".join(f" {cell:>{_width(i)}}" for i, cell in enumerate(cells))


def _width(column: int) -> int:
    return 4 if column < len(KINDS) else 8


def _two(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if math.isfinite(value) else "-"


def _percent(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "-"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "-"
