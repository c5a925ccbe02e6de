"""The ``fusewatch`` command: one lazy subcommand per file of `nodes.commands`.

A command file has ``register(app)``, which adds its command or group to the Typer app it is
given; the name is that of the file, ``_`` written ``-`` and one at the end dropped. Only the
file of the command that was typed is imported, so ``fusewatch capture`` starts without torch
and ``--help`` is instant: its one line is the first of the file's docstring, read unimported.

Exit codes: 0, 64 wrong usage, 69 something needed is not available, 70 internal, 78
configuration, 130 interrupted.
"""

from __future__ import annotations

import ast
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from nodes import commands
from nodes.last_words import LastWords
from nodes.logs import LEVELS, configure_logs
from pipeline import __version__
from pipeline.core.errors import ConfigError, DependencyMissing, FusewatchError
from pipeline.core.extras import EXTRAS, installing_module
from pipeline.core.redact import redact_url

COMMANDS = Path(commands.__file__).parent
DEBUG = "FUSEWATCH_DEBUG"
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""Read by numpy and OpenCV when they are imported, which is after this: else each process takes a
thread of every core for pictures and sums that are done sooner by one, and nodes on one machine
fight for them. torch has ``fusion.threads``."""
USAGE, INTERNAL, INTERRUPTED = 64, 70, 130
_CLICK_USAGE, _CLICK_ABORT = 2, 1


class LazyGroup(TyperGroup):
    """Lists every command file, imports the one that is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - Typer's types
        """Names of all commands, sorted."""
        return sorted(command_files())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        """A stand-in that has the name and the one-line help; `resolve_command` loads."""
        file = command_files().get(cmd_name)
        return file and TyperCommand(name=cmd_name, help=first_line(file), callback=None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401
        """The command that was typed, imported."""
        file = command_files().get(args[0])
        if file is None:
            self.commands = {name: self.get_command(ctx, name) for name in command_files()}
            return super().resolve_command(ctx, args)
        return args[0], load_command(file, args[0]), args[1:]


def command_files() -> dict[str, Path]:
    """Command files by the name that is typed."""
    return {
        file.stem.rstrip("_").replace("_", "-"): file
        for file in COMMANDS.glob("*.py")
        if not file.stem.startswith("_")
    }


def first_line(file: Path) -> str:
    """First line of a file's docstring, without importing the file."""
    docstring = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return docstring.partition("\n")[0]


def load_command(file: Path, name: str) -> Any:  # noqa: ANN401 - Typer's click is private
    """Import a command file and take its command."""
    with _kept_for_good():
        module = importlib.import_module(f"{commands.__name__}.{file.stem}")
    holder = typer.Typer()
    holder.callback()(_nothing)
    module.register(holder)
    group: Any = typer.main.get_command(holder)
    return group.commands.get(name) or next(iter(group.commands.values()))


@contextmanager
def _kept_for_good() -> Iterator[None]:
    """Import without looking for rubbish: what is imported stays, a quarter of a million objects.

    Looking through them is a fifth of what a node takes to start, and would hold it up for a
    tenth of a second each time while it works.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _nothing() -> None:
    """Makes Typer build a group even for a single command."""


app = typer.Typer(
    name="fusewatch",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"fusewatch {__version__}")
        raise typer.Exit


def _known_level(value: str) -> str:
    if value.lower() not in LEVELS:
        raise typer.BadParameter(f"write one of: {', '.join(LEVELS)}")
    return value.lower()


@app.callback()
def fusewatch(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar=DEBUG, help="Tracebacks for unexpected errors.")
    ] = False,
    log_level: Annotated[
        str,
        typer.Option(
            envvar="FUSEWATCH_LOG_LEVEL", callback=_known_level, help=f"{', '.join(LEVELS)}."
        ),
    ] = "info",
) -> None:
    """Learn what is normal at a site and say why something is not."""
    del version
    os.environ["FUSEWATCH_LOG_LEVEL"] = log_level
    if debug:
        os.environ[DEBUG] = "1"
    configure_logs("fusewatch", level=log_level)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    raise SystemExit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code.

    Args:
        arguments: What was typed after ``fusewatch``.
    """
    try:
        _call(list(arguments))
    except SystemExit as end:
        return USAGE if end.code == _CLICK_USAGE else _as_code(end.code)
    except FusewatchError as error:
        report(error)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # the last line of defence says so
        _report_unexpected(error)
        return INTERNAL
    return 0


def _call(arguments: list[str]) -> None:
    """Call the command; what a machine that only captures lacks is no fault of fusewatch."""
    command: Any = typer.main.get_command(app)
    try:
        command.main(arguments, prog_name="fusewatch")
    except ModuleNotFoundError as error:
        name = error.name or ""
        if name.partition(".")[0] not in EXTRAS:
            raise
        raise DependencyMissing(
            f"this needs the Python package {name!r}, which is not installed here",
            fix=installing_module(name),
        ) from error


def report(error: FusewatchError) -> None:
    """Tell an error on stderr: what, where, what to do, and each problem on its line."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    _say(f"error: {error}")
    for problem in problems:
        _say(f"  {problem}")
    LastWords.of_this_process().say(redact_url("; ".join((str(error), *problems))))
    if os.environ.get(DEBUG):
        _say_traceback(error)


def _report_unexpected(error: Exception) -> None:
    LastWords.of_this_process().say(redact_url(f"{type(error).__name__}: {error}"))
    if os.environ.get(DEBUG):
        _say_traceback(error)
    else:
        _say(f"error: unexpected {type(error).__name__}: {error}")
        _say("This is a fault of fusewatch. See where with --debug, and please report it.")


def _say_traceback(error: Exception) -> None:
    _say("".join(traceback.format_exception(error)).rstrip())


def _say(text: str) -> None:
    print(redact_url(text), file=sys.stderr)


def _as_code(code: str | int | None) -> int:
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    main()
