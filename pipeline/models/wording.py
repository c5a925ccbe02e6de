"""What was unusual about a stream, in a few words a person understands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.core.channel_words import channel_words
from pipeline.core.explanation import Channel
from pipeline.core.redact import redact_url
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import Slice, TextSlice
from pipeline.models.features import StreamFeatures
from pipeline.models.objects import AS_OBJECT, BY_MOVE, Thing
from pipeline.models.picture import CELL_PX, grid_shape
from pipeline.models.stream_density import collect
from pipeline.models.stream_model import MOVES, OBJECTS, StreamModel
from pipeline.models.text_features import LINES
from pipeline.models.usual_range import usual_range
from pipeline.recording.line_times import without_time

Array = npt.NDArray[np.float64]

_QUOTE = 60
_NEW_LINE = 0.5  # of at most the square root of 2: about half of its words are new
_CLEARLY = 2.0  # standard units
_LASTING = 0.25  # of the window; a level that lasts so long is no peak and no dip
_SWING = 0.5  # beyond the usual on one side, as a share of it on the other
_WHOLE = {
    Modality.VIDEO: "the picture as a whole is unusual",
    Modality.AUDIO: "the sound as a whole is unusual",
    Modality.SENSOR: "the readings as a whole are unusual",
    Modality.TEXT: "an unusual mix of lines",
}
_SHOWN = {
    Modality.VIDEO: "the picture",
    Modality.AUDIO: "the sound",
    Modality.SENSOR: "the readings",
    Modality.TEXT: "the lines",
}
_SEVERAL = frozenset({Modality.SENSOR, Modality.TEXT})  # spoken of as many
_SENSOR_WORDS = {
    "value": ("higher", "lower"),
    "dip": ("dipping more", "dipping less"),
    "peak": ("peaking more", "peaking less"),
    "slope": ("rising faster", "falling faster"),
    "noise": ("noisier", "steadier"),
    "largest step": ("jumping more", "jumping less"),
}


def describe(
    stream: StreamModel, part: str, features: StreamFeatures, places: Array, seen: Slice
) -> str:
    """Say what was unusual.

    Args:
        stream: The stream's model.
        part: Sub-detector that found it, ``local``, ``wide``, ``mahalanobis``, ...
        features: The window's features of the stream.
        places: Surprise of each place, ``(P,)``.
        seen: The window's slice of the stream.
    """
    modality = stream.info.modality
    if modality is Modality.TEXT:
        return _text(stream, part, features, seen)
    if part in ("items", OBJECTS, MOVES):
        return _new_thing(stream, part, features)
    place = int(np.argmax(places))
    if part in ("level", "mahalanobis", "knn") and places[place] < 2.0:
        return _WHOLE[modality]
    column, up = worst_column(stream, features, place)
    label, name = stream.extractor.labels[place], stream.extractor.columns[column]
    if modality is Modality.VIDEO:
        return _video(name, label, up)
    if modality is Modality.AUDIO:
        return _audio(name, label, up)
    return _sensor(stream, features, place, name, up)


def worst_column(stream: StreamModel, features: StreamFeatures, place: int) -> tuple[int, bool]:
    """Column that is furthest from its usual value at a place, and whether it is above."""
    normaliser = stream.density.normaliser
    rows = collect([features], normaliser.centre.device)
    normal = normaliser.apply(rows.places, rows.present, rows.times_s)[0, place].cpu().numpy()
    far = np.abs(normal)
    if stream.info.modality is Modality.AUDIO and max(far[0], far[2]) >= _CLEARLY:
        far[1] = 0.0  # a listener notices that it is louder before that it is less steady
    column = int(np.argmax(far))
    if stream.info.modality is Modality.SENSOR:
        column = _as_seen(stream, features, place, column, normal)
    return column, bool(normal[column] > 0)


def _as_seen(
    stream: StreamModel, features: StreamFeatures, place: int, column: int, normal: Array
) -> int:
    """The column to tell of a sensor where the furthest is how far it was from its mean.

    A level that rises within the window leaves its lowest reading far below the mean, and nobody
    who sees it would call that a dip. The side is told on which readings are further beyond the
    usual ones; and that the level is higher or lower, once that has lasted.
    """
    value, dip, peak = (stream.extractor.columns.index(c) for c in ("value", "dip", "peak"))
    if column not in (dip, peak) or normal[column] <= 0:
        return column
    seen = features.places[place]
    above, below = _beyond(stream, features, place)
    rises = above > below
    lasted = seen[dip if rises else peak] / max(seen[dip] + seen[peak], 1e-30)
    level = normal[value] if rises else -normal[value]
    if level >= _CLEARLY and lasted >= _LASTING:
        return value
    side = peak if rises else dip
    return side if normal[side] >= _CLEARLY else column


def _beyond(stream: StreamModel, features: StreamFeatures, place: int) -> tuple[float, float]:
    """How far the highest reading of a channel is above the usual, and the lowest below it."""
    value, dip, peak = (stream.extractor.columns.index(c) for c in ("value", "dip", "peak"))
    seen, (least, most) = features.places[place], usual_range(stream, features, place, value)
    above = float(seen[value] + seen[peak]) - most
    return above, least - float(seen[value] - seen[dip])


def _video(name: str, label: str, up: bool) -> str:
    if name in ("motion", "flicker"):
        return f"{'motion' if up else 'less motion than usual'} at {label}"
    return f"unusual {name} at {label}"


def _new_thing(stream: StreamModel, part: str, features: StreamFeatures) -> str:
    if part == "items":
        return "a sound unlike any heard before"
    objects = stream.density.objects
    way = BY_MOVE if part == MOVES else AS_OBJECT
    thing = None if objects is None else objects.newest_of(features.views, way, features.stood)
    where = "" if thing is None else f" at {stream.extractor.labels[_cell(stream, thing)]}"
    if part == MOVES:
        return f"something that moves as nothing did here before{where}"
    return f"something unlike anything seen here before{where}"


def _cell(stream: StreamModel, thing: Thing) -> int:
    """Cell in which the middle of a thing lies."""
    rows, columns = _grid(stream)
    row = min(int(thing.top + thing.height / 2) // CELL_PX, rows - 1)
    column = min(int(thing.left + thing.width / 2) // CELL_PX, columns - 1)
    return row * columns + column


def _grid(stream: StreamModel) -> tuple[int, int]:
    height, width = stream.info.shape[:2]
    return grid_shape(height, width, stream.settings.picture_cells)


def _audio(name: str, label: str, up: bool) -> str:
    if name == "unsteadiness":
        return f"{label} {'less' if up else 'more'} steady than usual"
    return f"{label} {'louder' if up else 'quieter'} than usual"


def _sensor(stream: StreamModel, features: StreamFeatures, place: int, name: str, up: bool) -> str:
    columns = stream.extractor.columns
    high, low = _SENSOR_WORDS.get(name, ("vibrating more", "vibrating less"))
    if up and name in ("dip", "peak"):
        sides = sorted(_beyond(stream, features, place))
        high = "swinging more" if sides[0] > _SWING * sides[1] else high
    shown = columns.index(name)
    seen = features.places[place, shown]
    least, most = usual_range(stream, features, place, shown)
    what = f"{stream.extractor.labels[place]} {high if up else low} than usual"
    return f"{what} (seen {seen:.3g}, expected {least:.3g} to {most:.3g})"


def _text(stream: StreamModel, part: str, features: StreamFeatures, seen: Slice) -> str:
    density = stream.density.items
    if density is None or not len(features.items) or not isinstance(seen, TextSlice):
        return _lines(stream, features)
    rows = collect([features], density.mean.device)
    distances = density.scores(rows.items, 1)
    worst = int(distances.argmax())
    if part != "items" and float(distances[worst]) < _NEW_LINE:
        return _lines(stream, features)
    line = redact_url(without_time(seen.lines[-len(features.items) :][worst])).strip()
    shown = line if len(line) <= _QUOTE else line[: _QUOTE - 1] + "…"
    return f'a line unlike any before: "{shown}"'


def _lines(stream: StreamModel, features: StreamFeatures) -> str:
    """What is unusual about lines of which each is known."""
    column = stream.extractor.columns.index(LINES)
    seen, (least, most) = features.places[0, column], stream.usual[:, 0, column]
    if least <= seen <= most:
        return _WHOLE[Modality.TEXT]
    count, low, high = np.expm1([seen, least, most]).round().astype(int)
    expected = f"{low}" if low == high else f"{low} to {high}"
    return (
        f"{'more' if seen > most else 'fewer'} lines than usual (seen {count}, expected {expected})"
    )


def describe_between(
    streams: Sequence[StreamInfo], relation: str, channels: Sequence[Channel] = ()
) -> str:
    """Say which stream did not fit which, and what a sensor should have shown.

    Args:
        streams: Streams of the scene.
        relation: As in `pipeline.models.together.Together.names`, ``a`` or ``a|b+c``.
        channels: Channels that were not as expected.
    """
    told = next((f"; {channel_words(one)}" for one in channels if one.given), "")
    return f"{_misfit(streams, relation)}{told}"


def _misfit(streams: Sequence[StreamInfo], relation: str) -> str:
    shown = {info.name: f"{_SHOWN[info.modality]} of {info.name}" for info in streams}
    of, _, given = relation.partition("|")
    others = [name for name in shown if name != of]
    what = "what the other streams show"
    if given or len(others) == 1:
        others = given.split("+") if given else others
        what = " and ".join(shown[o] for o in others)
    many = next(info.modality for info in streams if info.name == of) in _SEVERAL
    return f"{shown[of]} {'do' if many else 'does'} not fit {what}"
