"""What the shipped Markdown says is so: links lead somewhere, commands exist, YAML is read.

Commands are run by `tests.system.test_docs_commands`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodes.cli import command_files
from nodes.settings_document import deployment_document, model_document
from pipeline.config import check_file
from pipeline.core.extras import EXTRAS
from pipeline.core.ledger import DropReason
from pipeline.sinks.base import SINKS
from pipeline.sources.base import SOURCES
from tests.documents import (
    DOCUMENTS,
    FOLDERS,
    HISTORY,
    ROOT,
    Block,
    anchors,
    blocks,
    commands,
    faults,
    links,
    prose,
    spoken,
)
from tests.requirements import require_module

TODAY = [document for document in DOCUMENTS if document != HISTORY]
LANGUAGES = {"sh", "console", "yaml", "toml", "python", "text"}
_PATH = re.compile(r"`((?:configs|nodes|pipeline)/[\w./@-]+)`|(tests/\w+/[\w./]+\.py)")
_SAID = re.compile(r"`([^`]+)`")
_JOINED = re.compile(r'"\s*\n\s*f?"')


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_to_files_and_headings_that_there_are(document: Path) -> None:
    for link in links(document):
        target, _, heading = link.partition("#")
        if "://" in target:
            continue
        file = (document.parent / target).resolve() if target else document
        assert file.exists(), link
        assert file.is_relative_to(ROOT), link
        assert not heading or heading in anchors(file), link


@pytest.mark.parametrize("document", TODAY, ids=name)
def test_paths_within_sentences_are_files_that_there_are(document: Path) -> None:
    for shipped, test in _PATH.findall(prose(document)):
        assert (ROOT / (shipped or test)).exists(), shipped or test


def test_every_guide_is_reached_from_the_first_page() -> None:
    reached, queue = set(), [ROOT / "README.md"]
    while queue:
        document = queue.pop()
        reached.add(document)
        files = {(document.parent / link.partition("#")[0]).resolve() for link in links(document)}
        queue += [file for file in files - reached if file in DOCUMENTS]
    assert set(DOCUMENTS) <= reached


@pytest.mark.parametrize("block", blocks(*LANGUAGES, ""), ids=lambda block: block.name)
def test_every_block_says_what_it_is(block: Block) -> None:
    assert block.language in LANGUAGES, "write its language behind the fence"
    kinds = {"sh": {"not run", "run with"}, "console": {"not run", "run with"}}
    assert block.mark[0] in {"", *kinds.get(block.language, {"part of", "file"})}


@pytest.mark.parametrize("block", blocks("sh", "console"), ids=lambda block: block.name)
def test_commands_and_their_options_exist(block: Block) -> None:
    for command in commands(block.script):
        if command[0] == "fusewatch":
            assert faults(command) == [], " ".join(command)


@pytest.mark.parametrize("document", TODAY, ids=name)
def test_commands_within_sentences_exist(document: Path) -> None:
    for command in spoken(document):
        assert faults(command.split()) == [], command


def test_a_command_or_option_that_is_no_more_is_noticed() -> None:
    assert faults(["fusewatch", "evnts", "list", "X"]) != []
    assert faults(["fusewatch", "events", "lst", "X"]) != []
    assert faults(["fusewatch", "events", "list", "X", "--ded"]) == ["no option '--ded'"]
    assert faults(["fusewatch", "events", "list|show|gone", "X"]) != []
    assert faults(["fusewatch", "replay", "a.mcap", "--config", "x", "-m", "y"]) == []


def test_each_command_is_spoken_of() -> None:
    said = "\n".join(document.read_text("utf-8") for document in TODAY)
    assert [command for command in command_files() if f"fusewatch {command}" not in said] == []


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.name)
def test_yaml_is_a_deployment_or_a_part_of_one(block: Block, tmp_path: Path) -> None:
    if block.mark[0] == "file":  # those are run, with the kinds that stand beside them
        return
    for module in ("sounddevice", "paho", "serial", "httpx"):
        assert module in EXTRAS
        require_module(module)
    file = tmp_path / "part.yaml"
    file.write_text(yaml.safe_dump(whole(block), allow_unicode=True))
    for secret in ("mail.secret", "broker.secret"):
        (tmp_path / secret).write_text("secret")
        (tmp_path / secret).chmod(0o600)
    report = check_file(
        file, environ={"NTFY_URL": "ntfy://ntfy.sh/topic", "HALL_RTSP_URL": "r://c"}
    )
    beside = re.compile("/etc/fusewatch/")  # files of the reader's machine
    problems = [str(p) for p in report.problems if not beside.search(str(p))]
    assert problems == []


def whole(block: Block) -> dict[str, Any]:
    """A deployment in which a block is what it says, with the streams and scenes it speaks of."""
    part: dict[str, Any] = yaml.safe_load(block.text)
    if block.mark == ("part of", "source"):
        streams = _streams(part)
        return {
            "name": "part",
            "nodes": {"n": {"sources": [part]}},
            "scenes": {"hall": {"streams": streams}},
        }
    sources = [_source(stream) for stream in part.get("streams", {})] or [_source("hall-camera")]
    base = {
        "name": "part",
        "nodes": {"n": {"sources": sources}},
        "scenes": {"hall": {"streams": [source["stream"] for source in sources]}},
    }
    return base | part if block.mark == ("part of", "deployment") else part


def _source(stream: str) -> dict[str, Any]:
    kind = stream.rpartition("-")[2]
    return {"type": kind if kind in {"camera", "microphone"} else "lsl", "stream": stream}


def _streams(source: dict[str, Any]) -> list[str]:
    named = [source[key] for key in ("stream", "video", "audio") if key in source]
    return named + [stream["name"] for stream in source.get("streams", [])]


def test_the_tables_of_keys_are_those_of_the_settings() -> None:
    for module in EXTRAS:
        if module not in {"psycopg", "ray"}:
            require_module(module)
    for file, wanted, option in (
        ("configs/settings.md", deployment_document(), ""),
        ("configs/models/settings.md", model_document(), " --models"),
    ):
        written = (ROOT / file).read_text("utf-8")
        assert written == wanted, f"make docs, or: fusewatch config settings{option} > {file}"


def test_messages_by_which_trouble_is_looked_up_are_those_of_the_code() -> None:
    code = "\n".join(p.read_text("utf-8") for d in FOLDERS[1:] for p in (ROOT / d).rglob("*.py"))
    code = _JOINED.sub("", code) + (ROOT / "nodes/dashboard/static/budget.js").read_text("utf-8")
    rows = [line.split("|")[1] for line in table_rows("nodes/troubleshooting.md")]
    messages = [said for row in rows for said in _SAID.findall(row)]
    assert len(messages) > 30
    assert [message for message in messages if message not in code] == []


def test_every_reason_for_a_loss_is_explained() -> None:
    explained = {s for line in table_rows("nodes/troubleshooting.md") for s in _SAID.findall(line)}
    assert {reason.value for reason in DropReason} <= explained


def test_every_kind_of_source_and_sink_is_told_of() -> None:
    for family, document in ((SOURCES, "configs/sources.md"), (SINKS, "configs/README.md")):
        told = set(_SAID.findall(prose(ROOT / document)))
        assert set(family.kinds()) <= told, document


def test_the_way_of_a_frame_names_what_there_is_in_the_files_that_it_names() -> None:
    page = ROOT / "pipeline" / "README.md"
    steps = [line for line in table_rows("pipeline/README.md") if ".py)" in line]
    assert len(steps) > 12
    for step in steps:
        files = [page.parent / file for file in re.findall(r"\]\(([^)]+\.py)\)", step)]
        code = "\n".join(file.read_text("utf-8") for file in files)
        for named in re.findall(r"`([A-Z]\w+)(?:\.(\w+))?`", step):
            assert f"class {named[0]}" in code, step
            assert not named[1] or f"def {named[1]}(" in code, step


def table_rows(document: str) -> list[str]:
    lines = (ROOT / document).read_text("utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and line.count("|") > 2]


def test_pictures_are_small_and_described() -> None:
    for document in DOCUMENTS:
        for words, file in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", prose(document)):
            assert len(words) > 10, file
            assert (document.parent / file).stat().st_size < 250_000, file
