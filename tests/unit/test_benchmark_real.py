from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import structlog
import torch

from tests.benchmarks.real import __main__ as real
from tests.benchmarks.real import servers, skab
from tests.benchmarks.real.peers import PEERS, peers
from tests.benchmarks.real.row_figures import figures_of
from tests.benchmarks.real.series import Table


@pytest.fixture(autouse=True)
def as_before():
    """The command sets threads and the log for its own process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    structlog.reset_defaults()


def pump(seed: int, count: int, wrong: slice) -> tuple[np.ndarray, np.ndarray]:
    """Eight channels driven by two causes; in `wrong` one no longer follows its cause."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(2, skab.CHANNELS))
    values = random.normal(size=(count, 2)) @ mixing
    values += random.normal(0, 0.1, values.shape)
    truth = np.zeros(count, np.bool_)
    truth[wrong] = True
    values[truth, 3] = random.normal(0, 1, truth.sum()) + 4
    return values, truth


def write_pump(folder: Path, name: str, seed: int) -> Path:
    values, truth = pump(seed, 300, slice(200, 250))
    lines = [
        ";".join(["when", *map(str, row), str(float(wrong)), "0.0"])
        for row, wrong in zip(values, truth, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    path.write_text("\n".join(["head", *lines]) + "\n", "utf-8")
    return path


def test_a_pump_of_the_same_shape_is_measured_beside_its_peers(tmp_path):
    files = [write_pump(tmp_path, "0", 1), write_pump(tmp_path, "2", 2)]
    found = skab.measure(files, Table(skab.CHANNELS, 1.0, 5), learnt=140)
    assert set(found) == {"fusewatch", *PEERS, "random", "all ones"}
    assert found["fusewatch"].auroc > 0.9
    assert found["all ones"].auroc == 0.5 and found["all ones"].far == 1.0
    assert 0.3 < found["random"].auroc < 0.7


def test_machines_of_the_same_shape_are_measured_one_by_one(tmp_path):
    for name in ("omi-1", "omi-2"):
        values, truth = pump(len(name), 320, slice(250, 290))
        parts = {"train": values[:200], "test": values[200:], "label": truth[200:]}
        np.savez(tmp_path / f"{name}.npz", **parts)
    found = servers.measure(sorted(tmp_path.glob("*.npz")), 300.0, rows=4)
    assert [len(each) for each in found.values()] == [2] * len(found)
    assert min(one.auroc for one in found["fusewatch"]) > 0.8


def test_scores_do_not_know_what_comes_later():
    normal, fresh = (pump(seed, 120, slice(0, 0))[0] for seed in (1, 2))
    whole = peers(4, normal, fresh, 0)
    shorter = peers(4, normal, fresh[:50], 0)
    for name in PEERS:
        assert np.allclose(whole[name].fresh[:50], shorter[name].fresh)


def test_the_limit_is_not_moved_by_what_is_judged():
    truth = np.array([False, False, True, True])
    found = figures_of(truth, np.array([0.1, 2.0, 2.0, 5.0]), limit=1.0)
    assert (found.f1, found.far) == (0.8, 0.5)


def test_recordings_that_are_not_there_are_left_out_and_named(tmp_path, capsys):
    real.main(["--data", str(tmp_path)])
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said] == list(real.SETS)
    assert all("is not there" in line for line in said)


def test_the_table_names_both_halves_of_the_files(tmp_path, capsys):
    folder = tmp_path / "skab" / "valve1"
    write_pump(folder, "0", 1)
    write_pump(folder, "2", 2)
    skab.run(tmp_path, Table(skab.CHANNELS, 1.0, 5), learnt=140)
    said = capsys.readouterr().out
    assert "chosen on: 0" in said and "looked at once: 2" in said
    assert said.count("\nfusewatch ") == 2
