"""What the container file says is so: its commands, its user, what each image holds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nodes.cli import command_files
from nodes.probe import PAGES
from tests.requirements import command_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "configs" / "deploy" / "containers"
TEXT = (FOLDER / "Containerfile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
IMAGES = ("edge", "hub", "fusion")
USER = "10001"


def stage(image: str) -> str:
    """What the file says from this image's FROM to the next one's."""
    found = re.search(rf"^FROM \S+ AS {image}$(.*?)(?=^FROM |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def listed(word: str, text: str) -> list[str]:
    """The JSON list behind a word: so the process is started without a shell."""
    (found,) = re.findall(rf"^ *{word} (\[.*\])$", text, re.MULTILINE)
    return [str(part) for part in json.loads(found)]


@pytest.fixture(scope="module")
def needs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("needs")
    script, project = FOLDER / "requirements.py", ROOT / "pyproject.toml"
    subprocess.run([sys.executable, str(script), str(project), str(folder)], check=True)
    return {file.stem: file.read_text("utf-8") for file in folder.iterdir()}


def test_hadolint_has_nothing_to_say() -> None:
    command = [command_of("hadolint"), str(FOLDER / "Containerfile")]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize("image", IMAGES)
def test_each_image_starts_a_command_that_there_is_as_a_user_of_its_own(image: str) -> None:
    text = stage(image)
    assert listed("ENTRYPOINT", text) == ["tini", "-s", "--", "fusewatch"]
    command, file = listed("CMD", text.partition("ENTRYPOINT")[2])
    assert command in command_files()
    assert file == "/etc/fusewatch/site.yaml"
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == [USER]
    assert f"useradd --uid {USER} " in stage("base")


@pytest.mark.parametrize("image", IMAGES)
def test_each_image_is_asked_by_the_probe_whether_it_lives(image: str) -> None:
    probe, page, data = listed(
        "CMD", stage(image).partition("HEALTHCHECK")[2].partition("ENTRY")[0]
    )
    assert probe in PROJECT["scripts"]
    assert page in PAGES
    assert re.findall(r"^VOLUME (.*)$", stage(image), re.MULTILINE) == [data]


def test_what_is_installed_is_what_the_project_needs(needs: dict[str, str]) -> None:
    assert needs["base"].splitlines() == PROJECT["dependencies"]
    installed = set(re.findall(r"^COPY --from=wheel /out/(\w+)\.txt", TEXT, re.MULTILINE))
    assert installed == set(needs)
    assert all(f"pip install -r /opt/fusewatch/needs/{name}.txt" in TEXT for name in needs)


def test_only_the_fusion_image_has_torch(needs: dict[str, str]) -> None:
    assert "torch==" in needs["fusion"]
    assert not any("torch" in needs[name] for name in ("base", "edge", "hub"))
    assert "fusewatch[" not in "".join(needs.values()), "an extra of extras is not followed"


def test_the_build_sees_no_more_of_the_checkout_than_it_needs() -> None:
    first, *rest = [
        line
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert first == "*"
    let_in = {line.removeprefix("!") for line in rest if line.startswith("!")}
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    named = {
        *wheel["packages"],
        *wheel["shared-data"],
        PROJECT["readme"],
        *PROJECT["license-files"],
    }
    assert let_in == named | {"pyproject.toml"}
