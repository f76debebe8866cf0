"""What lies in the repository: no path of anyone's machine, weights that match their records."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

TEXT = {
    ".py", ".md", ".toml", ".txt", ".json", ".cfg", ".yml", ".yaml", ".proto", ".h", ".cpp",
    ".cu", ".cuh", ".cmake", ".sh", "",
}  # fmt: skip
LOCAL = re.compile(r"(?<![\w.:/])/(?:work|home|root|Users|mnt)/[\w.-]+")
MEGABYTE = 1 << 20


def tracked(repository: Path) -> list[Path]:
    """Files that git has or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(command, cwd=repository, capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    names = done.stdout.decode().split("\0")
    return [path for name in names if name and (path := repository / name).is_file()]


def test_no_file_names_a_path_of_this_machine(repository: Path) -> None:
    wrong = []
    for path in tracked(repository):
        if path.suffix in TEXT and path != Path(__file__):
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if LOCAL.search(line):
                    wrong.append(f"{path.relative_to(repository)}:{number}: {line.strip()[:80]}")
    assert not wrong, "\n".join(wrong)


def test_the_path_pattern_can_fail() -> None:
    assert LOCAL.search('open("/' + 'home/ann/face.jpg")')
    assert not LOCAL.search("https://example.org/home/page")


def weight_files(repository: Path) -> list[Path]:
    return sorted((repository / "src" / "avatar" / "weights").glob("*.safetensors"))


def test_there_are_weights(repository: Path) -> None:
    assert weight_files(repository)


def test_each_weight_file_matches_its_record(repository: Path) -> None:
    for path in weight_files(repository):
        record = json.loads(path.with_suffix(".json").read_text())
        assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest(), path.name


def test_weights_stay_small(repository: Path) -> None:
    total = sum(path.stat().st_size for path in (repository / "src/avatar/weights").iterdir()
                if path.is_file())  # fmt: skip
    assert total <= 25 * MEGABYTE


def test_no_weights_elsewhere_and_no_pickles(repository: Path) -> None:
    refused = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".onnx", ".tflite", ".task"}
    for path in tracked(repository):
        assert path.suffix not in refused, path
        if path.suffix == ".safetensors":
            inside = path.relative_to(repository).parts
            assert inside[:3] == ("src", "avatar", "weights") or inside[0] == "tests", path


def test_no_tracked_file_is_large(repository: Path) -> None:
    for path in tracked(repository):
        limit = 25 * MEGABYTE if path.suffix == ".safetensors" else MEGABYTE
        assert path.stat().st_size <= limit, path


def test_source_files_stay_readable(repository: Path) -> None:
    for path in (repository / "src").rglob("*.py"):
        lines = len(path.read_text().splitlines())
        assert lines <= 450, f"{path.relative_to(repository)} has {lines} lines: split it"


def test_every_example_says_where_it_comes_from(repository: Path) -> None:
    words = (repository / "examples" / "README.md").read_text()
    for path in (repository / "examples").iterdir():
        if path.name != "README.md":
            assert path.name in words
            assert path.stat().st_size <= MEGABYTE
