"""The index of moments: what is alike, what is one moment, its file, and words."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.core.errors import ModelError, ModelFileError
from pipeline.core.sample import Modality
from pipeline.models.moments import Grid, likest
from pipeline.models.search_file import load_index, save_index
from pipeline.models.search_index import About, IndexBuilder, SearchIndex, joined, unit
from pipeline.models.window_vectors import EVIDENCE, weights_like
from tests.model_samples import (
    audio,
    one_thread,  # noqa: F401 - a fixture
    pictures,
    sound,
    tiny_pretrained,
    video,
)
from tests.requirements import require_module

pytestmark = pytest.mark.usefixtures("one_thread")

HOP_NS = 500_000_000
ABOUT = About("hall", "model 0123abcd", 4 * HOP_NS, HOP_NS)
GRID = Grid(4 * HOP_NS, HOP_NS)
BOTH = {"cam": 1.0, "mic": 1.0}


def made(name: str = "a.mcap", first: int = 100, count: int = 40, seed: int = 0) -> SearchIndex:
    """Noise; in windows 5 and 25 the same thing is seen, in 5 and 15 the same is heard."""
    random = np.random.default_rng(seed)
    seen, heard = random.normal(size=8), random.normal(size=6)
    builder = IndexBuilder(ABOUT, {"cam": 8, "mic": 6})
    for row in range(count):
        vectors = {"cam": random.normal(size=8), "mic": random.normal(size=6)}
        if row in {5, 25}:
            vectors["cam"] = seen * (1 + row)
        if row in {5, 15}:
            vectors["mic"] = heard + 0.01 * vectors["mic"]
        if row == 30:
            vectors = {"cam": seen}
        builder.add(first + row, vectors, 1 / (1 + row))
    return builder.finish(name, 1234, (first - 10) * HOP_NS)


def test_likeness_is_the_weighted_mean_of_the_cosines() -> None:
    index = made()
    query = index.query(5, {"cam": 3.0, "mic": 1.0})
    cam, mic = (index.blocks[name].float().numpy() for name in ("cam", "mic"))
    expected = (3 * cam @ cam[5] + mic @ mic[5]) / 4
    assert index.likeness(query) == pytest.approx(expected, abs=1e-5)
    assert index.likeness(query)[5] == pytest.approx(1.0, abs=2e-3)
    assert index.by_stream(15, query)["mic"] == pytest.approx(1.0, abs=2e-3)


def test_a_search_goes_by_the_streams_that_were_asked_for() -> None:
    index = made()
    assert set(ranked(index, {"cam": 1.0})[:3]) == {5, 25, 30}
    assert set(ranked(index, {"mic": 1.0})[:2]) == {5, 15}


def ranked(index: SearchIndex, weights: dict[str, float], row: int = 5) -> list[int]:
    return np.argsort(-index.likeness(index.query(row, weights)), kind="stable").tolist()


def test_a_window_that_lacks_a_stream_never_comes_before_one_that_is_alike_in_all() -> None:
    index = made()
    query = index.query(5, BOTH)
    likeness = index.likeness(query)
    assert likeness[30] == pytest.approx(0.5, abs=1e-3)  # the same seen, nothing heard
    assert likeness[5] > likeness[30]
    assert set(index.by_stream(30, query)) == {"cam"}


def test_a_stream_that_the_moment_lacks_is_not_gone_by() -> None:
    index = made()
    assert set(index.query(30, BOTH).vectors) == {"cam"}
    with pytest.raises(ModelError, match="shows nothing of mic"):
        index.query(30, {"mic": 1.0})


def test_in_a_gap_nothing_is_seen_although_there_is_evidence_of_nothing() -> None:
    builder = IndexBuilder(ABOUT, {"cam": 2, "mic": 2, EVIDENCE: 4})
    builder.add(1, {EVIDENCE: [0.0, 0.0, 0.0, 1.0]}, 1.0)
    index = builder.finish("a", 1, 0)
    with pytest.raises(ModelError, match=r"shows nothing of cam, mic \(ask"):
        index.query(0, weights_like(index, 0))


def test_what_has_no_length_counts_as_not_seen() -> None:
    assert not unit([0.0, 0.0]).any()
    assert np.linalg.norm(unit([3.0, -4.0])) == pytest.approx(1.0)


def test_a_rare_moment_is_gone_by_what_its_detectors_say() -> None:
    builder = IndexBuilder(ABOUT, {"cam": 2, "mic": 2, EVIDENCE: 4})
    says = {"cam": [1, 0], "mic": [1, 0], EVIDENCE: [4.0, 0.0, 1.0, 1.0]}
    builder.add(1, says, 1e-4)
    builder.add(2, {**says, EVIDENCE: [0.1, 0.1, 0.1, 1.0]}, 0.9)
    index = builder.finish("a", 1, 0)
    rare, usual = weights_like(index, 0), weights_like(index, 1)
    assert rare["cam"] / rare["mic"] == pytest.approx((4 + 0.3) / 0.3, rel=0.01)
    assert rare[EVIDENCE] == pytest.approx(1.0)
    assert usual["cam"] == pytest.approx(usual["mic"])
    assert usual[EVIDENCE] < 0.05
    assert weights_like(made(), 0) == BOTH  # without evidence all count alike


def found(likeness: list[float], starts: list[int] | None = None, **options: object):
    numbers = np.array(starts if starts is not None else range(len(likeness))) * HOP_NS
    return likest(np.array(likeness, np.float32), numbers, GRID, **{"top": 9, **options})


def test_neighbours_that_are_alike_too_are_one_moment() -> None:
    likeness = [0.0] * 30
    likeness[9:14] = [0.7, 0.9, 1.0, 0.8, 0.3]
    likeness[22] = 0.6
    first, second = found(likeness, top=2)
    assert (first.row, first.likeness) == (11, pytest.approx(1.0))
    assert (first.start_ns, first.end_ns) == (10 * HOP_NS, 12 * HOP_NS + GRID.length_ns)
    assert (second.row, second.start_ns) == (22, 22 * HOP_NS)


def test_moments_do_not_overlap_and_keep_out_of_what_is_left_out() -> None:
    likeness = np.random.default_rng(3).random(200).tolist()
    moments = found(likeness, top=50, without=(20 * HOP_NS, 30 * HOP_NS))
    spans = sorted((m.start_ns, m.end_ns) for m in moments)
    assert len(spans) > 10
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert all(end <= 20 * HOP_NS or start >= 30 * HOP_NS for start, end in spans)


def test_a_gap_in_time_parts_moments_and_the_order_of_rows_does_not_matter() -> None:
    usual = [0.0] * 9
    moments = found([0.9, *usual, 1.0, 0.95, 0.85], [40, *range(9), 20, 21, 26], top=3)
    assert [m.row for m in moments] == [10, 0, 12]
    assert moments[0].end_ns == 21 * HOP_NS + GRID.length_ns


def test_the_moment_of_the_window_that_was_asked_for_is_left_out() -> None:
    likeness = [0.1] * 30
    likeness[9:14] = [0.8, 0.9, 1.0, 0.9, 0.2]
    likeness[22] = 0.6
    assert found(likeness, top=1, itself=11)[0].row == 22


def test_windows_that_have_nothing_in_common_are_never_found() -> None:
    assert [m.row for m in found([0.0, -0.4, 0.0, 0.0, 0.0, 0.0, 0.3])] == [6, 1]
    assert found([0.0, 0.0]) == found([]) == []


def test_a_file_gives_the_index_back(tmp_path: Path) -> None:
    index, file = joined([made(), made("b.mcap", 500, 20, 1)]), tmp_path / "x" / "hall.index"
    save_index(index, file)
    again = load_index(file, ABOUT)
    assert again.parts == index.parts
    assert [again.part_of(row).name for row in (39, 40)] == ["a.mcap", "b.mcap"]
    assert torch.equal(again.numbers, index.numbers)
    assert torch.equal(again.p, index.p)
    assert again.blocks.keys() == index.blocks.keys()
    assert ranked(again, BOTH) == ranked(index, BOTH)
    assert [p.name for p in file.parent.iterdir()] == ["hall.index"]


def test_a_recording_taken_out_leaves_the_others() -> None:
    both = joined([made(), made("b.mcap", 500, 20, 1)])
    left = both.without(both.parts[0])
    assert [part.name for part in left.parts] == ["b.mcap"]
    assert torch.equal(left.blocks["mic"], made("b.mcap", 500, 20, 1).blocks["mic"])
    assert left.starts_ns[0] == 500 * HOP_NS


def test_a_stream_that_one_of_two_lacks_is_not_seen_there() -> None:
    builder = IndexBuilder(ABOUT, {"mic": 6})
    builder.add(900, {"mic": np.ones(6)})
    both = joined([made(), builder.finish("c", 1, 0)])
    assert not both.blocks["cam"][40].any()
    assert both.blocks["mic"][40].any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scene": "yard"}, "an index of scene 'hall', not of 'yard' .name another file"),
        ({"embedder": "model ffff0000eeee"}, "made by model 0123abcd, this is model ffff0000"),
        ({"embedder": "encoder 99"}, "this is encoder 99: .* .delete it and it is made again"),
        ({"hop_ns": 1}, "another length or hop"),
    ],
)
def test_an_index_of_something_else_is_refused(change, said: str, tmp_path: Path) -> None:
    save_index(made(), tmp_path / "i")
    wanted = About(**{name: getattr(ABOUT, name) for name in ABOUT.__struct_fields__} | change)
    with pytest.raises(ModelFileError, match=said) as told:
        load_index(tmp_path / "i", wanted)
    assert told.value.where == str(tmp_path / "i")


def test_damage_is_told_wherever_it_is(tmp_path: Path) -> None:
    file = tmp_path / "i"
    save_index(made(), file)
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for at in (header + 3, len(whole) - 1, whole.index(b"a.mcap")):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ModelFileError, match="damaged"):
            load_index(file, ABOUT)
    file.write_bytes(whole[:-5])
    with pytest.raises(ModelFileError, match=r"damaged.*makes it again"):
        load_index(file, ABOUT)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.save({"a": 1}, tmp_path / "pickle")
    (tmp_path / "text").write_text(json.dumps({"format": "fusewatch-index"}))
    save_file({"a": torch.zeros(1)}, tmp_path / "tensors", {"format": "fusewatch-model"})
    for name, said in (("pickle", "pickled"), ("text", "not a"), ("tensors", "but not a")):
        with pytest.raises(ModelFileError, match=said):
            load_index(tmp_path / name, ABOUT)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_module("transformers")
    return tiny_pretrained("clip", tmp_path_factory.mktemp("clip"))


def test_words_and_pictures_meet_in_the_space_of_a_clip_model(clip: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    from pipeline.models.text_aligned import TextAligned

    reader = TextAligned(clip)
    assert reader.modality is Modality.VIDEO
    network, tokenizer = AutoModel.from_pretrained(clip), AutoTokenizer.from_pretrained(clip)
    frames = [np.full((64, 64, 3), (10, 90, 250), np.uint8)] * 3  # already of the model's size
    pixels = torch.tensor([250.0, 90.0, 10.0]).div(255).sub(0.5).div(0.5)  # RGB
    inputs = dict(tokenizer("a red wall", return_tensors="pt"))
    with torch.inference_mode():
        whole = network(pixel_values=pixels[None, :, None, None].expand(1, 3, 64, 64), **inputs)
    seen, read = reader.of_slice(video(frames)), reader.of_text("a red wall")
    assert unit(seen) == pytest.approx(whole.image_embeds[0].numpy(), abs=1e-4)
    assert unit(read) == pytest.approx(whole.text_embeds[0].numpy(), abs=1e-4)


def test_what_an_encoder_cannot_see_has_no_vector(clip: Path) -> None:
    from pipeline.models.text_aligned import TextAligned

    reader = TextAligned(clip)
    frame = pictures(np.random.default_rng(0), count=1)[0]
    assert reader.of_slice(audio(sound(np.random.default_rng(0)))) is None
    assert reader.of_slice(video([frame, None, None])) is None
    assert reader.of_slice(video([frame, frame, None])) is not None


def test_words_and_sound_meet_in_the_space_of_a_clap_model(tmp_path: Path) -> None:
    from pipeline.models.text_aligned import TextAligned

    require_module("transformers")
    from transformers import BertTokenizer

    folder = tiny_pretrained("clap", tmp_path)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "bang"]
    BertTokenizer(vocab={word: i for i, word in enumerate(vocabulary)}).save_pretrained(folder)
    reader = TextAligned(folder)
    quiet, loud = (sound(np.random.default_rng(0), tone) for tone in (None, 900.0))
    assert reader.modality is Modality.AUDIO
    assert len(reader.of_text("a bang")) == len(reader.of_slice(audio(quiet))) == reader.width
    assert not np.allclose(reader.of_slice(audio(quiet)), reader.of_slice(audio(loud)))


def test_a_network_that_reads_no_words_is_refused(tmp_path: Path) -> None:
    from pipeline.models.text_aligned import TextAligned

    require_module("transformers")
    with pytest.raises(ModelError, match=r"'vit' is not aligned .*a folder"):
        TextAligned(tiny_pretrained("vit", tmp_path))
    with pytest.raises(ModelError, match="no such folder"):
        TextAligned(tmp_path / "nowhere")
