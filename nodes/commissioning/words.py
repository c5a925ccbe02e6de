"""What a live commissioning says of its looks, in words and in a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from nodes.budget_words import alarm_count, few, span
from nodes.doctor import Finding
from pipeline.detection.alarm import AlarmSettings
from pipeline.training.enough import EnoughSettings, Look, Standing, Why, standing_of
from pipeline.training.learning_curve import EVEN, Gain
from pipeline.training.report_words import number

_BAR = 10  # characters
_FULL = 2.0  # gain of a full bar
_TIMES = {1: "One", 2: "Two", 3: "Three"}
_NEW = 1.5  # times the even score, from which on a detector is named


class FindingNews:
    """Tells which findings are new and which are gone; figures in them may change."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Finding] = {}

    @property
    def standing(self) -> tuple[Finding, ...]:
        """Those of the last call."""
        return tuple(self._known.values())

    def of(self, findings: Iterable[Finding]) -> tuple[list[Finding], list[Finding]]:
        """Those that were not there at the last call, and those that no longer are."""
        now = {(one.about, one.fix): one for one in findings}
        new = [one for key, one in now.items() if key not in self._known]
        gone = [one for key, one in self._known.items() if key not in now]
        self._known = now
        return new, gone


def begin_words(alarm: AlarmSettings, enough: EnoughSettings) -> str:
    """What the budget asks of the length."""
    needed_s = 1 / alarm.false_alarms_hz
    said = f"To count a budget of {alarm.budget} takes {span(needed_s)} of normal"
    if needed_s <= enough.at_most_s:
        return f"{said}."
    return (
        f"{said}, more than --at-most {enough.at_most_min:g} minutes: its threshold will be "
        "extrapolated, and this goes on until then, or until Ctrl-C."
    )


def look_words(look: Look, alarm: AlarmSettings, enough: EnoughSettings) -> Iterator[str]:
    """Sentences on one look."""
    gain = look.gain
    if gain is not None:
        yield (
            f"A detector learnt from the first {span(gain.learnt_s)} gives the "
            f"{span(gain.seconds)} after them a score of {gain.before:.2f} (even normal: "
            f"{EVEN:.2f}); learnt from all it is {gain.after:.2f}."
        )
        yield f"So that much more taught {_gain(gain)}.{_where(gain)}"
        yield (
            f"The former would have raised {alarm_count(gain.raised)} in those (in alarm "
            f"for {span(gain.stood * gain.seconds)}); {alarm.budget} allows {few(gain.allowed)}."
        )
    more = "" if look.supported else f", extrapolated: {span(look.needed_s)} would count it"
    yield (
        f"{alarm.budget} sets a threshold of {look.threshold:.2f} (90 %: {look.low:.2f} to "
        f"{look.high:.2f}){more}."
    )
    yield _standing(look, enough)


def _standing(look: Look, enough: EnoughSettings) -> str:
    match standing_of(look, enough):
        case Standing.UNKNOWN:
            return (
                "Nothing to compare with yet: that takes a look at half the length, and some "
                "minutes since."
            )
        case Standing.LEARNING:
            return "Still learning."
        case Standing.ALARMING:
            return "More alarms than the budget explains: not enough yet."
        case Standing.UNSURE:
            return "Whether more would teach anything cannot be told yet: too much noise."
        case Standing.SHORT:
            return (
                "More of the same teaches nothing more, but is needed to count the budget; it goes "
                "on, and Ctrl-C ends it as well."
            )
        case Standing.ENOUGH:
            return (
                "Enough by this look: more of the same teaches nothing more, and the budget is "
                f"counted. {_TIMES.get(enough.looks_in_a_row, 'Several')} in a row end it."
            )


def _where(gain: Gain) -> str:
    """Which detectors found the new normal newest."""
    named = [name for name, level in gain.newest.items() if level > _NEW * EVEN][:2]
    return f" What was new showed most in {' and '.join(named)}." if named else ""


