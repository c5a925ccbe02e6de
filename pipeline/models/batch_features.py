"""Features of the windows of many scenes at once, with the work on pixels and sound on a GPU.

What can be worked on together is: pictures of one size, sound of one rate, all of it there; and
readings of one length, on the processor, where one call for all channels of all scenes takes
little longer than one for those of a scene. Anything else is left to the stream's own extractor.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pipeline.core.window import AudioSlice, SensorSlice, Slice, Window
from pipeline.models.audio_features import AudioFeatures
from pipeline.models.batch_audio import audio_places
from pipeline.models.batch_video import video_places
from pipeline.models.features import Extractor, StreamFeatures
from pipeline.models.scene_model import SceneModel
from pipeline.models.sensor_features import SensorFeatures, extract_together
from pipeline.models.video_features import Pictures, VideoFeatures

Found = dict[str, StreamFeatures]

_MOST_AT_ONCE = 128
"""Windows of pictures on the device at once: some hundred megabytes."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One stream of one window.

    Attributes:
        found: Where its features go.
        name: The stream.
        extractor: Its features.
        slice: What it showed.
        pictures: Those that can be looked at, if it has any.
    """

    found: Found
    name: str
    extractor: Extractor
    slice: Slice
    pictures: Pictures | None = None


class BatchFeatures:
    """Makes features of windows of any scenes.

    Args:
        device: Where pixels and sound are worked on.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._staging: dict[tuple[tuple[int, ...], torch.dtype], Tensor] = {}

    def of(self, asked: Sequence[tuple[SceneModel, Window]]) -> list[Found]:
        """Features of each window, as `SceneModel.features` has them.

        Args:
            asked: Windows with the models of their scenes, those of one scene in their order.
        """
        found: list[Found] = [{} for _ in asked]
        groups: dict[Hashable, list[_Part]] = {}
        for into, (model, window) in zip(found, asked, strict=True):
            if model.network is not None:  # its encoders have features of their own
                into.update(model.features(window))
                continue
            for part in _parts(model, window, into):
                groups.setdefault(_kind(part), []).append(part)
        for parts in groups.values():
            for first in range(0, len(parts), _MOST_AT_ONCE):
                self._make(parts[first : first + _MOST_AT_ONCE])
        return [
            {s.info.name: into[s.info.name] for s in model.streams if s.info.name in into}
            for into, (model, _) in zip(found, asked, strict=True)
        ]

    def _make(self, parts: Sequence[_Part]) -> None:
        match parts[0].extractor:
            case VideoFeatures():
                self._pictures(parts)
            case AudioFeatures() as like if _heard(like, parts[0].slice):
                self._sound(parts, like)
            case SensorFeatures():
                self._readings(parts)
            case _:
                for part in parts:
                    _put(part, part.extractor.extract(part.slice))

    def _pictures(self, parts: Sequence[_Part]) -> None:
        shown = [part.pictures for part in parts if part.pictures is not None]
        first = shown[0].frames
        staged = self._staged((len(parts), len(first), *first[0].shape), torch.uint8)
        for row, pictures in zip(staged.numpy(), shown, strict=True):
            for at, frame in enumerate(pictures.frames):
                row[at] = frame
        apart = torch.from_numpy(np.stack([pictures.apart() for pictures in shown]))
        on_device = video_places(staged.to(self._device, non_blocking=True), apart)
        places = on_device.cpu().numpy()
        for part, pictures, one in zip(parts, shown, places, strict=True):
            if isinstance(part.extractor, VideoFeatures):
                _put(part, part.extractor.made(one, pictures))

    def _sound(self, parts: Sequence[_Part], like: AudioFeatures) -> None:
        heard = [part.slice for part in parts if isinstance(part.slice, AudioSlice)]
        staged = self._staged((len(heard), len(heard[0].samples)), torch.float32)
        for row, one in zip(staged.numpy(), heard, strict=True):
            np.mean(one.samples, axis=1, out=row)
        on_device = audio_places(staged.to(self._device, non_blocking=True), like)
        places, items = (one.cpu().numpy() for one in on_device)
        for part, place, item in zip(parts, places, items, strict=True):
            _put(part, StreamFeatures(place, np.ones(len(place), np.bool_), item))

    def _readings(self, parts: Sequence[_Part]) -> None:
        asked = [(p.extractor, p.slice) for p in parts if isinstance(p.extractor, SensorFeatures)]
        for part, seen in zip(parts, extract_together(asked), strict=True):
            _put(part, seen)

    def _staged(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Memory of this shape from which a copy to the device need not wait."""
        known = self._staging.get((shape[1:], dtype))
        if known is None or len(known) < shape[0]:
            known = torch.empty(shape, dtype=dtype, pin_memory=self._device.type == "cuda")
            self._staging[shape[1:], dtype] = known
        return known[: shape[0]]


def _parts(model: SceneModel, window: Window, into: Found) -> Iterator[_Part]:
    for stream in model.streams:
        name, extractor = stream.info.name, stream.extractor
        slice_ = window.slices.get(name)
        if slice_ is None:
            continue
        part = _Part(into, name, extractor, slice_)
        if isinstance(extractor, VideoFeatures):
            pictures = extractor.usable(slice_)
            if pictures is not None:
                yield replace(part, pictures=pictures)
            continue
        yield part


def _kind(part: _Part) -> Hashable:
    """Parts of one kind are worked on together; others each by itself."""
    match part.extractor:
        case VideoFeatures() if part.pictures is not None:
            return "video", len(part.pictures.frames), part.pictures.frames[0].shape
        case AudioFeatures() as like if _heard(like, part.slice):
            return "audio", like.size, like.hop, like.item_dims, _rate_and_length(part.slice)
        case SensorFeatures() if isinstance(part.slice, SensorSlice):
            return "sensor", len(part.slice.values)
    return id(part)


def _heard(like: AudioFeatures, part: Slice) -> bool:
    """Whether all of it is there, and enough of it."""
    if not isinstance(part, AudioSlice) or not part.present.all():
        return False
    return len(part.samples) >= like.size + like.hop


def _rate_and_length(part: Slice) -> Hashable:
    return (part.info.rate_hz, len(part.samples)) if isinstance(part, AudioSlice) else None


def _put(part: _Part, seen: StreamFeatures | None) -> None:
    if seen is not None:
        part.found[part.name] = seen
