"""Verdicts as labels, as ``fusewatch evaluate`` and ``fusewatch train`` read them.

A verdict says of an event's span what was really there: *real* and *fault* are labels of that
kind, *normal* is one of the kind that says that nothing was wrong, see
`pipeline.training.labels`. Times are absolute, so one file fits every recording of the site.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.core.event import Event
from pipeline.core.likeness import main_streams
from pipeline.core.sample import Modality
from pipeline.core.timestamps import format_iso
from pipeline.store import Answer, Verdict, verdict_of

_MODALITIES = frozenset(modality.value for modality in Modality)


@dataclass(frozen=True, slots=True)
class LabelExport:
    """What was answered to a scene's events, as labels.

    Attributes:
        labels: As they are written, by their start.
        counts: How many there are of each verdict.
        unanswered: Events that nobody gave a verdict: evaluation takes them for false alarms.
        equipment: Events of the equipment, which are no labels of the scene.
    """

    labels: tuple[dict[str, Any], ...]
    counts: Mapping[Verdict, int]
    unanswered: int
    equipment: int

    def write(self, path: Path) -> None:
        """Write a labels file.

        Raises:
            ConfigError: It cannot be written.
        """
        try:
            path.write_text(f"{json.dumps(self.labels, indent=1, ensure_ascii=False)}\n", "utf-8")
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", where=str(path)) from error


def export_labels(events: Iterable[Event], answers: Mapping[str, Sequence[Answer]]) -> LabelExport:
    """Labels of a scene's events.

    Args:
        events: Its events, each at its worst, see `nodes.withholding.worst`.
        answers: Answers that stand, in order, by event.
    """
    labels: list[dict[str, Any]] = []
    counts = dict.fromkeys(Verdict, 0)
    unanswered = equipment = 0
    for event in sorted(events, key=lambda event: event.start_ns):
        given = answers.get(event.id, ())
        verdict = verdict_of(given)
        if event.health:
            equipment += 1
        elif verdict is None:
            unanswered += 1
        else:
            counts[verdict] += 1
            labels.append(_label(event, verdict, given))
    return LabelExport(tuple(labels), counts, unanswered, equipment)


def _label(event: Event, verdict: Verdict, answers: Sequence[Answer]) -> dict[str, Any]:
    label = {
        "start": format_iso(event.start_ns),
        "end": format_iso(event.end_ns),
        "kind": verdict.value,
        "modalities": _modalities(event),
        "description": event.summary,
        "event": event.id,
    }
    notes = [answer.note for answer in answers if answer.note]
    return label | ({"notes": notes} if notes else {})


def _modalities(event: Event) -> list[str]:
    """Modalities of the streams that show most of it."""
    streams = main_streams(event.explanation) if event.explanation else set()
    shown = (name.partition(":") for name in event.modalities)
    found = {kind for kind, _, stream in shown if stream in streams and kind in _MODALITIES}
    return sorted(found)
