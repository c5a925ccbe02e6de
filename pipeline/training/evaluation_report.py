"""An evaluation as one HTML file: readable in a browser or on a phone, light or dark.

The file stands alone: drawings are inline SVG, and its policy forbids it to load anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from pipeline.training import evaluation_plots as plots
from pipeline.training.evaluation_result import (
    AlarmRow,
    Evaluation,
    Group,
    Limit,
    LimitFigures,
    Miss,
    Row,
)
from pipeline.training.event_metrics import EventFigures, Recall
from pipeline.training.report_page import heat, page, plain, table
from pipeline.training.report_words import clock, number, seconds, share, short
from pipeline.training.stretch_report import section
from pipeline.training.watched import Watched

_MOST_LISTED = 200


def write_report(folder: Path, evaluation: Evaluation, watched: Watched) -> Path:
    """Write ``index.html`` and ``evaluation.json`` to a folder, which is made if need be.

    Returns:
        The HTML file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(evaluation.to_json(), "utf-8")
    report = folder / "index.html"
    report.write_text(render(evaluation, watched), "utf-8")
    return report


def render(evaluation: Evaluation, watched: Watched) -> str:
    """The report as HTML."""
    e = evaluation
    span = f"{clock(e.from_s)} to {clock(e.to_s)}, {clock(e.watched_s)} scored"
    normal = f"of which {clock(e.normal_s)} outside of labels"
    parts = [
        f"<p class=lead>{escape(span)}, {escape(normal)}. {_labels(e)}</p>",
        _cards(e),
        f"<p class=note>Threshold {e.headline.limit.threshold:.2f} on &minus;log<sub>10</sub> p: "
        f"{escape(e.headline.limit.basis)}, for a budget of {escape(e.headline.limit.budget)}"
        f"{_expected(e.headline.limit)}. It was set before this recording was looked at.</p>",
        "".join(f"<p class=warning>{escape(text)}.</p>" for text in e.warnings),
        "<h2>Timeline</h2>",
        f"<div class=wide>{plots.timeline(e, watched)}</div>",
        f"<p class=key>{_key()}</p>",
        _by_group(e),
        "" if e.stretches is None else section(e.stretches, e.headline.limit.threshold),
        _budget(e),
        _windows(e, watched),
        _comparison(e.rows),
        _missed(e.misses),
        _false(e.false_alarms),
        _outside(e),
        _counted(e),
    ]
    return page(f"Evaluation of {e.scene or 'scores'}", parts)


def _labels(e: Evaluation) -> str:
    if not e.labels:
        return "<b>No label lies in it</b>: only false alarms can be judged."
    return f"{e.labels} labels."


def _cards(e: Evaluation) -> str:
    events, windows = e.headline.events, e.windows
    recall = events.recall
    rate = f"{number(events.low_per_hour)} to {number(events.high_per_hour)}"
    late = f"nine of ten within {seconds(recall.delay_p90_s)}"
    cards = [
        (share(recall.share), f"of labels found: {recall.found} of {recall.labels}",
         interval(recall)),
        (number(events.per_hour), f"false alarms an hour, {events.false_alarms} in all",
         f"90 % interval {rate}"),
        (seconds(recall.delay_median_s), "median delay to the raise", late),
        (short(events.f1), f"event F1, precision {short(events.precision)}",
         f"{events.alarms} alarms raised"),
        (short(windows.auroc), "AUROC over windows", "by chance .50"),
        (short(windows.vus_pr), f"VUS-PR, average precision {short(windows.auprc)}",
         f"by chance {short(_chance(e))}"),
    ]  # fmt: skip
    made = [
        f"<div class=card><b>{escape(big)}</b><span>{escape(what)}</span>"
        f"<small>{escape(more)}</small></div>"
        for big, what, more in cards
    ]
    return f"<div class=cards>{''.join(made)}</div>"


def _chance(e: Evaluation) -> float:
    judged = e.windows.windows - e.windows.unclear
    return e.windows.anomalous / judged if judged else math.nan


