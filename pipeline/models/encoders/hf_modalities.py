"""How pictures, sound and text of a window reach a pretrained network, and come back as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import resample

from pipeline.core.errors import BadReading, ModelError
from pipeline.core.sample import Encoding, Sample, StreamInfo
from pipeline.core.window import AudioSlice, Slice, TextSlice, VideoSlice
from pipeline.models.encoders.base import Encoder, Tokens, grid_boxes, grid_places
from pipeline.models.encoders.hf_backbone import NOT_LOADABLE, Backbone, not_loaded
from pipeline.models.encoders.hf_options import HfOptions
from pipeline.models.picture import CELL_PX, grid_shape, prepare_picture

_PICTURE_PX = 224  # of models that do not say
_LENGTH_TOLERANCE = 0.02
_LARGEST = 1e4  # extractors give about 1, or decibels; squares of what is huge overflow


class HfVideo(Encoder):
    """``(B, frames, H, W, 3)`` of RGB bytes to one token per area of the picture."""

    dtype = np.uint8
    mean: Tensor
    spread: Tensor

    def __init__(self, backbone: Backbone, info: StreamInfo, settings: HfOptions) -> None:
        super().__init__()
        if len(info.shape) != 3:
            raise ModelError(
                f"a video stream needs its picture size, got shape {info.shape}", where=info.name
            )
        self.backbone, self.width, self.cells = backbone, settings.width, settings.picture_cells
        self.min_coverage = settings.min_coverage
        self.areas = settings.area_rows, settings.area_columns
        rows, columns = grid_shape(info.shape[0], info.shape[1], self.cells)
        self.shape = (settings.frames, rows * CELL_PX, columns * CELL_PX, 3)
        self.places, self.boxes = grid_places(*self.areas), grid_boxes(*self.areas)
        mean, spread = picture_scale(backbone.source, backbone.local)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("spread", torch.tensor(spread)[:, None, None])
        self.size = picture_size(backbone.config)
        hidden = backbone.try_out(
            self._inputs(torch.zeros(1, *self.shape[1:])), settings.adapter_width, "pictures"
        )
        self.norm = nn.LayerNorm(hidden)
        self.project = nn.Linear(hidden * settings.frames, self.width)
        self.area = nn.Parameter(0.1 * torch.randn(len(self.places), self.width))

    def _inputs(self, pictures: Tensor) -> dict[str, Tensor]:
        """``(N, H, W, 3)`` to what the network takes, ``(N, 3, h, w)``."""
        scaled = (pictures.permute(0, 3, 1, 2).float() / 255.0).contiguous()
        large = F.interpolate(scaled, self.size, mode="bilinear", antialias=True)
        return {"pixel_values": (large - self.mean) / self.spread}

    def forward(self, inputs: Tensor) -> Tokens:
        """Patches gathered to areas; the frames of an area side by side."""
        count, frames = inputs.shape[:2]
        patches = self.norm(self.backbone(self._inputs(inputs.flatten(0, 1))))
        rows, columns = _patch_grid(self.backbone.config, self.size, patches.shape[1])
        # Class and register tokens come first; the picture is what comes last.
        maps = patches[:, -rows * columns :].transpose(1, 2)
        maps = maps.reshape(count * frames, -1, rows, columns)
        areas = F.adaptive_avg_pool2d(maps, self.areas).flatten(2)  # (B * frames, H, N)
        areas = areas.reshape(count, frames, areas.shape[1], -1).permute(0, 3, 1, 2)
        tokens = self.project(areas.flatten(2)) + self.area
        return Tokens(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device))

    def prepare(self, part: Slice) -> npt.NDArray[np.uint8] | None:
        """Frames at even distances, ``(frames, H, W, 3)``; None when too few are there."""
        if not isinstance(part, VideoSlice) or part.coverage < self.min_coverage:
            return None
        there = np.flatnonzero(part.present)
        if not len(there):
            return None
        wanted = (np.arange(self.shape[0]) + 0.5) * len(part.frames) / self.shape[0] - 0.5
        nearest = there[np.abs(there[None] - wanted[:, None]).argmin(axis=1)]
        found = [self._picture(part.frames[i]) for i in nearest]
        if any(picture is None for picture in found):
            return None
        return np.stack([picture for picture in found if picture is not None])

    def _picture(self, frame: Sample | None) -> npt.NDArray[np.uint8] | None:
        if frame is None:
            return None
        try:
            small = prepare_picture(frame, self.cells)
        except BadReading:
            return None  # counts as a frame that is not there; the engine counted it already
        picture = cast("npt.NDArray[np.uint8]", small.data)
        if small.encoding is not Encoding.RAW or picture.shape != self.shape[1:]:
            return None
        return picture[..., ::-1]


class HfAudio(Encoder):
    """``(B, ...)`` as the model's own feature extractor gives it, to a few tokens."""

    def __init__(self, backbone: Backbone, info: StreamInfo, settings: HfOptions) -> None:
        super().__init__()
        if not info.rate_hz:
            raise ModelError("an audio stream needs its sample rate", where=info.name)
        self.backbone, self.width = backbone, settings.width
        self.min_coverage = settings.min_coverage
        self.name, self.rate_hz = info.name, info.rate_hz
        self.length = settings.window_s * info.rate_hz
        self.extractor: Any = companion("AutoFeatureExtractor", backbone.source, backbone.local)
        self.places = tuple(f"part {i + 1} of {settings.parts}" for i in range(settings.parts))
        self.key, example = self._features(np.zeros(round(self.length), np.float32))
        self.shape = example.shape
        inputs = self._inputs(torch.from_numpy(example)[None])
        told = f"sound of {settings.window_s:g} s (window_s)"
        hidden = backbone.try_out(inputs, settings.adapter_width, told)
        self.norm = nn.LayerNorm(hidden)
        self.project = nn.Linear(hidden, self.width)
        self.part = nn.Parameter(0.1 * torch.randn(settings.parts, self.width))

    def _features(self, wave: npt.NDArray[np.float32]) -> tuple[str, npt.NDArray[np.float32]]:
        rate = int(self.extractor.sampling_rate)
        sound = resample(torch.from_numpy(wave), round(self.rate_hz), rate).numpy()
        found = self.extractor(sound, sampling_rate=rate, return_tensors="np")
        key = next(k for k in ("input_values", "input_features") if k in found)
        return key, np.asarray(found[key][0], np.float32)

    def _inputs(self, values: Tensor) -> dict[str, Tensor]:
        inputs = {self.key: values}
        if getattr(self.backbone.config, "enable_fusion", False):  # of CLAP: no window is longer
            inputs["is_longer"] = torch.zeros(
                len(values), 1, dtype=torch.bool, device=values.device
            )
        return inputs

    def forward(self, inputs: Tensor) -> Tokens:
        """The hidden states gathered to a few tokens; present when the window was heard."""
        heard = torch.isfinite(inputs).flatten(1).any(dim=1)  # (B,)
        bounded = torch.nan_to_num(inputs).clamp(-_LARGEST, _LARGEST)
        hidden = self.norm(self.backbone(self._inputs(bounded)))
        parts = F.adaptive_avg_pool1d(hidden.transpose(1, 2), len(self.places)).transpose(1, 2)
        present = heard[:, None].expand(-1, len(self.places))
        return Tokens((self.project(parts) + self.part) * present[..., None], present)

    def prepare(self, part: Slice) -> npt.NDArray[np.float32] | None:
        """The extractor's features; what was not heard is silent.

        Raises:
            ModelError: The window is not as long as the encoder was told.
        """
        if not isinstance(part, AudioSlice) or part.coverage < self.min_coverage:
            return None
        if abs(len(part.samples) - self.length) > _LENGTH_TOLERANCE * self.length:
            raise ModelError(
                f"a window of {len(part.samples) / self.rate_hz:g} s, expected "
                f"{self.length / self.rate_hz:g} s",
                where=self.name,
                fix=f"set window_s of the encoder 'hf' to {len(part.samples) / self.rate_hz:g}",
            )
        wave = np.zeros(round(self.length), np.float32)
        mono = np.nan_to_num(part.samples.mean(axis=1)) * part.present
        wave[: len(mono)] = mono[: len(wave)]
        return self._features(wave)[1]


