"""Slices, windows and tiny pretrained models for the tests of the model library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import AudioSlice, SensorSlice, Slice, TextSlice, VideoSlice, Window
from pipeline.models.encoders.base import Encoder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads, and far slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


LENGTH_NS = 2_000_000_000
HEIGHT, WIDTH, FPS = 60, 80, 10
RATE = 8000
CHANNELS = ("speed", "current", "pressure", "door")
READINGS = 20

INFOS = {
    Modality.VIDEO: StreamInfo("cam", Modality.VIDEO, float(FPS), (HEIGHT, WIDTH, 3), "uint8"),
    Modality.AUDIO: StreamInfo("mic", Modality.AUDIO, float(RATE), (1,), "float32"),
    Modality.SENSOR: StreamInfo(
        "plc", Modality.SENSOR, 10.0, (len(CHANNELS),), "float64", channels=CHANNELS
    ),
    Modality.TEXT: StreamInfo("log", Modality.TEXT),
}
LINES = (
    "door opened by card 4711",
    "door closed",
    "job 12 started",
    "job 12 finished after 3.2 s",
    "heartbeat ok",
)


def pictures(
    random: np.random.Generator, thing: tuple[int, int] | None = None, count: int = 20
) -> list[np.ndarray]:
    """Frames of a still scene with noise; a dot of 4 pixels trembles at `thing`, if given."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    scene = 110 + 40 * np.sin(columns / 13) + 25 * np.cos(rows / 9)
    frames = []
    for i in range(count):
        frame = scene + random.normal(0, 2, scene.shape)
        if thing is not None:
            top, left = thing[0], thing[1] + i % 3
            frame[top : top + 4, left : left + 4] += 60
        frames.append(np.stack([frame * 0.8, frame, frame * 0.9], -1).clip(0, 255).astype(np.uint8))
    return frames