def _expected(limit: Limit) -> str:
    if not math.isfinite(limit.low_per_hour):
        return ""
    low, high = number(limit.low_per_hour), number(limit.high_per_hour)
    return f" ({low} to {high} an hour to be expected)"


def _key() -> str:
    colours = (
        (plots.GREEN, "label found"),
        (plots.RED, "label missed"),
        (plots.BLUE, "alarm"),
        (plots.ORANGE, "false alarm"),
    )
    return " ".join(f"<span><i style='background:{c}'></i>{name}</span>" for c, name in colours)


def _by_group(e: Evaluation) -> str:
    if not e.labels:
        return ""
    made = ["<h2>By kind</h2>", _groups("by kind", "kind", e.kinds)]
    if e.modality_sets:
        made += ["<h2>By where it shows</h2>", _groups("by modality", "shows in", e.modality_sets)]
    return "".join(made)


def _groups(what: str, column: str, groups: Sequence[Group]) -> str:
    head = (column, "found", "delay", "AUROC", "AP", "VUS-PR")
    rows = [
        (
            group.name or "(not said)",
            f"{group.recall.found} of {group.recall.labels}",
            seconds(group.recall.delay_median_s),
            *(short(v) for v in (group.auroc, group.auprc, group.vus_pr)),
        )
        for group in groups
    ]
    return f"<div class=pair><div>{plots.groups(groups, what)}</div>{table(head, rows)}</div>"


def _budget(e: Evaluation) -> str:
    head = ("false alarms an hour", "found", "interval", "precision", "F1", "delay")
    best = [(f"at most {at.rate_per_hour:g}", *_figures(at.events)) for at in e.at_rates]
    note, _, rest = e.curve_note.partition(". ")
    set_before = _limits((e.headline, *e.limits))
    return (
        "<h2>Alarm budget</h2>"
        f"<div class=plot>{plots.budget(e)}</div>"
        f"<h3>Thresholds set before</h3>{set_before}"
        f"<h3>The best any threshold could do</h3>{table(head, best)}"
        f"<p class=note><b>{escape(note)}.</b> {escape(rest)} "
        f"In {clock(e.normal_s)} of normal time, one false alarm is "
        f"{number(3600 / e.normal_s if e.normal_s else math.nan)} an hour.</p>"
    )


def _limits(limits: Sequence[LimitFigures]) -> str:
    head = ("budget", "false an hour", "90 % interval", "found", "precision", "F1", "delay")
    rows, starred = [], False
    for one in limits:
        events = one.events
        rate = f"{number(events.low_per_hour)} to {number(events.high_per_hour)}"
        found, _, *rest = _figures(events)
        guessed = not one.limit.counted and math.isfinite(one.limit.low_per_hour)
        starred |= guessed
        name = one.limit.budget + (" *" if guessed else "")
        rows.append((name, number(events.per_hour), rate, found, *rest))
    star = "<p class=key>* rarer than the normal that was learnt can count: extrapolated</p>"
    return table(head, rows) + (star if starred else "")


def _figures(events: EventFigures) -> tuple[str, ...]:
    recall = events.recall
    return (
        f"{recall.found} of {recall.labels}",
        f"{share(recall.low)} to {share(recall.high)}",
        short(events.precision),
        short(events.f1),
        seconds(recall.delay_median_s),
    )


def _windows(e: Evaluation, watched: Watched) -> str:
    w = e.windows
    if not w.anomalous:
        return ""
    drawn = f"<div>{plots.roc(watched, e)}</div><div>{plots.precision_recall(watched, e)}</div>"
    at = ", ".join(
        f"{name} {short(value)}"
        for name, value in (
            ("accuracy", w.accuracy),
            ("precision", w.precision),
            ("recall", w.recall),
            ("F1", w.f1),
        )
    )
    return (
        f"<h2>Window by window</h2><div class=pair>{drawn}</div>"
        f"<p class=note>{w.windows} windows, {w.anomalous} anomalous, {w.unclear} unclear and left "
        f"out. At the threshold: {at}. Nothing is adjusted: a window counts for itself.</p>"
    )