class HfText(Encoder):
    """``(B, pieces)`` of word-piece numbers to one token per piece."""

    def __init__(self, backbone: Backbone, _info: StreamInfo, settings: HfOptions) -> None:
        super().__init__()
        self.backbone, self.width = backbone, settings.width
        self.min_coverage = settings.min_coverage
        self.tokenizer: Any = companion("AutoTokenizer", backbone.source, backbone.local)
        self.tokenizer.truncation_side = "left"  # the last lines matter most
        self.shape = (settings.max_pieces,)
        self.places = tuple(f"piece {i + 1}" for i in range(settings.max_pieces))
        hidden = backbone.try_out(
            self._inputs(torch.zeros(1, *self.shape)),
            settings.adapter_width,
            f"text of {settings.max_pieces} pieces (max_pieces)",
        )
        self.norm = nn.LayerNorm(hidden)
        self.project = nn.Linear(hidden, self.width)

    def _inputs(self, inputs: Tensor) -> dict[str, Tensor]:
        known = torch.isfinite(inputs)
        # A row without any piece would be all masked, which is NaN in some models.
        mask = known | ~known.any(dim=1, keepdim=True)
        return {"input_ids": torch.nan_to_num(inputs).long(), "attention_mask": mask.long()}

    def forward(self, inputs: Tensor) -> Tokens:
        """One token per piece that is there."""
        present = torch.isfinite(inputs)
        tokens = self.project(self.norm(self.backbone(self._inputs(inputs))))
        return Tokens(tokens * present[..., None], present)

    def prepare(self, part: Slice) -> npt.NDArray[np.float32] | None:
        """Numbers of the pieces, NaN after the last; None when the log was not alive."""
        if not isinstance(part, TextSlice) or part.coverage < self.min_coverage:
            return None
        text = "\n".join(part.lines)
        found = self.tokenizer(text, truncation=True, max_length=self.shape[0])["input_ids"]
        pieces = np.full(self.shape, np.nan, np.float32)
        pieces[: len(found)] = found
        return pieces


