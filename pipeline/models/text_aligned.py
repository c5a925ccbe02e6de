"""A pretrained network that sees pictures, or hears sound, and reads text in one space.

CLIP, SigLIP and alike for pictures, CLAP for sound, by the `transformers` library, from a local
folder or by name. A window's picture is the one nearest to its middle, seen at the size that
the network wants; its sound is all of the window. Both halves end in a projection to the common
space (Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
Supervision", figure 3), where the cosine says how well text and window go together.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchaudio.functional import resample

from pipeline.core.errors import ModelError
from pipeline.core.sample import Encoding, Modality
from pipeline.core.window import AudioSlice, Slice, VideoSlice
from pipeline.models.encoders.hf_backbone import load_whole
from pipeline.models.encoders.hf_modalities import companion, picture_scale, picture_size
from pipeline.models.picture import CELL_PX

Vector = npt.NDArray[np.float32]

_HALVES = {"get_image_features": Modality.VIDEO, "get_audio_features": Modality.AUDIO}
_MIN_COVERAGE = 0.5


class TextAligned:
    """One network of two halves, ready to use; nothing of it is trained.

    Args:
        folder: Folder of the model.

    Attributes:
        modality: What it sees beside text.
        picture_cells: Size of the pictures it wants, see `DetectorSettings.picture_cells`.
        digest: Hash of its weights and its description.
        width: Numbers in a vector.

    Raises:
        ModelError: It cannot be loaded, or is not aligned with text.
    """

    def __init__(self, folder: Path) -> None:
        self._source = str(folder)
        network: Any = load_whole(self._source, local=True)
        self._network = network.eval()
        self.modality = self._modality()
        self.picture_cells = _cells(self._network) if self.modality is Modality.VIDEO else 4
        self._tokenizer: Any = companion("AutoTokenizer", self._source, local=True)
        self._extractor: Any = None
        if self.modality is Modality.AUDIO:
            self._extractor = companion("AutoFeatureExtractor", self._source, local=True)
        else:
            mean, spread = picture_scale(self._source, local=True)
            self._scale = torch.tensor(mean)[:, None, None], torch.tensor(spread)[:, None, None]
            self._size = picture_size(self._network.config.vision_config)
        self.digest = _digest(folder)
        self.width = len(self.of_text("nothing"))

    def _modality(self) -> Modality:
        for name, modality in _HALVES.items():
            if hasattr(self._network, name) and hasattr(self._network, "get_text_features"):
                return modality
        raise ModelError(
            f"a model of type {self._network.config.model_type!r} is not aligned with text",
            where=self._source,
            fix="name a folder with a CLIP or SigLIP model (pictures) or a CLAP model (sound)",
        )

    @torch.inference_mode()
    def of_text(self, text: str) -> Vector:
        """What some words mean, ``(E,)``."""
        longest = getattr(self._network.config.text_config, "max_position_embeddings", None)
        padding = "max_length" if "siglip" in self._network.config.model_type else False
        inputs = self._tokenizer(
            text, truncation=True, max_length=longest, padding=padding, return_tensors="pt"
        )
        inputs.pop("token_type_ids", None)
        return _vector(self._network.get_text_features(**inputs))

    @torch.inference_mode()
    def of_slice(self, part: Slice) -> Vector | None:
        """What a window shows or sounds like, ``(E,)``; None when too little was seen."""
        if part.coverage < _MIN_COVERAGE:
            return None
        if isinstance(part, AudioSlice) and self.modality is Modality.AUDIO:
            return _vector(self._network.get_audio_features(**self._sound(part)))
        if isinstance(part, VideoSlice) and self.modality is Modality.VIDEO:
            picture = _middle(part)
            if picture is not None:
                return _vector(self._network.get_image_features(pixel_values=self._seen(picture)))
        return None

    def _seen(self, picture: npt.NDArray[np.uint8]) -> Tensor:
        """BGR bytes ``(H, W, 3)`` to ``(1, 3, h, w)`` as the network was trained."""
        height, width = self._size
        inter = cv2.INTER_AREA if picture.shape[0] >= height else cv2.INTER_CUBIC
        fitted = cv2.resize(picture, (width, height), interpolation=inter)
        scaled = torch.from_numpy(fitted[..., ::-1].copy()).permute(2, 0, 1).float() / 255.0
        mean, spread = self._scale
        return ((scaled - mean) / spread)[None]

    def _sound(self, part: AudioSlice) -> dict[str, Tensor]:
        rate = int(self._extractor.sampling_rate)
        mono = (np.nan_to_num(part.samples.mean(axis=1)) * part.present).astype(np.float32)
        heard = resample(torch.from_numpy(mono), round(part.info.rate_hz or rate), rate).numpy()
        found = self._extractor(heard, sampling_rate=rate, return_tensors="pt")
        return dict(found)


def _cells(network: Any) -> int:  # noqa: ANN401 - has no types
    """Cells of pictures that are about as large as a network wants them."""
    height, width = picture_size(network.config.vision_config)
    return min(1024, max(4, height * width // CELL_PX**2))


def _middle(part: VideoSlice) -> npt.NDArray[np.uint8] | None:
    """The frame nearest to the middle of the window."""
    there = np.flatnonzero(part.present)
    nearest = there[np.abs(there - (len(part.frames) - 1) / 2).argmin()] if len(there) else None
    frame = None if nearest is None else part.frames[int(nearest)]
    if frame is None or frame.encoding is not Encoding.RAW:
        return None
    return cast("npt.NDArray[np.uint8]", frame.data)


def _vector(output: object) -> Vector:
    """The projection, which newer versions of the library wrap."""
    values: Tensor = output if isinstance(output, Tensor) else cast("Any", output).pooler_output
    return np.asarray(values[0].float().numpy(), np.float32)


def _digest(folder: Path) -> str:
    """Hash of a folder's weights and descriptions."""
    content = hashlib.sha256()
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")]):
        content.update(file.name.encode())
        with file.open("rb") as opened:
            content.update(hashlib.file_digest(opened, "sha256").digest())
    return content.hexdigest()
