"""Where the deployments that come with fusewatch are: in the checkout, or installed."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.core.errors import ConfigError

PLACES = (
    Path(__file__).resolve().parents[1] / "configs",
    Path(sys.prefix) / "share" / "fusewatch" / "configs",
)


def shipped_config(name: str) -> Path:
    """Path of a shipped file such as ``demo.yaml``.

    Raises:
        ConfigError: It was not installed.
    """
    for place in PLACES:
        if (place / name).is_file():
            return place / name
    raise ConfigError(
        f"the shipped file {name!r} is not installed",
        where=str(PLACES[-1]),
        fix="install fusewatch again, or run from a checkout",
    )
