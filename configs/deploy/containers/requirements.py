"""Writes what each image installs beside fusewatch, a list per image, from pyproject.toml.

So the layers with the libraries are built anew only when what they hold has changed, and nothing
is written down twice: ``python requirements.py pyproject.toml FOLDER``.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

IMAGES = {
    "base": (),
    "edge": ("audio", "mqtt", "serial", "lsl"),
    "hub": ("alerts", "dashboard", "mqtt", "kafka", "postgres"),
    "fusion": ("fusion",),
}
"""Extras of each image; all have what fusewatch needs at least, `fusion` is built on `hub`."""


def requirements(project: dict[str, object], extras: tuple[str, ...]) -> list[str]:
    """What these extras need; without any, what fusewatch itself does."""
    optional = project["optional-dependencies"]
    if not isinstance(optional, dict):
        raise TypeError("optional-dependencies is a table of extras")
    found = [need for extra in extras for need in optional[extra]]
    return sorted(found) if extras else list(project["dependencies"])  # type: ignore[call-overload]


def main() -> None:
    """Write the lists."""
    source, folder = sys.argv[1:]
    project = tomllib.loads(Path(source).read_text("utf-8"))["project"]
    for image, extras in IMAGES.items():
        text = "\n".join(requirements(project, extras))
        (Path(folder) / f"{image}.txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
