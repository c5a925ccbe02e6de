"""How windows are shared out to calls of the models.

On the CPU a window is scored by itself, so that its score does not depend, to the last bit, on
which other windows are scored in the same call. On CUDA the windows of all scenes that are laid
out alike go through together (`pipeline.models.scene_stack`), which changes the last bits only.
A scene that no stack takes, as one with a trained network, is scored on CUDA by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from pipeline.core.window import Window
from pipeline.models.batch_features import BatchFeatures
from pipeline.models.past import ScenePast
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
        found: dict[int, Shown] = {}
        for rows in _rounds(windows):
            stacked: dict[SceneStack, list[int]] = {}
            for row in rows:
                stack = self._stack_for(windows[row])
                if stack is None:
                    found[row] = self._alone(windows[row])
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

    def _alone(self, window: Asked) -> Shown:
        model, device = self.models[window.scene], self.device_of(window.scene)
        seen = model.score([window.features], [window.index], window.past, device)
        return Shown(seen.scores[0], seen.places[0], seen.embeddings[0])

    def _together(self, stack: SceneStack, windows: Sequence[Asked]) -> Iterator[Shown]:
        ready = [Ready(self._place[w.scene][1], w.features, w.index, w.past) for w in windows]
        return map(Shown, *stack.score(ready))


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
