"""The file of a network: its weights, and all that is needed to build it again.

Beside the settings of the network and its streams stands what it was trained for, and what the
task needs to remember (how files become windows, say). Reading it runs nothing, see
`pipeline.models.tensor_file`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from pydantic import ValidationError
from torch import Tensor

from pipeline import __version__
from pipeline.core.errors import ModelError, ModelFileError
from pipeline.core.sample import StreamInfo
from pipeline.models.fusion_model import FusionModel, FusionModelSettings
from pipeline.models.tensor_file import FileKind, read_tensors, write_tensors

_AGAIN = "make it again with `fusewatch train`"
_EARLIER = {"timeless_lines": False}
"""How networks saw before a file told."""


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON part of a network's file."""

    task: str
    streams: tuple[StreamInfo, ...]
    settings: dict[str, Any]
    classes: tuple[str, ...]
    memo: dict[str, Any]
    created_by: str


KIND = FileKind("fusewatch-network", 1, "a network of fusewatch", _AGAIN, Description)


@dataclass(frozen=True, slots=True)
class SavedNetwork:
    """A network and what it is for.

    Attributes:
        network: The network; ``eval()`` when it comes from a file.
        streams: Its streams, in order.
        task: What it was trained for, as in the training's YAML.
        classes: Names of the classes, in the order of the head's outputs; empty without.
        memo: What the task needs to remember, as JSON.
        created_by: The program that made it.
        digest: Digest of its file; empty until it is saved.
    """

    network: FusionModel
    streams: tuple[StreamInfo, ...]
    task: str
    classes: tuple[str, ...] = ()
    memo: dict[str, Any] = field(default_factory=dict)
    created_by: str = f"fusewatch {__version__}"
    digest: str = ""


def save_network(saved: SavedNetwork, path: Path) -> str:
    """Write the file, replacing `path` only once the new one is whole.

    Returns:
        The digest of the file.

    Raises:
        ModelFileError: The file cannot be written.
    """
    return write_tensors(path, KIND, described(saved), saved.network.state_dict())


def described(saved: SavedNetwork) -> Description:
    """All of a network but its weights, as data."""
    return Description(
        saved.task,
        saved.streams,
        saved.network.settings.model_dump(mode="json"),
        saved.classes,
        saved.memo,
        saved.created_by,
    )


def load_network(path: Path, task: str | None = None) -> SavedNetwork:
    """Read the file of a network.

    Args:
        path: The file.
        task: What it must have been trained for; None: anything.

    Raises:
        ModelFileError: Not there, foreign, pickled, damaged, from another version, or made for
            another task.
    """
    content = read_tensors(path, KIND)
    found = content.description
    if task is not None and found.task != task:
        raise ModelFileError(f"made for {found.task}, not for {task}", where=str(path))
    try:
        return replace(rebuilt(found, content.tensors), digest=content.digest)
    except ModelFileError as error:
        raise error.at(str(path)) from error


def rebuilt(description: Description, tensors: Mapping[str, Tensor]) -> SavedNetwork:
    """A network from what `described` gave and its weights by name, ready to be used.

    Raises:
        ModelFileError: They do not fit, or are of another version.
    """
    network = _network(description, tensors)
    found = description
    return SavedNetwork(
        network, found.streams, found.task, found.classes, found.memo, found.created_by
    )


def _network(description: Description, tensors: Mapping[str, Tensor]) -> FusionModel:
    try:
        settings = FusionModelSettings.model_validate({**_EARLIER, **description.settings})
        with torch.random.fork_rng(devices=[]):  # first weights are drawn, and then replaced
            network = FusionModel(settings, description.streams)
    except (ValidationError, ModelError) as error:
        raise ModelFileError(f"settings not understood: {error}", fix=_AGAIN) from error
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    if {name: value.shape for name, value in tensors.items()} != wanted:
        raise ModelFileError("its weights do not fit its settings", fix=_AGAIN)
    network.load_state_dict(tensors)
    return network.eval()
