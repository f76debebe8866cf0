"""Make the Python stubs anew: ``python proto/generate.py [FOLDER]``.

Needs ``grpcio-tools`` of exactly the version in ``requirements.txt``: newer generators make code
that demands a newer protobuf than this package does. That version wants an older protobuf than runs
here, so it has an environment of its own. What it writes is checked in; ``make proto`` makes it
again and compares.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROTO = Path(__file__).resolve().parent
TOOLS = (PROTO / "requirements.txt").read_text().strip().removeprefix("grpcio-tools==")
STUBS = PROTO.parent / "src" / "avatar" / "serving" / "_stubs"
PACKAGE = "avatar.serving._stubs"

_IMPORT = re.compile(r"^from ((?:avatar\.v1|a2f)) import ", re.MULTILINE)


def tools_are_here() -> bool:
    """Whether the pinned generator is installed."""
    try:
        return version("grpcio-tools") == TOOLS
    except PackageNotFoundError:
        return False


def generate(folder: Path) -> list[Path]:
    """Write the stubs of every ``.proto`` file into ``folder``; gives what was written."""
    import grpc_tools
    from grpc_tools import protoc

    builtin = Path(grpc_tools.__file__).parent / "_proto"
    names = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    services = [name for name in names if "service " in (PROTO / name).read_text()]
    include = ["protoc", f"-I{PROTO}", f"-I{builtin}"]
    if protoc.main([*include, f"--python_out={folder}", f"--pyi_out={folder}", *names]):
        raise SystemExit("protoc refused the messages")
    if protoc.main([*include, f"--grpc_python_out={folder}", *services]):
        raise SystemExit("protoc refused the services")
    written = sorted([*folder.rglob("*_pb2*.py"), *folder.rglob("*_pb2.pyi")])
    for path in written:
        # protoc names modules after the files it read, not after the package they live in.
        text = path.read_text()
        path.write_text(_IMPORT.sub(rf"from {PACKAGE}.\1 import ", text))
    return written


if __name__ == "__main__":
    if not tools_are_here():
        raise SystemExit(f"install the generator first: pip install grpcio-tools=={TOOLS}")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else STUBS
    target.mkdir(parents=True, exist_ok=True)
    for made in generate(target):
        print(made)
