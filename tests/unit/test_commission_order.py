"""Recordings are learnt in the order of their time, whichever they are given in."""

from __future__ import annotations

from pathlib import Path

from nodes.commission import oldest_first
from nodes.demo_site import record_normal
from pipeline.sources.scene import SceneSourceSettings

ZERO_NS = 1_700_000_000_000_000_000


def test_recordings_are_learnt_oldest_first(tmp_path: Path) -> None:
    site = SceneSourceSettings.model_validate(
        {"video": "v", "audio": "a", "sensor": "s", "size": [160, 90]}
    )
    files = [tmp_path / name for name in ("later.mcap", "a-latest.mcap", "z-first.mcap")]
    for file, from_s in zip(files, (3.0, 6.0, 0.0), strict=True):
        record_normal(site, file, from_s, from_s + 1.0, ZERO_NS)
    assert oldest_first(files) == [files[2], files[0], files[1]]
