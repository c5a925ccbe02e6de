"""The file for those who help: everything they need, also of what is broken, and only that."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

from tests.command_line import fusewatch

DEPLOYMENT = """
name: site
data: data
nodes:
  here:
    sources:
      - type: media
        url: rtsp://ada:Geheim1@10.0.0.2/a
        video: hall-view
        options: {headers: "Authorization: Geheim2"}
scenes:
  hall: {streams: [hall-view]}
"""


def bundled(folder: Path, *more: str | Path) -> dict[str, str]:
    target = folder / "help.zip"
    assert fusewatch("support", "bundle", folder / "site.yaml", "-o", target, *more) == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with zipfile.ZipFile(target) as opened:
        return {name: opened.read(name).decode() for name in opened.namelist()}


def test_settings_are_told_and_what_may_be_secret_is_not(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(DEPLOYMENT)
    parts = bundled(tmp_path)
    assert "Geheim" not in "".join(parts.values())
    source = json.loads(parts["deployment.json"])["nodes"]["here"]["sources"][0]
    assert source["url"] == "rtsp://***@10.0.0.2/a"
    assert source["options"] == "***"
    assert "not running" in json.loads(parts["processes/fusion.json"])["error"]
    assert json.loads(parts["machine.json"])["packages"]["numpy"]


def test_a_broken_file_and_a_broken_store_are_what_it_tells(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(DEPLOYMENT.replace("streams:", "stremas:"))
    parts = bundled(tmp_path)
    assert "stremas" in parts["config-check.json"]
    assert "deployment.json" not in parts
    (tmp_path / "site.yaml").write_text(DEPLOYMENT)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fusion.db").write_bytes(b"not a database" * 100)
    assert json.loads(bundled(tmp_path)["kept.json"])["error"]


def test_the_end_of_a_log_comes_along(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(DEPLOYMENT)
    (tmp_path / "log").write_bytes(b"early\n" + b"x" * (5 << 20) + b"\nlate Geheim1 \xff\n")
    log = bundled(tmp_path, "--log", tmp_path / "log")["log.txt"]
    assert log.endswith("late *** \ufffd\n")
    assert "early" not in log
