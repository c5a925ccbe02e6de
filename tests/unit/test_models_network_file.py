import json
import pickle
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from pipeline.core.errors import ModelFileError
from pipeline.models.checkpoint import load_model
from pipeline.models.fusion_model import FusionModel, FusionModelSettings
from pipeline.models.network_file import KIND, Description, SavedNetwork, load_network, save_network
from pipeline.models.tensor_file import read_tensors, write_tensors
from tests.model_samples import (
    INFOS,
    one_thread,  # noqa: F401 - a fixture
    usual,
    window,
)

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = ("calm", "busy", "broken")
MEMO = {"reading": {"window_s": 2.0, "names": ["a", "b"]}}


def made() -> SavedNetwork:
    torch.manual_seed(4)
    head = {"type": "classification", "classes": CLASSES, "hidden": 8}
    options = {"width": 16, "fusion": "softmax_gate", "context": "none", "heads": {"class": head}}
    streams = tuple(INFOS.values())
    network = FusionModel(FusionModelSettings.model_validate(options), streams)
    batch = network.batch([prepared(network, seed) for seed in range(4)])
    network.fit_scale(batch.inputs)
    return SavedNetwork(network, streams, "classifier", CLASSES, MEMO)


def prepared(network: FusionModel, seed: int):
    return network.prepare(window({modality: usual(modality, seed) for modality in INFOS}, seed))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> tuple[Path, SavedNetwork]:
    path = tmp_path_factory.mktemp("network") / "site.network"
    found = made()
    save_network(found, path)
    return path, found


def answers(network: FusionModel) -> torch.Tensor:
    network.eval()
    batch = network.batch([prepared(network, seed) for seed in range(10, 13)])
    rows = {name: values[None] for name, values in batch.inputs.items()}
    with torch.no_grad():
        return network.head("class").predict(network(rows, batch.present[None])[0])


def test_a_saved_network_answers_exactly_as_before(saved):
    path, before = saved
    after = load_network(path, "classifier")
    assert torch.equal(answers(before.network), answers(after.network))
    assert not after.network.training
    for part in ("streams", "task", "classes", "memo", "created_by"):
        assert getattr(after, part) == getattr(before, part)
    assert after.network.settings == before.network.settings
    assert after.created_by.startswith("fusewatch ")
    assert len(after.digest) == 64


def test_the_same_network_gives_the_same_file(saved, tmp_path):
    assert save_network(made(), tmp_path / "again") == load_network(saved[0]).digest
    assert [p.name for p in tmp_path.iterdir()] == ["again"]


def test_reading_draws_no_random_numbers(saved):
    torch.manual_seed(8)
    wanted = torch.rand(3)
    torch.manual_seed(8)
    load_network(saved[0])
    assert torch.equal(torch.rand(3), wanted)


class Bomb:
    def __reduce__(self):
        return (print, ("the file ran code",))


def refused(path: Path, says: str, capsys) -> None:
    with pytest.raises(ModelFileError, match=says) as caught:
        load_network(path)
    assert str(path) in str(caught.value)
    assert capsys.readouterr().out == ""


def test_pickled_and_foreign_files_are_refused_and_run_nothing(tmp_path, capsys):
    path = tmp_path / "bad"
    path.write_bytes(pickle.dumps(Bomb()))
    refused(path, "pickled", capsys)
    torch.save({"weights": torch.zeros(3), "bomb": Bomb()}, path)
    refused(path, "pickled", capsys)
    path.write_bytes(b"hello")
    refused(path, "not a network of fusewatch", capsys)
    save_file({"weight": torch.zeros(3)}, path)
    refused(path, "not a network of fusewatch", capsys)
    refused(tmp_path / "none", "No such file", capsys)


def test_a_network_is_no_model_of_a_scene(saved):
    with pytest.raises(ModelFileError, match="not a fusewatch model"):
        load_model(saved[0])


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_a_truncated_file_is_refused(saved, tmp_path, capsys, share):
    data = saved[0].read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "damaged|not a network", capsys)


def test_a_flipped_bit_is_found(saved, tmp_path, capsys):
    data = bytearray(saved[0].read_bytes())
    data[int(len(data) * 0.7)] ^= 4
    path = tmp_path / "flipped"
    path.write_bytes(data)
    refused(path, "hash", capsys)


def test_a_file_of_another_version_says_so(saved, tmp_path, capsys):
    data = saved[0].read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"]["version"] = "99"
    new = json.dumps(header).encode()
    path = tmp_path / "newer"
    path.write_bytes(len(new).to_bytes(8, "little") + new + data[8 + size :])
    refused(path, "version '99', this program reads version 1", capsys)


def altered(saved, path: Path, **changes: object) -> Path:
    content = read_tensors(saved[0], KIND)
    values = msgspec.structs.asdict(content.description) | changes
    write_tensors(path, KIND, Description(**values), content.tensors)
    return path


def test_weights_that_do_not_fit_the_settings_are_refused(saved, tmp_path, capsys):
    options = saved[1].network.settings.model_dump(mode="json")
    wide = altered(saved, tmp_path / "wide", settings=options | {"width": 32})
    refused(wide, "do not fit", capsys)
    fewer = altered(saved, tmp_path / "fewer", streams=saved[1].streams[:2])
    refused(fewer, "do not fit", capsys)
    odd = altered(saved, tmp_path / "odd", settings=options | {"fusion": {"type": "glue"}})
    refused(odd, "settings not understood", capsys)
    blind = altered(saved, tmp_path / "blind", settings=options | {"streams": {"log": "audio"}})
    refused(blind, "cannot see text", capsys)


def test_another_task_is_refused(saved):
    with pytest.raises(ModelFileError, match="made for classifier, not for scene"):
        load_network(saved[0], "scene")


def test_a_file_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(ModelFileError, match="cannot be written"):
        save_network(made(), tmp_path / "taken" / "site.network")
