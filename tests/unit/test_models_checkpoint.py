import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import save_file

from pipeline.core.errors import ModelFileError
from pipeline.detection.scorer import Scorer
from pipeline.models.checkpoint import load_model, save_model
from tests.fuzz.strategies import nearly
from tests.fuzz.targets import TARGETS
from tests.toy_site import Site, commissioned


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "site.model"
    return path, save_model(commissioned()[0], path)


def test_where_a_camera_looked_is_saved_and_an_older_file_without_it_can_still_be_read(
    saved, tmp_path
):
    (camera, *_) = load_model(saved[0]).streams
    learnt = commissioned()[0].streams[0].view
    assert camera.view is not None
    assert learnt is not None
    np.testing.assert_array_equal(camera.view.edges, learnt.edges)
    model = commissioned()[0]
    older = replace(model, streams=tuple(replace(s, view=None) for s in model.streams))
    save_model(older, tmp_path / "older.model")
    assert load_model(tmp_path / "older.model").streams[0].view is None


def test_a_saved_model_scores_exactly_as_before(saved):
    path, model = saved
    windows = list(Site(3, "sound", 710, 714).windows(700, 20))
    before = Scorer({"hall": model}, "cpu").score(windows)
    after = Scorer({"hall": load_model(path)}, "cpu").score(windows)
    assert before == after


def test_the_file_says_what_it_is(saved):
    path, model = saved
    loaded = load_model(path)
    assert loaded.digest == model.digest
    assert len(loaded.digest) == 64
    assert loaded.created_by.startswith("fusewatch ")
    assert [s.info for s in loaded.streams] == [s.info for s in model.streams]
    assert loaded.settings == model.settings
    assert (loaded.length_ns, loaded.hop_ns) == (2_000_000_000, 500_000_000)


def test_the_same_model_gives_the_same_file(saved, tmp_path):
    path, model = saved
    save_model(model, tmp_path / "again.model")
    assert load_model(tmp_path / "again.model").digest == load_model(path).digest


@pytest.mark.parametrize("first", [0x80, 0x50])
def test_a_header_whose_length_looks_like_a_pickle_is_read(saved, tmp_path, first):
    """A file begins with the length of its header: one in 32 begins as pickles do."""
    _, model = saved
    path = tmp_path / "site.model"
    for extra in range(256):
        save_model(replace(model, created_by="fusewatch" + "." * extra), path)
        if path.read_bytes()[0] == first:
            break
    assert path.read_bytes()[0] == first
    assert load_model(path).scene == model.scene


def test_nothing_is_left_beside_the_file(saved):
    path, _ = saved
    assert [p.name for p in path.parent.iterdir()] == ["site.model"]


class Bomb:
    def __reduce__(self):
        return (print, ("the file ran code",))


def refused(path, says: str, capsys) -> None:
    with pytest.raises(ModelFileError, match=says) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert capsys.readouterr().out == ""


def test_pickled_files_are_refused_and_run_nothing(tmp_path, capsys):
    plain = tmp_path / "plain.model"
    plain.write_bytes(pickle.dumps(Bomb()))
    refused(plain, "pickled", capsys)
    zipped = tmp_path / "zipped.model"
    torch.save({"weights": torch.zeros(3), "bomb": Bomb()}, zipped)
    refused(zipped, "pickled", capsys)


@pytest.mark.parametrize("data", [b"", b"hello", b"{}", b"\x89PNG\r\n\x1a\n" * 9])
def test_foreign_files_are_refused(tmp_path, capsys, data):
    path = tmp_path / "foreign.model"
    path.write_bytes(data)
    refused(path, "not a fusewatch model", capsys)


def test_a_safetensors_file_of_someone_else_is_refused(tmp_path, capsys):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    refused(path, "not a fusewatch model", capsys)


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    refused(tmp_path / "none.model", "No such file", capsys)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_a_truncated_file_is_refused(saved, tmp_path, capsys, share):
    data = saved[0].read_bytes()
    path = tmp_path / "cut.model"
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "damaged|not a fusewatch", capsys)


@pytest.mark.parametrize("share", [0.5, 0.9999])
def test_a_flipped_bit_is_found(saved, tmp_path, capsys, share):
    data = bytearray(saved[0].read_bytes())
    data[int(len(data) * share)] ^= 4
    path = tmp_path / "flipped.model"
    path.write_bytes(data)
    refused(path, "hash", capsys)


def rewritten(saved, tmp_path, **changes: str):
    data = saved[0].read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] |= changes
    new = json.dumps(header).encode()
    path = tmp_path / "changed.model"
    path.write_bytes(len(new).to_bytes(8, "little") + new + data[8 + size :])
    return path


def test_a_file_of_a_newer_version_says_so(saved, tmp_path, capsys):
    refused(rewritten(saved, tmp_path, version="99"), "version '99'", capsys)


def test_a_changed_description_is_refused(saved, tmp_path, capsys):
    refused(rewritten(saved, tmp_path, description="{}"), "damaged description", capsys)
    refused(rewritten(saved, tmp_path, digest="0" * 64), "hash", capsys)


def test_a_file_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(ModelFileError, match="cannot be written"):
        save_model(replace(commissioned()[0]), tmp_path / "taken" / "site.model")


@pytest.mark.parametrize("name", ["model", "model-description", "model-tensors"])
def test_a_file_made_to_harm_is_a_model_or_refused(name):
    target = TARGETS[name]
    read = target.reader()

    @given(nearly(target.valid()))
    @settings(max_examples=20, deadline=None, derandomize=True, database=None)
    def check(data):
        read(data)

    check()
