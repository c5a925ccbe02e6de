"""Why an event is one, as the page's API gives it: what `pipeline.core` carries, described."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from pipeline.core.explanation import Basis


class Reason(BaseModel):
    """Base of all that is part of a reason."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ModalityView(Reason):
    """What one stream, or the streams jointly, contributed."""

    p: float
    share: float
    note: str


class HeardView(Reason):
    """A detector that would have raised the alarm by itself, at any time of the event."""

    score: float
    note: str


class AccountView(Reason):
    """Samples of one stream and what became of them."""

    captured: int
    delivered: int
    spooled: int
    dropped: dict[str, int]
    """By reason."""


class PlaceMapView(Reason):
    """How surprising each cell of a picture is."""

    stream: str
    rows: int
    cols: int
    levels: list[float]
    """``-log10 p`` of each cell, row by row."""


class BoxView(Reason):
    """A part of a picture, its sides as shares of height and width from the top left."""

    stream: str
    top: float
    left: float
    bottom: float
    right: float
    level: float


class BandView(Reason):
    """A part of a sound: frequencies for a time."""

    stream: str
    low_hz: float
    high_hz: float
    from_s: float
    to_s: float
    seen_db: float
    low_db: float
    high_db: float


class ChannelView(Reason):
    """A channel of a sensor, expected against seen."""

    stream: str
    name: str
    what: str
    seen: float
    low: float
    high: float
    given: list[str]
    """Streams that the expectation is taken from; empty: the channel's own normal."""


class ThenView(Reason):
    """A reading of a sensor, or a level of a sound's band, then and now."""

    stream: str
    name: str
    then: float
    now: float


class MomentView(Reason):
    """A moment of the normal that was learnt, to compare with."""

    at_ns: int
    """When it began, site time of the recording that was learnt."""
    distance: float
    """From the window that is explained; 0: the same."""
    differs: str
    """Stream that differs most."""
    streams: dict[str, float]
    """How far each stream is."""
    pictures: list[str]
    """Cameras of which there is a picture of it."""
    levels: list[ThenView]


class ExplanationView(Reason):
    """Why one window is anomalous."""

    kind: Basis
    contributions: dict[str, float]
    """What each stream adds to the score; less than zero: it looks more ordinary for it."""
    estimated: bool
    pair: list[str]
    """Streams that do not belong together, the odd one first."""
    maps: list[PlaceMapView]
    boxes: list[BoxView]
    bands: list[BandView]
    channels: list[ChannelView]
    nearest: list[MomentView]
