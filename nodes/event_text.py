"""One event as text for a person, on one screen: what, where, when, why, and what became of it.

Words that others use too are theirs: of an alert's message (`pipeline.sinks.message`), of what is
rare (`pipeline.detection.events`), of a channel (`pipeline.core.channel_words`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import msgspec

from nodes.event_lines import local_time
from pipeline.core.answered import EventAnswer
from pipeline.core.channel_words import channel_words, pitch_words
from pipeline.core.event import Account, Event, Phase
from pipeline.core.explanation import Basis, Box, Explanation, Moment
from pipeline.core.timestamps import format_iso
from pipeline.detection.events import rarity
from pipeline.sinks.message import phase_word

_NAME = 11
_ADDS_FROM = 0.05  # less is shown as nothing
_NOTED_FROM_P = 0.01  # a detector's own words are told anyway, without them only what is rare
_LEVELS = 4  # of the nearest moment


@dataclass(frozen=True, slots=True)
class EventTold:
    """All that is told of an event.

    Attributes:
        phases: Its phases, in order.
        threshold: Score from which on its alarm counts, in words.
        not_sent: Why it was not sent; empty when it was, or nobody can tell.
        deliveries: Where it went, a line each.
        answers: What people answered that stands.
        evidence: Folder that its files are relative to.
        missing: What is missing of its pictures, in words.
    """

    phases: Sequence[Event]
    threshold: str
    not_sent: str
    deliveries: Sequence[str]
    answers: Sequence[EventAnswer]
    evidence: Path
    missing: str = ""


def event_text(told: EventTold, width: int = 100) -> Iterator[str]:
    """The lines of an event, none longer than `width` but for words that are."""
    event = told.phases[-1]
    why = next((p.explanation for p in reversed(told.phases) if p.explanation), None)
    yield _folded(event.summary, width)
    yield ""
    for name, words in _facts(told, event):
        yield _line(name, words, width)
    for heading, lines in (
        ("which streams say so", _sayers(event, why)),
        ("enough for an alarm by themselves, at any time of it", _heard(event)),
        ("seen against expected", _unexpected(why)),
        ("most like, of the normal that was learnt", _moments(why)),
        (f"evidence, in {told.evidence}", _files(event, told.missing)),
        ("answers", [f"{local_time(a.at_ns)}: {a.words}" for a in told.answers]),
    ):
        if found := list(lines):
            yield f"\n{heading}"
            yield from (_folded(f"  {one}", width, 6) for one in found)


def _line(name: str, words: str, width: int) -> str:
    return _folded(f"{name:<{_NAME}}{words}", width, _NAME)


def _folded(text: str, width: int, indent: int = 0) -> str:
    """Text in lines; addresses, paths and ids stay whole."""
    later = " " * indent
    return fill(
        text, width, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )


def _facts(told: EventTold, event: Event) -> Iterator[tuple[str, str]]:
    if event.health and (before := _before(told.phases)):
        yield "before", before
    others = [name for name in event.scenes if name != event.scene]
    together = f", with {', '.join(others)}: incident {event.incident}" if others else ""
    yield "where", f"{event.scene}{together}"
    yield "when", _when(event)
    yield "is", f"{phase_word(event)}, severity {event.severity.value}: {_course(told.phases)}"
    if not event.health:
        yield "score", f"{event.score:.2f}, {told.threshold}; {rarity(event.p)}"
    yield from _seen(event)
    if told.not_sent:
        yield "not sent", told.not_sent
    for number, line in enumerate(told.deliveries or ["no deliveries"] * (not told.not_sent)):
        yield "" if number else "sent", line
    yield "id", event.id


def _before(phases: Sequence[Event]) -> str:
    said = dict.fromkeys(p.summary for p in phases)
    return " ".join(one for one in said if one != phases[-1].summary)


def _when(event: Event) -> str:
    lasted = (event.end_ns - event.start_ns) / 1e9
    so_far = "" if event.phase is Phase.CLEARED else " so far"
    began = f"{local_time(event.start_ns)} here, site time {format_iso(event.start_ns)}"
    return f"{began}, {lasted:.1f} s{so_far}"


def _course(phases: Sequence[Event]) -> str:
    """When it was raised and cleared, and how it was updated between."""
    first, last = phases[0], phases[-1]
    said = [f"{first.phase.value} {local_time(first.end_ns)} as {first.severity.value}"]
    updates = sum(p.phase is Phase.UPDATED for p in phases[1:])
    said += [f"{updates} {'update' if updates == 1 else 'updates'}"] if updates else []
    if last.phase is Phase.CLEARED and last is not first:
        said.append(f"cleared {local_time(last.end_ns)}")
    return ", ".join(said)


def _seen(event: Event) -> Iterator[tuple[str, str]]:
    """What could not be seen, how sure the clocks are, what became of the samples."""
    unseen = [*event.incomplete, *(f"{name} ({why})" for name, why in event.degraded.items())]
    if unseen:
        yield "not seen", ", ".join(unseen)
    if event.widened > 1:
        yield "overloaded", f"1 window in {event.widened} was looked at"
    yield "clocks", f"agree within {event.clock_uncertainty_ns / 1e6:.3f} ms"
    if event.ledger:
        yield "samples", "; ".join(_account(n, a) for n, a in sorted(event.ledger.items()))


def _account(stream: str, account: Account) -> str:
    dropped = (f"{count} {reason}" for reason, count in account.dropped.items())
    rest = [*dropped, *([f"{account.spooled} on the way"] if account.spooled else [])]
    also = f" ({', '.join(rest)})" if rest else ""
    return f"{stream} {account.delivered} of {account.captured}{also}"


def _sayers(event: Event, why: Explanation | None) -> Iterator[str]:
    """What each stream adds to the score and what its detectors say, the most first."""
    notes = _notes(event)
    adds: Mapping[str, float] = why.contributions if why is not None else {}
    if why is not None and why.kind is Basis.BETWEEN:
        yield f"they do not belong together: {' and '.join(why.pair)}"
    for stream in sorted(adds, key=lambda name: -adds[name]):
        said = notes.pop(stream, [])
        if abs(adds[stream]) >= _ADDS_FROM or said:
            shown = round(adds[stream], 1) + 0.0  # no minus before a zero
            yield f"{stream} adds {shown:.1f}{': ' * bool(said)}{'; '.join(said)}"
    for name, said in notes.items():
        yield f"{name}: {'; '.join(said)}"


def _heard(event: Event) -> Iterator[str]:
    """Detectors that would have raised it by themselves, the loudest first."""
    heard = event.heard or {}
    for name in sorted(heard, key=lambda name: -heard[name].score):
        said = heard[name].note or "is unusual"
        yield f"{name}: {said}, {rarity(10.0 ** -heard[name].score)} at its worst"


def _notes(event: Event) -> dict[str, list[str]]:
    """What detectors say, the rarest first, by stream; by detector if it is of several."""
    found: dict[str, list[str]] = {}
    for detector, one in sorted(event.modalities.items(), key=lambda item: item[1].p):
        if one.note or one.p <= _NOTED_FROM_P:
            _, _, stream = detector.partition(":")
            said = ", ".join(filter(None, (one.note, rarity(one.p))))
            found.setdefault(stream or detector, []).append(said)
    return found


def _unexpected(why: Explanation | None) -> Iterator[str]:
    if why is None:
        return
    for channel in why.channels:
        by = ", ".join(channel.given) or "its own normal"
        yield f"{channel.stream}: {channel_words(channel)}, judged by {by}"
    for band in why.bands:
        pitch, lasted = pitch_words(band.low_hz, band.high_hz), band.to_s - band.from_s
        usual = f"expected {band.low_db:.0f} to {band.high_db:.0f} dB"
        yield f"{band.stream}: {pitch} heard at {band.seen_db:.0f} dB for {lasted:.1f} s, {usual}"
    for box in why.boxes:
        yield f"{box.stream}: {_place(box)}"


def _place(box: Box) -> str:
    across = f"{box.left:.0%} to {box.right:.0%} from the left"
    return f"{across}, {box.top:.0%} to {box.bottom:.0%} from the top of the picture"


def _moments(why: Explanation | None) -> Iterator[str]:
    if why is None or not why.nearest:
        return
    nearest, *others = why.nearest
    apart = nearest.streams.get(nearest.differs, nearest.distance)
    yield (
        f"{local_time(nearest.at_ns)}: {nearest.differs} differs most, {apart:.1f} times as far "
        f"apart as normal moments usually are{_levels(nearest)}"
    )
    if others:
        yield f"then {' and '.join(local_time(one.at_ns) for one in others)}"


def _levels(moment: Moment) -> str:
    said = (
        f"{one.stream} {one.name} {one.now:.4g}{unit}, then {one.then:.4g}{unit}"
        for one in moment.levels[:_LEVELS]
        for unit in (" dB" * one.name.endswith("Hz"),)
    )
    told = "; ".join(said)
    return f" ({told})" if told else ""


def _files(event: Event, missing: str) -> Iterator[str]:
    files: Mapping[str, str] = msgspec.to_builtins(event.evidence)
    yield from (f"{name:<{_NAME}} {path}" for name, path in files.items() if path)
    if missing:
        yield missing
