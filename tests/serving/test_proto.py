"""The protocol file, the stubs made of it, and what may not change in it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb


def tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: pip install {name}-bin")
    return found


@pytest.fixture
def generator(repository: Path) -> Any:
    path = repository / "proto" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_stubs_are_those_of_the_protocol(generator: Any, tmp_path: Path) -> None:
    if not generator.tools_are_here():
        pytest.skip(f"the generator is not installed: pip install grpcio-tools=={generator.TOOLS}")
    made = generator.generate(tmp_path)
    assert len(made) >= 14
    for path in made:
        kept = generator.STUBS / path.relative_to(tmp_path)
        assert kept.read_text() == path.read_text(), f"run: python proto/generate.py ({kept.name})"
    known = {path.relative_to(tmp_path) for path in made}
    for kept in generator.STUBS.rglob("*_pb2*"):
        if kept.suffix in (".py", ".pyi"):
            assert kept.relative_to(generator.STUBS) in known, f"{kept} has no .proto any more"


def test_the_protocol_is_clean(repository: Path) -> None:
    done = subprocess.run(
        [tool("buf"), "lint", "proto"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_protocol_breaks_no_client_of_the_last_commit(repository: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-tree", "HEAD", "proto/buf.yaml"], cwd=repository, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if not listed.stdout:
        pytest.skip("no commit with a protocol to compare with")
    done = subprocess.run(
        [tool("buf"), "breaking", "proto", "--against", ".git#ref=HEAD,subdir=proto"],
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


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