def companion(kind: str, source: str, local: bool) -> Any:  # noqa: ANN401 - has no types
    """Tokenizer or feature extractor that belongs to the model.

    Raises:
        ModelError: It is not beside the model, or not readable.
    """
    try:
        loader = getattr(transformers, kind)
        return loader.from_pretrained(source, local_files_only=local)
    except NOT_LOADABLE as error:
        raise not_loaded(error, source, local) from error


def picture_scale(source: str, local: bool) -> tuple[list[float], list[float]]:
    """Mean and spread per colour that the model was trained with."""
    try:
        found, _ = transformers.ImageProcessingMixin.get_image_processor_dict(
            source, local_files_only=local
        )
    except OSError:
        found = {}  # a folder without one is whole in every other respect
    half = [0.5, 0.5, 0.5]
    return list(found.get("image_mean", half)), list(found.get("image_std", half))


def picture_size(config: object) -> tuple[int, int]:
    """Height and width of the pictures that a model was trained with."""
    return _size(getattr(config, "image_size", _PICTURE_PX))


def _size(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _patch_grid(config: object, size: tuple[int, int], tokens: int) -> tuple[int, int]:
    patch: int | Sequence[int] | None = getattr(config, "patch_size", None)
    if patch is None:  # a convolutional network: as many as its maps have
        side = round(tokens**0.5)
        return side, tokens // side
    rows, columns = _size(patch)
    return size[0] // rows, size[1] // columns