def video(frames: list[np.ndarray | None]) -> VideoSlice:
    present = np.array([f is not None for f in frames])
    samples = tuple(
        None if f is None else Sample("cam", i, 0, f, Encoding.RAW) for i, f in enumerate(frames)
    )
    grid = np.arange(len(frames)) * (LENGTH_NS // len(frames))
    return VideoSlice(INFOS[Modality.VIDEO], grid, samples, present, float(present.mean()))


def sound(
    random: np.random.Generator, tone_hz: float | None = None, start_s: float = 0.8
) -> np.ndarray:
    """Two seconds of noise; a tone of 0.15 s in it, if given."""
    samples = random.normal(0, 0.01, 2 * RATE)
    if tone_hz is not None:
        time = np.arange(round(0.15 * RATE)) / RATE
        first = round(start_s * RATE)
        samples[first : first + len(time)] += 0.03 * np.sin(2 * np.pi * tone_hz * time)
    return samples.astype(np.float32)


def audio(samples: np.ndarray, present: np.ndarray | None = None) -> AudioSlice:
    heard = np.ones(len(samples), np.bool_) if present is None else present
    held = np.where(heard, samples, 0).astype(np.float32)[:, None]
    return AudioSlice(INFOS[Modality.AUDIO], held, heard, float(heard.mean()))


def readings(random: np.random.Generator, odd: int | None = None) -> np.ndarray:
    """Noise about levels of very different size; channel `odd` makes a step."""
    levels = np.array([1500.0, 2.0, 101_325.0, 0.0])
    noise = np.array([20.0, 0.1, 3.0, 0.05])
    values = levels + noise * random.normal(size=(READINGS, len(CHANNELS)))
    if odd is not None:
        values[READINGS // 2 :, odd] += 4 * noise[odd]
    return values


def sensor(values: np.ndarray) -> SensorSlice:
    present = np.isfinite(values)
    grid = np.arange(len(values)) * (LENGTH_NS // len(values))
    return SensorSlice(INFOS[Modality.SENSOR], grid, values, present, float(present.mean()))


def text(lines: tuple[str, ...], coverage: float = 1.0) -> TextSlice:
    times = np.arange(len(lines), dtype=np.int64) * 100_000_000
    return TextSlice(INFOS[Modality.TEXT], times, lines, coverage)


def some_lines(random: np.random.Generator) -> tuple[str, ...]:
    return tuple(LINES[i] for i in random.integers(0, len(LINES), random.integers(0, 5)))


def usual(modality: Modality, seed: int) -> Slice:
    """An ordinary slice."""
    random = np.random.default_rng(seed)
    match modality:
        case Modality.VIDEO:
            return video(list(pictures(random)))
        case Modality.AUDIO:
            return audio(sound(random))
        case Modality.SENSOR:
            return sensor(readings(random))
        case Modality.TEXT:
            return text(("heartbeat ok", *some_lines(random)))


def window(slices: dict[Modality, Slice], index: int = 0) -> Window:
    held = {INFOS[modality].name: part for modality, part in slices.items()}
    return Window("hall", index, index * LENGTH_NS, (index + 1) * LENGTH_NS, held)


def train_tokens(encoder: Encoder, head: nn.Module, inputs: Tensor, wanted: Tensor) -> None:
    """Learn ``(n, N)`` labels of tokens by a linear layer on each."""
    steps = torch.optim.Adam([*encoder.parameters(), *head.parameters()], 4e-3)
    weight = torch.tensor(float(wanted.shape[1]))
    for _ in range(120):
        steps.zero_grad()
        chosen = torch.randperm(len(inputs))[:60]
        score = head(encoder(inputs[chosen]).values)[..., 0]
        loss = nn.functional.binary_cross_entropy_with_logits(
            score, wanted[chosen], pos_weight=weight
        )
        loss.backward()
        steps.step()
        if loss < 0.03:
            break


_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def tiny_pretrained(kind: str, folder: Path) -> Path:
    """Make and save a tiny model of a family, with random weights; `folder` / `kind`."""
    torch.manual_seed(1)
    path = folder / kind
    for part in _MAKERS[kind]():
        part.save_pretrained(path)
    return path


def _vit() -> list[Any]:
    from transformers import ViTConfig, ViTModel

    return [ViTModel(ViTConfig(**_SMALL, image_size=64, patch_size=16))]


def _dino() -> list[Any]:
    from transformers import Dinov2Config, Dinov2Model

    return [Dinov2Model(Dinov2Config(**_SMALL, image_size=56, patch_size=14))]


def _clip() -> list[Any]:
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    pieces = [*letters, *(f"{x}</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[])
    text_half = {**_SMALL, "vocab_size": len(pieces), "max_position_embeddings": 64}
    vision_half = {**_SMALL, "image_size": 64, "patch_size": 16}
    return [CLIPModel(CLIPConfig(text_config=text_half, vision_config=vision_half)), tokenizer]


def _ast() -> list[Any]:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    size = {"max_length": 100, "num_mel_bins": 32}
    return [ASTModel(ASTConfig(**_SMALL, **size)), ASTFeatureExtractor(**size)]


def _wav2vec() -> list[Any]:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(
        **_SMALL,
        conv_dim=(16, 16),
        conv_stride=(16, 16),
        conv_kernel=(16, 16),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    return [Wav2Vec2Model(config), Wav2Vec2FeatureExtractor()]


def _clap() -> list[Any]:
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    sound_half = {
        "patch_embeds_hidden_size": 16,
        "hidden_size": 64,
        "depths": [1, 1, 1],
        "num_attention_heads": [1, 2, 2],
        "spec_size": 256,
        "window_size": 4,
    }
    config = ClapConfig(text_config=dict(_SMALL), audio_config=sound_half, projection_dim=16)
    return [ClapModel(config), ClapFeatureExtractor(truncation="rand_trunc")]


def _bert() -> list[Any]:
    from transformers import BertConfig, BertModel, BertTokenizer

    words = sorted({word for line in LINES for word in line.split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "error", "failed", *words]
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(vocabulary)})
    return [BertModel(BertConfig(**_SMALL, vocab_size=len(vocabulary))), tokenizer]


_MAKERS = {
    "vit": _vit,
    "dino": _dino,
    "clip": _clip,
    "ast": _ast,
    "wav2vec": _wav2vec,
    "clap": _clap,
    "bert": _bert,
}
