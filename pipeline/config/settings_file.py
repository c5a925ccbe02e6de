"""A YAML file of settings that are not a deployment, read as strictly as one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pipeline.config.document import build_document
from pipeline.config.problems import Positions
from pipeline.config.secrets import SecretFiles
from pipeline.config.validation import Validation
from pipeline.config.yaml_reader import ProblemFound, compose, read_text
from pipeline.core.errors import ConfigError
from pipeline.core.settings import Settings

AnySettings = TypeVar("AnySettings", bound=Settings)


def load_settings(
    path: Path, kind: type[AnySettings], *, environ: Mapping[str, str] | None = None
) -> AnySettings:
    """Load settings of one kind, with variables put in.

    Args:
        path: YAML file.
        kind: What it holds.
        environ: Where ``${VAR}`` looks; default: the environment of the process.

    Raises:
        ConfigError: Anything is wrong with it; ``problems`` lists all faults.
    """
    try:
        document = build_document(compose(read_text(path)), environ or os.environ)
    except ProblemFound as stop:
        raise _wrong(path, [str(stop.problem.in_file(path.name, Positions()))]) from stop
    secrets = SecretFiles(path.resolve().parent, document.positions, document.unset)
    validation = Validation(document, secrets)
    settings = validation.only(kind)
    found = [*document.problems, *validation.problems]
    if settings is None or found:
        raise _wrong(path, [str(one.in_file(path.name, document.positions)) for one in found])
    return settings


def _wrong(path: Path, problems: list[str]) -> ConfigError:
    count = len(problems)
    plural = "s" if count > 1 else ""
    return ConfigError(f"{count} problem{plural}", where=str(path), problems=tuple(problems))
