"""docs/serving.md: its commands, settings, files and figures are those of the program."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
from benchmarks.sizing import BEGIN, END, sizing
from tests.integrations.peers import ROOT
from tests.serving.conftest import RATE, Running

from avatar.cli import app
from avatar.serving.config import ServerConfig, load_config
from avatar.serving.metrics import PrometheusMetrics

PAGE = ROOT / "docs" / "serving.md"
TEXT = PAGE.read_text()
PAGES = (
    PAGE, ROOT / "examples" / "unity" / "README.md", ROOT / "examples" / "unreal" / "README.md",
)  # fmt: skip


def blocks(language: str, page: Path = PAGE) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", page.read_text(), re.DOTALL | re.M)
    return [textwrap.dedent(block) for _, block in found]


COMMANDS = [
    line.removeprefix("$ ")
    for page in PAGES
    for block in blocks("console", page)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("$ ")
]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_exists(command: str, tmp_path: Path) -> None:
    words = shlex.split(command)
    if words[0] == "avatar":
        _parse(words[1:], tmp_path)
    elif words[:2] == ["python", "-m"]:
        assert (ROOT / "src" / Path(*words[2].split("."))).with_suffix(".py").exists()
    elif words[:2] == ["pip", "install"]:
        extras = set(words[2].partition("[")[2].rstrip("]").split(","))
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert extras <= project["optional-dependencies"].keys()
    else:
        assert words[0] in ("kubectl", "protoc", "make", "sox", "opentelemetry-instrument")
        for word in words[1:]:
            if word.startswith(("deploy/", "examples/")) and "/build/" not in word:
                assert (ROOT / word).exists()


def _parse(words: list[str], folder: Path) -> None:
    """Read a command line as ``avatar`` does, and stop before doing anything."""
    command: Any = typer.main.get_command(app)
    for name in ("avatars", "photo.jpg"):
        (folder / name).touch()
    words = [str(folder / word) if word in ("avatars", "photo.jpg") else word for word in words]
    with command.make_context("avatar", words[:1], resilient_parsing=True):
        chosen = command.commands[words[0]]
    chosen.make_context(words[0], words[1:])


def test_the_settings_are_all_there_with_what_they_usually_are() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .+ \|$", TEXT, re.M)
    found = {name: usual for name, usual in rows if not name.startswith("avatar_")}
    assert list(found) == [field.name for field in dataclasses.fields(ServerConfig)]
    for field in dataclasses.fields(ServerConfig):
        usual = tomllib.loads(f"x = {found[field.name]}")["x"] if found[field.name] else None
        assert usual == field.default, field.name


def test_the_example_of_a_file_is_settings(tmp_path: Path) -> None:
    (block,) = blocks("toml")
    path = tmp_path / "serve.toml"
    path.write_text(block)
    config = load_config(path, environment={})
    assert config.warnings() == []


def test_the_metrics_are_all_there() -> None:
    named = set(re.findall(r"`(avatar_\w+?)(?:_total)?(?:\{\w+\})?`", TEXT))
    exist = {family.name for family in PrometheusMetrics().registry.collect()}
    assert named == exist


class _Enough(Exception):  # noqa: N818
    """The example goes on for as long as there are frames."""


def test_the_example_in_python_runs(
    server: Running, voice: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = blocks("python")
    hello = ROOT / "examples" / "hello.wav"
    code = block.replace("127.0.0.1:50051", server.address).replace(
        "examples/hello.wav", str(hello)
    )
    monkeypatch.chdir(tmp_path)
    seen = []

    def show(image: Any, audio: Any) -> None:
        seen.append(image)
        if len(seen) == 5:
            raise _Enough

    # A clip of the whole recording takes its time; a word is as good here.
    code = code.replace(f'"{hello}"', "(sound, rate)")
    names = {"show": show, "chunk": voice, "sound": voice, "rate": RATE}
    with pytest.raises(_Enough):
        exec(code, names)
    assert (tmp_path / "hello.mp4").stat().st_size > 1000
    assert seen[0].ndim == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_sizing_is_that_of_the_benchmarks() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "server.json").read_text())
    begin = TEXT.index("\n", TEXT.index(BEGIN)) + 1
    kept = TEXT[begin : TEXT.index(END)]
    assert kept == sizing(result), "run: python -m benchmarks.sizing --write"
