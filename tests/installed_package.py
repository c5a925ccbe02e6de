"""A package as pip would have left it in a folder, so that its entry points are found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def unpack_package(files: Mapping[str, str], folder: Path) -> Path:
    """Write the files of a package, by their path in it, into `folder`."""
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return folder
