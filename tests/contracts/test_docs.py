"""The words in the repository are true: README code runs, its links and its tree exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(repository: Path, language: str) -> list[str]:
    text = (repository / "README.md").read_text()
    return [body for kind, body in BLOCK.findall(text) if kind == language]


@pytest.fixture
def folder_with_examples(repository: Path, tmp_path: Path) -> Path:
    """The examples as they are, but for the voice: its first seconds will do."""
    shutil.copytree(repository / "examples", tmp_path / "examples")
    voice = tmp_path / "examples" / "hello.wav"
    samples, rate = soundfile.read(voice)
    soundfile.write(voice, samples[: 2 * rate], rate)
    return tmp_path


def test_readme_python_runs(repository: Path, folder_with_examples: Path) -> None:
    """All Python blocks in order, as one session."""
    code = "\n".join(blocks(repository, "python"))
    assert "Avatar.from_image" in code
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder_with_examples, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for made in re.findall(r'\.save\("([^"]+)"\)', code):
        assert (folder_with_examples / made).exists(), made


def test_readme_commands_run(repository: Path, folder_with_examples: Path) -> None:
    """Each ``avatar`` command, with this interpreter; installing and ``make`` are not repeated."""
    lines = "\n".join(blocks(repository, "console")).replace("\\\n", " ").splitlines()
    commands = [line[2:] for line in lines if line.startswith("$ avatar ")]
    assert any(command.startswith("avatar speak") for command in commands)
    for command in commands:
        words = shlex.split(command, comments=True)
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=folder_with_examples, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_readme_names_the_targets_of_the_makefile(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text()
    lines = "\n".join(blocks(repository, "console")).splitlines()
    for line in lines:
        for target in re.findall(r"\bmake (\w+)", line):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_measured_figures_are_those_of_the_results(repository: Path) -> None:
    command = [sys.executable, str(repository / "docs" / "measured.py"), "--check"]
    done = subprocess.run(command, check=False)
    assert done.returncode == 0, "run: python docs/measured.py"


def documents(repository: Path) -> list[Path]:
    listed = [*repository.glob("*.md"), *(repository / "docs").rglob("*.md")]
    return [*listed, *(repository / "examples").glob("*.md")]


def test_links_lead_somewhere(repository: Path) -> None:
    for path in documents(repository):
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.relative_to(repository)}: {target}"


def test_the_tree_in_the_readme_is_the_tree(repository: Path) -> None:
    tree = next(body for body in blocks(repository, "text") if "src/avatar/" in body)
    top = ""
    for line in tree.splitlines():
        name = line.split()[0] if line.split() else ""
        if not name:
            continue
        if not line.startswith(" "):
            top = name if name.endswith("/") else ""
            place = repository / name
        else:
            place = repository / top / name
        assert place.exists(), f"{name} (under {top or 'the root'}) is not there"


def test_every_package_is_in_the_tree(repository: Path) -> None:
    tree = next(body for body in blocks(repository, "text") if "src/avatar/" in body)
    for path in sorted((repository / "src" / "avatar").iterdir()):
        if path.name.startswith(("_", ".")) or path.suffix == ".so":
            continue
        if path.is_dir() and not any(path.glob("*.py")):
            continue
        assert re.search(rf"^\s+{re.escape(path.name)}/?\s", tree, re.MULTILINE), path.name


def test_decisions_are_numbered_and_say_why(repository: Path) -> None:
    records = sorted((repository / "docs" / "decisions").glob("*.md"))
    numbers = [int(path.name[:4]) for path in records]
    assert numbers == list(range(1, len(numbers) + 1))
    for path in records:
        for heading in ("## Decision", "## Why", "## Cost"):
            assert heading in path.read_text(), f"{path.name} lacks {heading}"


def test_the_changelog_knows_this_version(repository: Path) -> None:
    from avatar import __version__

    assert f"## {__version__}" in (repository / "CHANGELOG.md").read_text()