def _comparison(rows: Sequence[Row]) -> str:
    kinds = list(rows[0].kinds) if rows else []
    rates = list(rows[0].found) if rows else []
    if not kinds:
        return ""
    head = ("score", "AUROC", *kinds, "AP", "VUS-PR", *(f"{r}/h" for r in rates))
    lines = []
    for row in rows:
        cells = [heat(row.auroc), *(heat(row.kinds[kind]) for kind in kinds)]
        cells += [plain(short(row.auprc)), plain(short(row.vus_pr))]
        cells += [plain(share(row.found[rate])) for rate in rates]
        lines.append(f"<tr class={row.role}><th>{escape(row.name)}</th>{''.join(cells)}</tr>")
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return (
        "<h2>Beside detectors alone and baselines</h2><div class=scroll><table>"
        f"<thead><tr>{names}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        "<p class=note>AUROC overall and by kind, average precision, VUS-PR, and the share of "
        "labels found at best within so many false alarms an hour, which uses the labels.</p>"
    )


def _missed(misses: Sequence[Miss]) -> str:
    if not misses:
        return ""
    head = ("at", "kind", "shows in", "best p", "nearest detector", "what it was")
    rows = [
        (
            f"{clock(m.label.start_s)} to {clock(m.label.end_s)}",
            m.label.kind,
            ", ".join(m.label.modalities),
            f"{m.best_p:.2g} at {clock(m.at_s)}",
            f"{m.detector}, p {m.detector_p:.2g}" if m.detector else "",
            m.label.description,
        )
        for m in misses[:_MOST_LISTED]
    ]
    return f"<h2>Missed ({len(misses)})</h2>{table(head, rows)}{_more(len(misses))}"


def _false(alarms: Sequence[AlarmRow]) -> str:
    if not alarms:
        return "<h2>False alarms</h2><p>None.</p>"
    head = ("at", "p", "what was said")
    rows = [
        (f"{clock(a.start_s)} to {clock(a.end_s)}", f"{a.p:.2g}", a.summary)
        for a in alarms[:_MOST_LISTED]
    ]
    return f"<h2>False alarms ({len(alarms)})</h2>{table(head, rows)}{_more(len(alarms))}"


def _more(count: int) -> str:
    rest = count - _MOST_LISTED
    return f"<p class=note>And {rest} more, see evaluation.json.</p>" if rest > 0 else ""


def _outside(e: Evaluation) -> str:
    if not e.outside:
        return ""
    listed = e.outside[:_MOST_LISTED]
    spans = ", ".join(f"{label.kind} at {clock(label.start_s)}" for label in listed)
    return (
        f"<h2>Not judged</h2><p>Labels that lie where nothing was scored ({len(e.outside)}): "
        f"{escape(spans)}.</p>{_more(len(e.outside))}"
    )


def _counted(e: Evaluation) -> str:
    return (
        "<h2>How it was counted</h2><ul>"
        "<li>Alarms are those of the alarm itself, run over the scores with the scene's rules."
        f"<li>A label is found by an alarm that was raised, overlaps it within {e.tolerance_s:g} s "
        "and began with it, not long before; so an alarm that always stands finds nothing. "
        "The delay is from the label's start to the raise."
        "<li>An alarm that finds no label is false. False alarms are counted per hour outside of "
        "labels; the interval is Garwood's exact one for a Poisson count."
        "<li>Several alarms for one label are one in the precision."
        f"<li>A window is anomalous when it holds {e.hop_s:g} s of a label or all of a shorter one."
        f"<li>VUS-PR: buffers up to {e.buffer_s:g} s (Paparrizos et al., PVLDB 2022)."
        "<li>A kind is judged against normal windows, those of other kinds left out. "
        "A false alarm has no kind.</ul>"
    )


def interval(recall: Recall) -> str:
    """The 90 % interval of a share found."""
    if not recall.labels:
        return "no labels"
    return f"90 % interval {share(recall.low)} to {share(recall.high)}"
