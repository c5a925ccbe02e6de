"""Which streams a sub-detector needs, told by its name alone.

====================  ======================================================
``video:hall/local``  the stream after the colon
``between/a|b+c``     the streams named: ``a`` predicted from ``b`` and ``c``
``between/a``         all: ``a`` predicted from all others
``joint/...``         all
``odd/a|b``           the streams named: ``a`` is the odd one of those two
``odd/a``             all that are there, whichever of them is the odd one
``network/a``         likewise
====================  ======================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.models.detector_names import BETWEEN, ODD


def needs(name: str, present: frozenset[str]) -> frozenset[str]:
    """Streams without which a sub-detector cannot speak.

    Args:
        name: As in `pipeline.models.scene_model.SceneModel.names`.
        present: Streams that could be seen.
    """
    detector = name.partition("/")[0]
    _, _, own = detector.partition(":")
    if own:
        return frozenset({own})
    named = named_streams(name)
    return named if detector in (BETWEEN, ODD) and len(named) > 1 else present


def spoken_relation(part: str, pair: Sequence[str]) -> str:
    """The relation to put in words: ``a|b`` for ``between/a`` when b is the one that disagrees.

    Args:
        part: Sub-detector of the evidence between streams.
        pair: Streams that do not belong together, see `Explanation`.
    """
    relation = part.partition("/")[2]
    others = [name for name in pair if name != relation]
    if relation in pair and others:
        return f"{relation}|{'+'.join(others)}"
    return relation


def named_streams(name: str) -> frozenset[str]:
    """Streams in the name of evidence between streams: of ``between/a|b+c`` a, b and c."""
    of, _, given = name.partition("/")[2].partition("|")
    return frozenset({of, *given.split("+")} - {""})
