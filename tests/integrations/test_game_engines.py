"""The examples for game engines: compiled as far as compilers are here, and run where they can."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.integrations.peers import ROOT, tool
from tests.serving.conftest import Running, pcm16

HERE = Path(__file__).parent
UNREAL = ROOT / "examples" / "unreal"
UNITY = ROOT / "examples" / "unity" / "TalkingAvatar"

# ── Unreal ───────────────────────────────────────────────────────────────────────────────────────


def component(folder: Path) -> list[str]:
    """The command that checks the component against stand-ins of the engine."""
    sources = UNREAL / "Source" / "TalkingAvatar"
    return [
        tool("g++", "g++"), "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
        f"-I{HERE / 'unreal'}", f"-I{sources}", str(folder / "TalkingAvatarComponent.cpp"),
        str(folder / "TalkingAvatarModule.cpp"),
    ]  # fmt: skip


def test_the_unreal_component_compiles() -> None:
    subprocess.run(component(UNREAL / "Source" / "TalkingAvatar"), check=True)


def test_a_wrong_unreal_component_does_not(tmp_path: Path) -> None:
    """The stand-ins would be worth nothing if they took anything."""
    for path in (UNREAL / "Source" / "TalkingAvatar").glob("*.cpp"):
        wrong = path.read_text().replace("Mesh->SetMorphTarget(", "Mesh->SetMorph(")
        (tmp_path / path.name).write_text(wrong)
    done = subprocess.run(component(tmp_path), check=False, capture_output=True)
    assert b"SetMorph" in done.stderr


@pytest.fixture(scope="module")
def console() -> Path:
    """The stream of the Unreal example as a program, compiled; kept between runs."""
    tool("grpc_cpp_plugin", "protobuf-compiler-grpc libgrpc++-dev libprotobuf-dev")
    folder = ROOT / "build" / "unreal"
    subprocess.run(
        [tool("make", "make"), "-s", "-C", UNREAL / "console", f"OUT={folder}"], check=True
    )
    return folder / "console"


@pytest.mark.parametrize("avatar_id", ["", "eileen"])
def test_the_stream_of_unreal_gets_its_frames(
    server: Running, voice: Any, console: Path, avatar_id: str
) -> None:
    command = [console, server.address, *([avatar_id] if avatar_id else [])]
    sound = pcm16(voice)
    done = subprocess.run(command, input=sound, capture_output=True, check=True, timeout=120)
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert len(lines) == 36  # 1.2 s at 30 frames a second
    times, idle, jaw, picture, heard = zip(*lines, strict=True)
    assert [float(time) for time in times] == sorted(float(time) for time in times)
    assert set(idle) == {"0"}
    assert max(map(float, jaw)) > 0.1
    assert all((int(size) > 0) == bool(avatar_id) for size in picture)
    assert sum(map(int, heard)) == len(sound)


def test_the_stream_of_unreal_says_why_it_ended(server: Running, console: Path) -> None:
    done = subprocess.run(
        [console, server.address, "nobody"], input=bytes(320), capture_output=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"no avatar 'nobody'" in done.stderr


# ── Unity ────────────────────────────────────────────────────────────────────────────────────────


def compile_unity(sources: Path, folder: Path) -> Any:
    """Compile the example with the messages of the protocol and stand-ins of everything else."""
    subprocess.run(
        [tool("protoc", "protobuf-compiler-grpc"), f"-I{ROOT / 'proto'}", f"--csharp_out={folder}",
         "avatar/v1/avatar.proto"],
        check=True,
    )  # fmt: skip
    return subprocess.run(
        [
            tool("mcs", "mono-mcs"), "-target:library", "-langversion:7", "-warnaserror",
            # Code for compilers without ref structs, such as this one, is generated along.
            "-define:GOOGLE_PROTOBUF_REFSTRUCT_COMPATIBILITY_MODE",
            f"-out:{folder / 'example.dll'}", str(folder / "Avatar.cs"),
            *map(str, sorted((HERE / "unity").glob("*.cs"))),
            *map(str, sorted(sources.glob("*.cs"))),
        ],
        check=False, capture_output=True, text=True,
    )  # fmt: skip


def test_the_unity_example_compiles(tmp_path: Path) -> None:
    done = compile_unity(UNITY, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_unity_example_does_not(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(UNITY, sources)
    stream = sources / "AvatarStream.cs"
    stream.write_text(stream.read_text().replace("Event.Types.Type.Interrupted", "Event.Gone"))
    done = compile_unity(sources, tmp_path)
    assert "Gone" in done.stdout + done.stderr
