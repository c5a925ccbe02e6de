"""Windows of a recording whose events are labelled: which kind each window shows.

A window shows the label that covers most of it, if that is half of the window or half of the
label; a window that a label only touches teaches nothing and is left out. A label whose end is
its start is a moment: every window that it lies in shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import ModelError
from pipeline.training.labels import NORMAL, Label
from pipeline.training.prepared import SECOND_NS, PreparedScene, Rows

UNKNOWN = -1
_OTHER = "event"  # a label without a kind
_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class LabelledScene:
    """Prepared windows with what they show.

    Attributes:
        scene: The windows.
        kinds: What there is to tell apart; the first is normal.
        kind: Place in `kinds` of each window, -1 where it is not clear, ``(N,)``.
    """

    scene: PreparedScene
    kinds: tuple[str, ...]
    kind: Rows

    @property
    def normal_rows(self) -> Rows:
        """Positions of the windows that no label touches."""
        return np.flatnonzero(self.kind == 0)


def kinds_of(labels: Sequence[Label]) -> tuple[str, ...]:
    """Normal, and every kind of event that is labelled."""
    return (NORMAL, *sorted({label.kind or _OTHER for label in labels}))


def label_scene(
    scene: PreparedScene, labels: Sequence[Label], origin_ns: int, kinds: tuple[str, ...]
) -> LabelledScene:
    """Say what each window shows.

    Args:
        scene: The windows.
        labels: What was really there.
        origin_ns: Site time from which their seconds count.
        kinds: See `kinds_of`.

    Raises:
        ModelError: No window shows any labelled event.
    """
    start, end = scene.start_ns, scene.start_ns + scene.length_ns
    kind = np.zeros(len(scene), np.int64)
    most = np.zeros(len(scene), np.int64)
    for label in labels:
        first = origin_ns + round(label.start_s * SECOND_NS)
        last = max(origin_ns + round(label.end_s * SECOND_NS), first + 1)
        covered = (np.minimum(end, last) - np.maximum(start, first)).clip(min=0)
        clear = covered >= _SHARE * min(scene.length_ns, last - first)
        shown = np.where(clear, kinds.index(label.kind or _OTHER), UNKNOWN)
        kind = np.where(covered > most, shown, kind)
        most = np.maximum(most, covered)
    if not (kind > 0).any():
        raise ModelError(
            "no window shows a labelled event",
            fix="seconds of labels count from the recording's start: do they fit this recording?",
        )
    return LabelledScene(scene, kinds, kind)
