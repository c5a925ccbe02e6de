"""Check a deployment file, or print the JSON Schema that editors use, or a table of all keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from nodes.settings_document import deployment_document, model_document
from pipeline.config import Deployment, Report, check_file, deployment_schema
from pipeline.config.problems import Problem, dotted
from pipeline.core.errors import ConfigError

group = typer.Typer(
    help="Check a deployment file, or print its JSON Schema or all its keys.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add ``config`` to the command line."""
    app.add_typer(group, name="config")


@group.command()
def check(
    file: Annotated[Path, typer.Argument(help="Deployment file.", metavar="FILE")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Check a deployment file and list everything that is wrong with it."""
    report = _look_at(file)
    if as_json:
        typer.echo(json.dumps(_as_data(file, report), indent=2))
    else:
        _tell(file, report)
    if report.loaded is None:
        raise typer.Exit(ConfigError.exit_code)


@group.command()
def schema() -> None:
    """Print the JSON Schema of a deployment, with every kind that is installed."""
    typer.echo(json.dumps(deployment_schema(), indent=2))


@group.command()
def settings(
    models: Annotated[
        bool, typer.Option("--models", help="Those of detectors and trainings instead.")
    ] = False,
) -> None:
    """Print every key of a deployment file as Markdown: what it may be, default, what it is."""
    typer.echo(model_document() if models else deployment_document(), nl=False)


def _look_at(file: Path) -> Report:
    try:
        return check_file(file)
    except ConfigError as error:
        _, _, line = error.where.rpartition(":")
        number = int(line) if line.isdecimal() else 0
        return Report(problems=(Problem((), error.message, error.fix, number, str(file)),))


def _tell(file: Path, report: Report) -> None:
    for problem in report.problems:
        typer.echo(f"error: {problem}", err=True)
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if report.loaded is None:
        count = len(report.problems)
        typer.echo(f"{file}: {count} problem{'s' if count > 1 else ''}", err=True)
    else:
        typer.echo(f"{file}: OK, {summary(report.loaded.deployment)}")


def summary(deployment: Deployment) -> str:
    """The deployment in one line."""
    counts = _counts(deployment)
    parts = (f"{count} {what if count != 1 else what[:-1]}" for what, count in counts.items())
    return f"{deployment.name}: {', '.join(parts)}"


def _counts(deployment: Deployment) -> dict[str, int]:
    sources = [source for node in deployment.nodes.values() for source in node.sources]
    return {
        "nodes": len(deployment.nodes),
        "sources": len(sources),
        "streams": sum(len(source.stream_names()) for source in sources),
        "scenes": len(deployment.scenes),
        "sinks": len(deployment.alert.sinks),
    }


def _as_data(file: Path, report: Report) -> dict[str, Any]:
    loaded = report.loaded
    return {
        "file": str(file),
        "ok": loaded is not None,
        "name": loaded.deployment.name if loaded else None,
        "counts": _counts(loaded.deployment) if loaded else None,
        "problems": [_problem(problem) for problem in report.problems],
        "warnings": [_problem(problem) for problem in report.warnings],
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "line": problem.line,
        "path": dotted(problem.path),
        "message": problem.message,
        "fix": problem.fix,
    }
