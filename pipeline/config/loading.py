"""Loading a deployment: file → YAML → variables → secrets → settings → checks.

Every fault that can be found is found in one go, each told as
``home.yaml:12: nodes.hall.sources[0].urll: unknown key; did you mean 'url'?``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config.checks import find_problems, stream_places
from pipeline.config.deployment import Deployment
from pipeline.config.document import UNSET, build_document
from pipeline.config.paths import resolve_paths
from pipeline.config.problems import Positions, Problem
from pipeline.config.secrets import SecretFiles, secret_values
from pipeline.config.validation import Validation
from pipeline.config.yaml_reader import ProblemFound, compose, read_text
from pipeline.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Loaded:
    """A deployment and what came up while loading it.

    Attributes:
        deployment: The deployment; its paths are absolute.
        path: File it came from.
        warnings: What is worth saying but does not stop it.
        secrets: Passwords and what was read from ``*_file`` keys, to be kept out of logs.
    """

    deployment: Deployment
    path: Path
    warnings: tuple[Problem, ...] = ()
    secrets: frozenset[str] = frozenset()


@dataclass(slots=True)
class Report:
    """The outcome of looking at a file.

    Attributes:
        loaded: The deployment, or None when something is wrong.
        problems: Faults, in the order of the file.
        warnings: What does not stop it, in the order of the file.
    """

    loaded: Loaded | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = field(default=())


def load_deployment(path: Path, *, environ: Mapping[str, str] | None = None) -> Deployment:
    """Load a deployment, see `load`.

    Raises:
        ConfigError: Anything is wrong with it; ``problems`` lists all faults.
    """
    return load(path, environ=environ).deployment


def load(path: Path, *, environ: Mapping[str, str] | None = None) -> Loaded:
    """Load a deployment with its warnings.

    Args:
        path: YAML file.
        environ: Where ``${VAR}`` looks; default: the environment of the process.

    Raises:
        ConfigError: Anything is wrong with it; ``problems`` lists all faults.
    """
    report = check_file(path, environ=environ)
    if report.loaded is None:
        count = len(report.problems)
        raise ConfigError(
            f"{count} problem{'s' if count > 1 else ''}",
            where=str(path),
            problems=tuple(str(problem) for problem in report.problems),
        )
    return report.loaded


def check_file(path: Path, *, environ: Mapping[str, str] | None = None) -> Report:
    """Look at a file and list everything that is wrong with it.

    Raises:
        ConfigError: The file cannot be read at all (missing, not UTF-8, too large).
    """
    text = read_text(path)
    try:
        document = build_document(compose(text), os.environ if environ is None else environ)
    except ProblemFound as stop:
        return Report(problems=(stop.problem.in_file(path.name, Positions()),))
    folder = path.resolve().parent
    secrets = SecretFiles(folder, document.positions, document.unset)
    validation = Validation(document, secrets)
    deployment = validation.run()
    found = _without_echoes([*document.problems, *secrets.problems], validation.problems)
    if deployment is not None:
        try:
            deployment = resolve_paths(deployment, folder)
        except ProblemFound as stop:
            return _report([*found, stop.problem], None, path, document.positions, secrets)
        if not validation.problems and not validation.incomplete and _names_known(deployment):
            found = _without_echoes(found, find_problems(deployment))
    return _report(found, deployment, path, document.positions, secrets)


def _names_known(deployment: Deployment) -> bool:
    """Whether every stream has its name, so that references to them can be checked."""
    named = {name for scene in deployment.scenes.values() for name in scene.streams}
    return UNSET not in named | stream_places(deployment).keys()


def _without_echoes(first: list[Problem], then: Iterable[Problem]) -> list[Problem]:
    """Both lists, less what only says that a value is missing which is already known to be."""
    told = {problem.path for problem in first if problem.fatal}
    return [*first, *(problem for problem in then if problem.path not in told)]


def _report(
    found: list[Problem],
    deployment: Deployment | None,
    path: Path,
    positions: Positions,
    secrets: SecretFiles,
) -> Report:
    placed = dict.fromkeys(problem.in_file(path.name, positions) for problem in found)
    ordered = sorted(placed, key=lambda problem: problem.line)
    problems = tuple(problem for problem in ordered if problem.fatal)
    warnings = tuple(problem for problem in ordered if not problem.fatal)
    loaded = None
    if deployment is not None and not problems:
        hidden = frozenset(filter(None, {*secrets.values, *secret_values(deployment)}))
        loaded = Loaded(deployment, path, warnings, hidden)
    return Report(loaded, problems, warnings)
