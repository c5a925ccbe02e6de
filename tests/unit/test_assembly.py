"""From a deployment to its engine: which models its scenes can have."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from nodes.assembly import scene_model
from pipeline.config import Deployment, load_deployment
from pipeline.core.errors import ModelFileError
from tests.golden.release import releases

SITE = """
name: site
nodes:
  n: {{sources: [{{type: csv_file, stream: plc, path: a}}]}}
scenes:
  hall: {{streams: [plc], {windows}}}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of windows of 2 s, half a second apart."""
    path = tmp_path / "site.model"
    path.write_bytes(gzip.decompress((releases()[-1] / "site.model.gz").read_bytes()))
    return path


def deployment(folder: Path, windows: str) -> Deployment:
    (folder / "d.yaml").write_text(SITE.format(windows=windows))
    return load_deployment(folder / "d.yaml")


def test_a_model_of_windows_as_the_scene_cuts_them_is_taken(tmp_path: Path, model: Path) -> None:
    site = deployment(tmp_path, "window_s: 2, hop_s: 0.5")
    assert scene_model(site, "hall", model).scene == "hall"


@pytest.mark.parametrize(
    ("windows", "told", "setting"),
    [
        ("window_s: 4, hop_s: 0.5", "learnt windows of 2.0 s, the scene has 4.0 s", "window_s"),
        ("window_s: 2, hop_s: 1", "learnt windows 0.5 s apart, .* are 1.0 s apart", "hop_s"),
        ("window_s: 2, hop_s: 0.1", "learnt windows 0.5 s apart, .* are 0.1 s apart", "hop_s"),
    ],
)
def test_a_model_of_other_windows_is_refused(
    tmp_path: Path, model: Path, windows: str, told: str, setting: str
) -> None:
    with pytest.raises(ModelFileError, match=told) as refused:
        scene_model(deployment(tmp_path, windows), "hall", model)
    assert str(model) in str(refused.value)
    assert f"set {setting} of scene hall as it was, or commission" in refused.value.fix
