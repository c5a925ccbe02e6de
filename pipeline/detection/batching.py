"""How windows are shared out to calls of the models.

On the CPU the windows of one scene go through its model together, as when a node catches up or a
recording is replayed; what is told of a window is the same to the bit as if it came alone (see
`pipeline.models.products`). On CUDA those of all scenes that are laid out alike go through
together (`pipeline.models.scene_stack`), which changes the last bits only. A scene with a
trained network is scored window by window, and on CUDA by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from pipeline.core.window import Window
from pipeline.models.batch_features import BatchFeatures
from pipeline.models.past import ScenePast
from pipeline.models.products import MOST_IN_A_ROW
from pipeline.models.scene_model import Array, Features, SceneModel
from pipeline.models.scene_stack import Layout, Ready, SceneStack, scene_layout

MOST_AT_ONCE = 4096
"""Windows of one call to a stack: bounds the memory it takes, and fills any GPU."""

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Asked:
    """A window to be scored.

    Attributes:
        scene: Its scene.
        features: What its streams show.
        index: Its index on the scene's grid.
        past: The windows of the scene before it; takes it in.
    """

    scene: str
    features: Features
    index: int
    past: ScenePast


class Shown(NamedTuple):
    """What a window shows, as `pipeline.models.scene_model.Seen` of one.

    Attributes:
        scores: Raw sub-detector scores ``(D,)``, NaN where not seen.
        places: Surprise of each place ``(P,)`` by stream that was seen.
        embeddings: Whitened principal components ``(E,)`` of these streams.
    """

    scores: Array
    places: dict[str, Array]
    embeddings: dict[str, torch.Tensor]


class Batching:
    """The models of all scenes, where they are scored.

    Args:
        models: Model per scene, on the CPU.
        device: Where to score.
        together: Whether scenes go through together; None: on CUDA.

    Attributes:
        models: Model per scene as it is asked alone; on the CPU where a stack has it too.
    """

    def __init__(
        self,
        models: Mapping[str, SceneModel],
        device: torch.device,
        together: bool | None = None,
    ) -> None:
        self._place: dict[str, tuple[SceneStack, int]] = {}
        self._features: BatchFeatures | None = None
        if device.type != "cpu" if together is None else together:
            self._features = BatchFeatures(device)
            for names in _alike(models):
                stack = SceneStack([models[name] for name in names], device)
                self._place |= {name: (stack, slot) for slot, name in enumerate(names)}
        self._device = device
        self.models = {n: m if n in self._place else m.to(device) for n, m in models.items()}

    @property
    def together(self) -> bool:
        """Whether any windows go through together."""
        return bool(self._place)

    def device_of(self, scene: str) -> torch.device:
        """Where the model of a scene is asked alone, and what is remembered of its windows."""
        return CPU if scene in self._place else self._device

    def features(self, windows: Sequence[Window]) -> list[Features]:
        """What the streams show in each window, those of one scene in their order."""
        asked = [(self.models[window.scene], window) for window in windows]
        if self._features is not None:
            return [*self._features.of(asked)]
        return [model.features(window) for model, window in asked]

    def score(self, windows: Sequence[Asked]) -> list[Shown]:
        """Score windows, those of one scene in their order."""
        if not self.together:
            return self._by_scene(windows)
        found: dict[int, Shown] = {}
        for rows in _rounds(windows):
            stacked: dict[SceneStack, list[int]] = {}
            for row in rows:
                stack = self._stack_for(windows[row])
                if stack is None:
                    found[row] = self._of_one_scene([windows[row]])[0]
                else:
                    stacked.setdefault(stack, []).append(row)
            for stack, members in stacked.items():
                members.sort(key=lambda row: self._place[windows[row].scene][1])
                for first in range(0, len(members), MOST_AT_ONCE):
                    part = members[first : first + MOST_AT_ONCE]
                    shown = self._together(stack, [windows[row] for row in part])
                    found |= zip(part, shown, strict=True)
        return [found[row] for row in range(len(windows))]

    def _stack_for(self, window: Asked) -> SceneStack | None:
        stack, slot = self._place.get(window.scene, (None, 0))
        if stack is None or not stack.fits(slot, window.features):
            return None
        return stack

    def _by_scene(self, windows: Sequence[Asked]) -> list[Shown]:
        """Those of each scene together."""
        found: dict[int, Shown] = {}
        for rows in in_a_row(windows):
            own = [windows[row] for row in rows]
            if self.models[own[0].scene].network is None:
                found |= zip(rows, self._of_one_scene(own), strict=True)
            else:
                found |= ((row, self._of_one_scene([windows[row]])[0]) for row in rows)
        return [found[row] for row in range(len(windows))]

    def _of_one_scene(self, windows: Sequence[Asked]) -> list[Shown]:
        """Windows of one scene, in their order."""
        scene, past = windows[0].scene, windows[0].past
        features, indices = [one.features for one in windows], [one.index for one in windows]
        seen = self.models[scene].score(features, indices, past, self.device_of(scene))
        return [Shown(*one) for one in zip(seen.scores, seen.places, seen.embeddings, strict=True)]

    def _together(self, stack: SceneStack, windows: Sequence[Asked]) -> Iterator[Shown]:
        ready = [Ready(self._place[w.scene][1], w.features, w.index, w.past) for w in windows]
        return map(Shown, *stack.score(ready))


class _OfScene(Protocol):
    @property
    def scene(self) -> str: ...


def in_a_row(windows: Iterable[_OfScene]) -> Iterator[list[int]]:
    """Rows of windows of one scene, in their order, as many as go through its model at once."""
    rows: dict[str, list[int]] = {}
    for row, window in enumerate(windows):
        rows.setdefault(window.scene, []).append(row)
    for own in rows.values():
        yield from (
            own[first : first + MOST_IN_A_ROW] for first in range(0, len(own), MOST_IN_A_ROW)
        )


def _alike(models: Mapping[str, SceneModel]) -> list[list[str]]:
    """Scenes of one layout each, without those that nothing can stand beside."""
    found: dict[Layout, list[str]] = {}
    for name, model in models.items():
        layout = scene_layout(model)
        if layout is not None:
            found.setdefault(layout, []).append(name)
    return list(found.values())


def _rounds(windows: Sequence[Asked]) -> list[list[int]]:
    """Rows with the first window of each scene, then those with the second, and so on."""
    found: list[list[int]] = []
    met: dict[str, int] = {}
    for row, window in enumerate(windows):
        number = met.get(window.scene, 0)
        met[window.scene] = number + 1
        if number == len(found):
            found.append([])
        found[number].append(row)
    return found
