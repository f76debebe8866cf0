"""Imports go one way, and importing the package changes nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Each room may import those of its own level and of the levels above it in this list.
LEVELS = (
    {"types", "errors", "config", "ops", "weights"},
    {"media"},
    {"face", "speech"},
    {"motion", "generator"},
    {"engine"},
    {"identity"},
    {"personal"},
    {"session"},
    {"clip"},
    {"avatar"},
    {"bench", "bench_crowd", "cli", "doctor", "serving", "integrations", "provenance", "__main__"},
)
# These may import every model; only the command line may import them.
ABOVE_ALL = {"training", "evaluation"}
LEVEL_OF = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}


def sources(repository: Path) -> list[Path]:
    return sorted((repository / "src" / "avatar").rglob("*.py"))


def room_of(repository: Path, path: Path) -> str:
    first = path.relative_to(repository / "src" / "avatar").parts[0]
    return first.removesuffix(".py")


def imported_rooms(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Rooms of this package that a module uses anywhere, with the line; types only included."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name != "avatar"]
        elif isinstance(node, ast.ImportFrom) and node.module == "avatar":
            names = [f"avatar.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [f"avatar.{node.attr}"] if node.value.id == "avatar" else []
        for name in names:
            package, _, rest = name.partition(".")
            if package == "avatar":
                room = rest.split(".")[0]
                yield PUBLIC_ROOM.get(room, room), node.lineno


PUBLIC_ROOM = {
    "Audio": "types", "Frame": "types", "Landmarks": "types", "Motion": "types",
    "Avatar": "avatar", "Clip": "clip", "Identity": "identity", "Session": "session",
    "AvatarError": "errors", "load_audio": "media", "load_image": "media",
    "__version__": "types", "__file__": "types", "_native": "ops",
}  # fmt: skip


def test_every_module_has_a_place_in_the_order(repository: Path) -> None:
    rooms = {room_of(repository, path) for path in sources(repository)} - {"__init__"}
    assert rooms <= LEVEL_OF.keys() | ABOVE_ALL, "name new rooms in LEVELS and in the design"


def test_imports_go_one_way(repository: Path) -> None:
    wrong = []
    for path in sources(repository):
        room = room_of(repository, path)
        if room == "__init__":
            continue
        for target, line in imported_rooms(ast.parse(path.read_text())):
            if target in ABOVE_ALL:
                allowed = room in ABOVE_ALL or room in {"cli", "__main__"}
            else:
                allowed = room in ABOVE_ALL or LEVEL_OF[target] <= LEVEL_OF[room]
            if not allowed:
                where = path.relative_to(repository)
                wrong.append(f"{where}:{line}: {room} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_no_relative_imports(repository: Path) -> None:
    wrong = [
        f"{path.relative_to(repository)}:{node.lineno}"
        for path in sources(repository)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not wrong


_PROBE = """
import json, os, sys, threading, time, warnings
warnings.simplefilter("error")
events = []
def audit(event, arguments):
    if event.startswith(("socket.", "urllib.", "ftplib.", "http.", "subprocess.", "os.system")):
        events.append(event)
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        if not str(arguments[0]).endswith((".pyc", ".pyc.%d" % id(0))) and "__pycache__" not in str(arguments[0]):
            events.append(f"writes {arguments[0]}")
    if event == "os.putenv":
        events.append(f"sets {arguments[0]!r}")
import torch
torch_threads = torch.get_num_threads()
random = torch.random.get_rng_state().sum().item()
environment = dict(os.environ)
threads = threading.active_count()
sys.addaudithook(audit)
begin = time.perf_counter()
import avatar
seconds = time.perf_counter() - begin
if len(sys.argv) > 1:
    for name in avatar.__all__:
        getattr(avatar, name)
print(json.dumps({
    "events": events,
    "threads": threading.active_count() - threads,
    "torch_threads": torch.get_num_threads() - torch_threads,
    "random": torch.random.get_rng_state().sum().item() - random,
    "environment": environment == dict(os.environ),
    "cuda": torch.cuda.is_initialized(),
    "grad": torch.is_grad_enabled(),
    "heavy": sorted(set(sys.modules) & {"mediapipe", "av", "librosa", "grpc", "matplotlib"}),
    "seconds": seconds,
}))
"""  # noqa: E501


def test_importing_has_no_side_effects() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    seen = json.loads(done.stdout)
    print(f"import avatar: {1000 * seen.pop('seconds'):.0f} ms beyond torch")
    assert seen == {
        "events": [], "threads": 0, "torch_threads": 0, "random": 0, "environment": True,
        "cuda": False, "grad": True, "heavy": [],
    }  # fmt: skip


def test_naming_every_public_thing_opens_no_socket() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PROBE.replace('"error"', '"ignore"'), "all"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    network = [event for event in seen["events"] if event.startswith(("socket.", "urllib."))]
    assert network == []
    assert (seen["torch_threads"], seen["random"], seen["cuda"]) == (0, 0, False)


@pytest.mark.parametrize("module", ["avatar", "avatar.cli"])
def test_the_command_line_answers_without_the_models(module: str) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
