"""What answers hold back in a scene, and whether that is too much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nodes.dashboard.answer_views import ExemptionView, SceneExemptions
from nodes.dashboard.event_views import EventRow
from nodes.dashboard.views import MILLISECOND_NS
from nodes.exemptions import Exemption
from nodes.withholding import Rules

MOST = 0.5
"""Share of a scene's alarms from which on most of it is held back."""

FEW = 4
"""Held back alarms that are too few to say so."""


def scene_exemptions(
    scene: str, days: int, rules: Rules, rows: Sequence[EventRow]
) -> SceneExemptions:
    """What answers hold back in a scene.

    Args:
        scene: The scene.
        days: How far back `rows` go.
        rules: What keeps events back now.
        rows: Its events in that time.
    """
    alarms = [row for row in rows if not row.health]
    held = Counter(row.like for row in alarms if row.like and row.withheld)
    count = sum(held.values())
    return SceneExemptions(
        scene=scene,
        days=days,
        raised=len(alarms),
        held_back=count,
        most=count > FEW and count >= MOST * len(alarms),
        exemptions=[
            _view(one, held[one.event.id]) for one in rules.normal if one.event.scene == scene
        ],
    )


def _view(one: Exemption, held_back: int) -> ExemptionView:
    return ExemptionView(
        position=one.position,
        event=one.event.id,
        summary=one.event.summary,
        who=one.who,
        note=one.note,
        at_ms=one.from_ns // MILLISECOND_NS,
        until_ms=None if one.until_ns is None else one.until_ns // MILLISECOND_NS,
        held_back=held_back,
    )
