"""Encoders by a pretrained network of the `transformers` library.

Pictures by CLIP, ViT, DINOv2, SigLIP; sound by CLAP, AST, wav2vec 2.0; text by BERT and alike.
The network comes from a local folder, or by name from the library's cache; it is fetched only
when ``local_files_only`` is off. Only safetensors weights are read, never a pickle, and no code
that comes with a model is run.

Such a network is much slower than the small encoders: one ViT-B is about 17 GFLOP a picture.
"""

from __future__ import annotations

from typing import Literal

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.models.encoders.base import Encoder
from pipeline.models.encoders.hf_backbone import load_backbone
from pipeline.models.encoders.hf_modalities import HfAudio, HfText, HfVideo
from pipeline.models.encoders.hf_options import HfOptions


class HfSettings(HfOptions):
    """Options of the pretrained encoders."""

    type: Literal["hf"] = "hf"
    """Kind of encoder."""

    def build(self, info: StreamInfo) -> Encoder:
        """Load the model and make the encoder of one stream.

        Raises:
            ModelError: The model is not there, damaged, or not for this modality.
        """
        backbone = load_backbone(self.model, info.modality, self.mode, self.local_files_only)
        given = backbone, info, self
        match info.modality:
            case Modality.VIDEO:
                return HfVideo(*given)
            case Modality.AUDIO:
                return HfAudio(*given)
            case Modality.TEXT:
                return HfText(*given)
        raise ModelError("the encoder 'hf' cannot see sensors", where=info.name)


PLUGIN = HfSettings
