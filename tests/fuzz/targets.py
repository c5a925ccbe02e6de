"""Everything that reads bytes from outside, and what it may raise: nothing but what it says.

A target takes any bytes. It raises when the code under test raised an error that it does not
document, or broke a promise; memory and time are watched by whoever calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, slots=True)
class Target:
    """One reader.

    Attributes:
        name: What it is called on the command line, and its folder in the corpus.
        module: Module of `tests.fuzz` that has it; imported only when it is wanted.
        read: Name of the function that takes bytes.
        seeds: Name of the function that gives inputs which are valid, or nearly.
        largest: Most bytes worth trying.
    """

    name: str
    module: str
    read: str
    seeds: str
    largest: int = 4096

    def reader(self) -> Callable[[bytes], None]:
        """The function that takes bytes."""
        found: Callable[[bytes], None] = getattr(self._module(), self.read)
        return found

    def valid(self) -> list[bytes]:
        """The inputs to begin with."""
        give: Callable[[], Iterator[bytes]] = getattr(self._module(), self.seeds)
        return list(give())

    def _module(self) -> object:
        return import_module(f"tests.fuzz.{self.module}")


TARGETS = {
    target.name: target
    for target in (
        Target("message", "wire", "read_message", "message_seeds"),
        Target("samples", "wire", "read_samples", "sample_seeds", 1 << 16),
        Target("description", "wire", "read_description", "description_seeds", 1024),
        Target("event", "wire", "read_event", "event_seeds"),
        Target("recording", "files", "read_recording", "recording_seeds", 1 << 15),
        Target("spool", "files", "read_spool", "spool_seeds"),
        Target("spool-body", "files", "read_bodies", "body_seeds", 1024),
        Target("config", "files", "read_config", "config_seeds"),
        Target("model", "models", "read_model", "model_seeds"),
        Target("model-description", "models", "read_model_description", "description_seeds", 8192),
        Target("model-tensors", "models", "read_tensors_changed", "tensor_seeds", 96),
    )
}