def curve_table(looks: Sequence[Look], enough: EnoughSettings) -> Table:
    """The learning curve: what each doubling taught; fits 80 columns."""
    table = Table(title="learning curve: what normal taught beyond what was learnt before it")
    for heading in ("minutes", "beyond", "taught (90 %)", "", "alarms", "threshold"):
        table.add_column(heading, no_wrap=True)
    for look in looks:
        told = ["-"] * 4 if look.gain is None else _row(look.gain)
        table.add_row(_minutes(look.normal_s), *told, f"{look.threshold:.2f}")
    table.caption = (
        f"enough: from {enough.least_gain:g} or less to {enough.most_gain:g} or less, and no more "
        "alarms than the budget (in brackets) explains"
    )
    return table


def _row(gain: Gain) -> list[str]:
    bar = "#" * round(_BAR * min(1.0, max(0.0, gain.mean) / _FULL))
    taught = f"{gain.mean:.2f} ({gain.low:.2f} to {gain.high:.2f})"
    return [_minutes(gain.learnt_s), taught, bar, f"{gain.raised} ({few(gain.allowed)})"]


def _minutes(seconds: float) -> str:
    return number(seconds / 60).removesuffix(".0")


def _gain(gain: Gain) -> str:
    return f"{gain.mean:.2f} (90 %: {gain.low:.2f} to {gain.high:.2f})"


def end_words(why: Why, enough: EnoughSettings) -> str:
    """Why the recording ended."""
    match why:
        case Why.ENOUGH:
            return "that is enough normal"
        case Why.AT_MOST:
            return f"{enough.at_most_min:g} minutes are over (--at-most)"
        case Why.STOPPED:
            return "stopped"
        case Why.SOURCES_ENDED:
            return "the sources have ended"


def verdict_words(looks: Sequence[Look], enough: EnoughSettings) -> str:
    """What the last look that could compare says of how much there is."""
    compared = [look for look in looks if look.gain is not None]
    last = standing_of(compared[-1], enough) if compared else Standing.UNKNOWN
    match last:
        case Standing.ENOUGH:
            return "There was enough normal: twice as much taught nothing more."
        case Standing.SHORT:
            return (
                "Twice as much normal taught nothing more, but it is too little to count the "
                "budget by: its threshold is extrapolated."
            )
        case Standing.UNKNOWN:
            return (
                "Too short to tell whether it is enough: that takes a look at two lengths, one "
                "twice the other."
            )
        case Standing.UNSURE:
            return "Whether it was enough could not be told: too much noise. Record more."
        case Standing.LEARNING:
            return (
                "It was not enough yet: at the last look more normal still taught something. "
                "Expect false alarms until more is recorded and learnt."
            )
        case Standing.ALARMING:
            return (
                "It was not enough yet: what was learnt from half of it raised more alarms over "
                "the rest than the budget explains. Expect false alarms until more is learnt."
            )


def look_data(look: Look, enough: EnoughSettings) -> dict[str, Any]:
    """A look for scripts."""
    gain = look.gain
    return {
        "normal_s": look.normal_s,
        "threshold": look.threshold,
        "threshold_90": [look.low, look.high],
        "supported": look.supported,
        "needed_s": look.needed_s,
        "took_s": round(look.took_s, 1),
        "standing": standing_of(look, enough).value,
        "gain": None if gain is None else gain_data(gain),
    }


def gain_data(gain: Gain) -> Mapping[str, Any]:
    """What a doubling taught, for scripts."""
    return {
        "learnt_s": gain.learnt_s,
        "seconds": gain.seconds,
        "before": gain.before,
        "after": gain.after,
        "taught": gain.mean,
        "taught_90": [gain.low, gain.high],
        "alarms": gain.raised,
        "stood": gain.stood,
        "allowed": gain.allowed,
        "newest": dict(gain.newest),
    }
