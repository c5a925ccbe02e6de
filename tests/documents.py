"""The Markdown that is shipped: its headings, links, code blocks, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from nodes.cli import app
from pipeline.config.settings_table import anchor

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("configs", "nodes", "pipeline")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(p for d in FOLDERS for p in (ROOT / d).rglob("*.md"))])
HISTORY = ROOT / "CHANGELOG.md"

_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_MARK = re.compile(r"<!-- (not run|run with|part of|file): (.+?) -->")
_HEADING = re.compile(r"^#{1,6} (.+?)\s*$")
_LINK = re.compile(r"!?\[[^\]\[]*(?:\[[^\]]*\][^\]\[]*)*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`(fusewatch [^`]+)`")
_ENDS = frozenset("|><&;()")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    Attributes:
        document: Path within the repository.
        line: Line of its opening fence.
        language: What stands behind the fence.
        text: What is in it.
        mark: Kind and words of the comment above it: ``not run`` and why, ``run with`` one word in
            place of another, ``part of`` a deployment or a source, ``file`` and its name.
    """

    document: str
    line: int
    language: str
    text: str
    mark: tuple[str, str] = ("", "")

    @property
    def name(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def script(self) -> str:
        """What a reader types: of a console, the lines behind ``$``."""
        if self.language != "console":
            return self.text
        lines, typing = [], False
        for line in self.text.splitlines():
            typed = line.removeprefix("$ ") if line.startswith("$ ") else line if typing else None
            if typed is not None:
                lines.append(typed)
            typing = typed is not None and typed.endswith("\\")
        return "\n".join(lines) + "\n"


def blocks(*languages: str) -> list[Block]:
    """All blocks in these languages, in the order of the documents."""
    return [b for document in DOCUMENTS for b in _blocks(document) if b.language in languages]


def _blocks(document: Path) -> Iterator[Block]:
    name = str(document.relative_to(ROOT))
    lines = document.read_text("utf-8").splitlines()
    mark = ("", "")
    rest = iter(enumerate(lines, 1))
    for number, line in rest:
        if found := _MARK.fullmatch(line.strip()):
            mark = (found[1], found[2])
        elif fence := _FENCE.match(line):
            inside = []
            for _, one in rest:
                if one.strip() == "```":
                    break
                inside.append(one.removeprefix(fence[1]))
            yield Block(name, number, fence[2], "\n".join(inside) + "\n", mark)
            mark = ("", "")
        elif line.strip():
            mark = ("", "")


def prose(document: Path) -> str:
    """A document without its blocks of code."""
    kept, inside = [], False
    for line in document.read_text("utf-8").splitlines():
        if line.strip().startswith("```"):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def links(document: Path) -> list[str]:
    """What a document links to."""
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", prose(document)))


def anchors(document: Path) -> set[str]:
    """What can be linked to in a document, as GitHub names it: the second of a name is NAME-1."""
    found: dict[str, int] = {}
    for line in prose(document).splitlines():
        if heading := _HEADING.match(line):
            name = anchor(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]))
            found[name] = found.get(name, -1) + 1
    return {f"{name}-{n}" if n else name for name, last in found.items() for n in range(last + 1)}


def commands(script: str) -> Iterator[list[str]]:
    """Every command of a script, as words."""
    for line in script.replace("\\\n", " ").splitlines():
        command: list[str] = []
        for word in [*_words(line), ";"]:
            if not _ENDS.isdisjoint(word):
                if command:
                    yield command
                command = []
            elif command or "=" not in word:  # variables may be set before a command
                command.append(word)


def spoken(document: Path) -> list[str]:
    """Every ``fusewatch`` command that stands within a sentence, in backticks."""
    return [" ".join(found.split()) for found in _SPAN.findall(prose(document))]


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|><&;()")
    lexer.whitespace_split = True
    return list(lexer)


def faults(command: list[str]) -> list[str]:
    """What of a ``fusewatch`` command does not exist: its subcommand, an option."""
    here: Any = typer.main.get_command(app)
    context: Any = here.context_class(here, info_name="fusewatch")
    rest = command[1:]
    while rest and hasattr(here, "resolve_command"):
        if rest[0].startswith("-"):
            break
        if "|" in rest[0]:  # `events list|show`: each of them
            heads = rest[0].split("|")
            return [fault for head in heads for fault in faults([*_path(context), head, *rest[1:]])]
        try:
            _, here, rest = here.resolve_command(context, rest)
        except Exception as error:  # click's own, which Typer hides
            return [str(error) or f"no command {rest[0]!r}"]
        context = here.context_class(here, info_name=here.name, parent=context)
    known = {option for param in here.params for option in (*param.opts, *param.secondary_opts)}
    known |= {"--help", "-h"}
    given = [word.partition("=")[0] for word in rest if word.startswith("-") and len(word) > 1]
    return [f"no option {option!r}" for option in given if option not in known]


def _path(context: Any) -> list[str]:
    names: list[str] = []
    while context is not None:
        names.insert(0, context.info_name)
        context = context.parent
    return names
