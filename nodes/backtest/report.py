"""A backtest as one HTML file that stands alone, with what it found beside it as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from nodes.backtest import drawing
from nodes.backtest.result import Backtest, Change, Day, Rate, SceneResult
from nodes.backtest.words import beside_budget, damage, how, length, moment_words, shown, span
from nodes.budget_words import span as duration
from pipeline.training.report_page import page, table
from pipeline.training.report_words import number

_MOST_LISTED = 500


def write_report(folder: Path, found: Backtest) -> Path:
    """Write ``index.html`` and ``backtest.json`` to a folder, which is made if need be.

    Returns:
        The HTML file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "backtest.json").write_text(found.to_json(), "utf-8")
    report = folder / "index.html"
    report.write_text(render(found), "utf-8")
    return report


def render(found: Backtest) -> str:
    """The report as HTML."""
    parts = [
        f"<p class=lead>{escape(found.new)}, against {escape(found.old)}.</p>",
        f"<p class=lead>{escape(span(found))}</p>",
        *(f"<p class=warning>{escape(text)}</p>" for text in (*damage(found), *found.warnings)),
    ]
    for scene in found.scenes:
        parts += _scene(found, scene)
    parts.append(_how(found))
    return page(f"Backtest of {found.deployment}", parts)


def _scene(found: Backtest, scene: SceneResult) -> list[str]:
    key = " ".join(
        f"<span><i style='background:{colour}'></i>{name}</span>"
        for colour, name in drawing.KEY
        if name != "label" or scene.labels is not None
    )
    return [
        f"<h2>{escape(scene.scene)}</h2>",
        _cards(scene),
        f"<div class=wide>{drawing.timeline(scene, found.from_ns, found.to_ns)}</div>",
        f"<p class=key>{key}</p>",
        *_moments("Gained", scene, "gained"),
        *_moments("Lost", scene, "lost"),
        *_moments("Kept", scene, "kept"),
        "<h3>By day</h3>",
        f"<div class=wide>{drawing.by_day(scene)}</div>",
        _days(scene.days),
    ]


def _cards(scene: SceneResult) -> str:
    gained, lost, kept = (len(scene.of(change)) for change in ("gained", "lost", "kept"))
    cards = [
        (f"+{gained}", "alarms gained", f"{scene.new.alarms} in all"),
        (f"\N{MINUS SIGN}{lost}", "alarms lost", f"{scene.old.alarms} before"),
        (f"{kept}", "alarms kept", f"in {duration(scene.watched_s)} that could be judged"),
        *(_rate_card(name, rate, scene) for name, rate in (("new", scene.new), ("old", scene.old))),
    ]
    made = [
        f"<div class=card><b>{escape(big)}</b><span>{escape(what)}</span>"
        f"<small>{escape(more)}</small></div>"
        for big, what, more in cards
    ]
    return f"<div class=cards>{''.join(made)}</div>"


def _rate_card(name: str, rate: Rate, scene: SceneResult) -> tuple[str, str, str]:
    what = "false alarms" if scene.labels is not None else "alarms"
    return number(rate.per_week), f"{what} a week, {name}", beside_budget(rate)


def _moments(title: str, scene: SceneResult, change: Change) -> list[str]:
    moments = scene.of(change)
    if not moments:
        return [f"<h3>{title}</h3><p>None.</p>"]
    head = ("began", "lasted", "severity", "what was said", "label")
    columns = len(head) if scene.labels is not None else len(head) - 1
    rows = [moment_words(moment)[:columns] for moment in moments[:_MOST_LISTED]]
    rest = len(moments) - _MOST_LISTED
    more = f"<p class=note>And {rest} more, see backtest.json.</p>" if rest > 0 else ""
    return [f"<h3>{title} ({len(moments)})</h3>{table(head[:columns], rows)}{more}"]


def _days(days: Sequence[Day]) -> str:
    head = ("day", "judged", "old", "new", "gained", "lost", "kept")
    rows = [
        (
            day.day, length(day.watched_s),
            *(str(n) for n in (day.old, day.new, day.gained, day.lost, day.kept)),
        )
        for day in days
    ]  # fmt: skip
    return table(head, rows)


def _how(found: Backtest) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in how(found))
    return f"<h2>How it was done</h2><ul>{lines}</ul><p class=note>{escape(shown())}</p>"
