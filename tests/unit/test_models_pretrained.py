"""Encoders by networks of the transformers library, on tiny ones made here."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality
from pipeline.models.encoders.base import ENCODERS, Encoder
from tests.model_samples import (
    INFOS,
    WIDTH,
    audio,
    one_thread,  # noqa: F401 - a fixture
    pictures,
    sound,
    text,
    tiny_pretrained,
    train_tokens,
    video,
)
from tests.requirements import require_module

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("mode", ["frozen", "adapter", "full"])
def test_a_pretrained_network_learns_on_which_side_it_is_bright(mode, tmp_path):
    encoder = pretrained("vit", Modality.VIDEO, tmp_path, mode=mode, area_rows=1, area_columns=2)
    head = nn.Linear(24, 1)
    random = np.random.default_rng(0)
    inputs, wanted = [], torch.zeros(48, 2)
    for i in range(48):
        frames = pictures(random, count=4)
        side = slice(0, WIDTH // 2) if i % 2 else slice(WIDTH // 2, None)
        for frame in frames:
            frame[:, side] = np.minimum(frame[:, side], 195) + 60
        wanted[i, 0 if i % 2 else 1] = 1
        inputs.append(encoder.prepare(video(list(frames))))
    batch = torch.from_numpy(np.stack(inputs))
    before = {name: p.detach().clone() for name, p in encoder.backbone.named_parameters()}
    train_tokens(encoder, head, batch[:32], wanted[:32])
    said = head(encoder.eval()(batch[32:]).values)[..., 0] > 0
    assert (said == (wanted[32:] > 0.5)).float().mean() > 0.9
    changed = {n for n, p in encoder.backbone.named_parameters() if not torch.equal(p, before[n])}
    assert bool(changed) == (mode != "frozen")
    assert mode != "adapter" or all(name.startswith("adapters.") for name in changed)


def pretrained(family: str, modality: Modality, folder: Path, **options: object) -> Encoder:
    require_module("transformers")
    path = folder / family
    if not path.exists():
        tiny_pretrained(family, folder)
    torch.manual_seed(0)
    settings = ENCODERS.settings("hf")(model=str(path), width=24, **options)
    return settings.build(INFOS[modality])


@pytest.mark.parametrize(
    ("family", "modality"),
    [
        ("clip", Modality.VIDEO),
        ("dino", Modality.VIDEO),
        ("ast", Modality.AUDIO),
        ("wav2vec", Modality.AUDIO),
        ("clap", Modality.AUDIO),
        ("clip", Modality.TEXT),
        ("bert", Modality.TEXT),
    ],
)
@pytest.mark.parametrize("mode", ["adapter", "full"])
def test_pretrained_families_encode_and_keep_their_weights(family, modality, mode, tmp_path):
    encoder = pretrained(family, modality, tmp_path, mode=mode)
    part = {
        Modality.VIDEO: video(list(pictures(np.random.default_rng(0), count=4))),
        Modality.AUDIO: audio(sound(np.random.default_rng(0))),
        Modality.TEXT: text(("door closed", "heartbeat ok")),
    }[modality]
    prepared = encoder.prepare(part)
    tokens = encoder.eval()(torch.from_numpy(prepared)[None])
    assert torch.isfinite(tokens.values).all()
    assert tokens.present.any()
    again = pretrained(family, modality, tmp_path, mode=mode)
    for (name, one), two in zip(
        encoder.backbone.state_dict().items(), again.backbone.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), name


def test_a_pretrained_model_that_is_not_there_is_refused_without_asking_the_network(tmp_path):
    require_module("transformers")
    settings = ENCODERS.settings("hf")
    for name in (str(tmp_path / "nowhere"), "nobody/has-this-model"):
        with pytest.raises(ModelError, match=r"cannot be loaded|no such folder"):
            settings(model=name).build(INFOS[Modality.VIDEO])


def test_a_pretrained_model_without_some_of_its_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    require_module("transformers")
    file = tiny_pretrained("vit", tmp_path) / "model.safetensors"
    weights = load_file(file)
    save_file(dict(list(weights.items())[3:]), file, {"format": "pt"})
    with pytest.raises(ModelError, match="lacks 3 of its weights"):
        ENCODERS.settings("hf")(model=str(file.parent)).build(INFOS[Modality.VIDEO])


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n"])
def test_weights_that_did_not_come_whole_are_refused(content, tmp_path):
    require_module("transformers")
    folder = tiny_pretrained("vit", tmp_path)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot be loaded: .*all of them whole"):
        ENCODERS.settings("hf")(model=str(folder)).build(INFOS[Modality.VIDEO])


def test_weights_that_do_not_belong_to_the_description_are_refused(tmp_path):
    require_module("transformers")
    file = tiny_pretrained("bert", tmp_path) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "hidden_size": 48}))
    with pytest.raises(ModelError, match=r"are of another size than config\.json says"):
        ENCODERS.settings("hf")(model=str(file.parent)).build(INFOS[Modality.TEXT])


def test_a_pretrained_model_of_another_modality_or_for_shorter_text_is_refused(tmp_path):
    with pytest.raises(ModelError, match="'bert' does not take pictures"):
        pretrained("bert", Modality.VIDEO, tmp_path)
    with pytest.raises(ModelError, match=r"does not take text of 100 pieces \(max_pieces\)"):
        pretrained("clip", Modality.TEXT, tmp_path, max_pieces=100)


def test_a_pretrained_sound_model_refuses_windows_of_another_length(tmp_path):
    encoder = pretrained("ast", Modality.AUDIO, tmp_path, window_s=4.0)
    with pytest.raises(ModelError, match="window_s"):
        encoder.prepare(audio(sound(np.random.default_rng(0))))
