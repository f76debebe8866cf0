"""The protocol file, the stubs made of it, and what may not change in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb


def tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: pip install {name}-bin")
    return found


def test_the_stubs_are_those_of_the_protocol(repository: Path, tmp_path: Path) -> None:
    python = repository / "build" / "proto-tools" / "bin" / "python"
    if not (python.parent.parent / ".ready").exists():
        pytest.skip("the generator is not here: make proto")
    generator = repository / "proto" / "generate.py"
    subprocess.run([python, generator, tmp_path], check=True, stdout=subprocess.PIPE)
    stubs = repository / "src" / "avatar" / "serving" / "_stubs"
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*_pb2*.py*")}
    assert len(made) >= 14
    for path in made:
        kept, new = (stubs / path).read_text(), (tmp_path / path).read_text()
        assert kept == new, f"run: {python} proto/generate.py ({path})"
    for path in stubs.rglob("*_pb2*"):
        if path.suffix in (".py", ".pyi"):
            assert path.relative_to(stubs) in made, f"{path} has no .proto any more"


def test_the_protocol_is_clean(repository: Path) -> None:
    done = subprocess.run(
        [tool("buf"), "lint", "proto"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("since", ["HEAD", "first"])
def test_the_protocol_breaks_no_client(repository: Path, since: str) -> None:
    """Neither one of the last commit nor one of any commit since there is a protocol."""
    listed = subprocess.run(
        ["git", "log", "--format=%H", "--", "proto/buf.yaml"], cwd=repository, check=False,
        capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    if not listed:
        pytest.skip("no commit with a protocol to compare with")
    commit = listed[-1] if since == "first" else "HEAD"
    done = subprocess.run(
        [tool("buf"), "breaking", "proto", "--against", f".git#ref={commit},subdir=proto"],
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_numbers_that_clients_rely_on() -> None:
    """Written down by hand: a change here breaks every client that was ever built."""
    frame = {field.name: field.number for field in pb.Frame.DESCRIPTOR.fields}
    assert frame == {
        "utterance_id": 1, "index": 2, "time_code": 3, "idle": 4, "quality": 5, "blendshapes": 6,
        "landmarks": 7, "head_pose": 8, "visemes": 9, "video": 10, "audio": 11,
        "utterance_number": 12,
    }  # fmt: skip
    request = {field.name: field.number for field in pb.StreamSpeakRequest.DESCRIPTOR.fields}
    assert request == {
        "config": 1, "audio": 2, "end_utterance": 3, "interrupt": 4, "style": 5, "sync": 6,
        "pause": 7,
    }  # fmt: skip
