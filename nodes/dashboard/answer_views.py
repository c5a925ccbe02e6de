"""What the page's API gives of answers: what they would do, and what they hold back."""

from __future__ import annotations

from nodes.dashboard.event_views import EventRow
from nodes.dashboard.views import View


class EffectView(View):
    """What a verdict would have done in the last days."""

    days: int
    of: int
    """Other events of the scene in that time that are sent by the answers there are."""
    lost: list[EventRow]
    """Those of them that would not be."""
    gained: list[EventRow]
    """Events that are not sent, and would be."""
    until_ms: int | None
    """Until when *normal* would hold, said now; none: until it is taken back."""


class ExemptionView(View):
    """An event that was said to be normal, and what that holds back."""

    position: int
    event: str
    summary: str
    who: str
    note: str
    at_ms: int
    until_ms: int | None
    """Until when it holds; none: until it is taken back."""
    held_back: int
    """Events of the last days that were not sent because of it."""


class SceneExemptions(View):
    """What answers hold back in a scene."""

    scene: str
    days: int
    raised: int
    """Events of the scene in the last days."""
    held_back: int
    """Those of them that were not sent because they are like a normal one."""
    most: bool
    """Whether so much is held back that the scene should learn anew what is normal."""
    exemptions: list[ExemptionView]
    """The latest first."""
