"""Other people's programs that tests talk to, in environments of their own (``make peers``)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def peer(name: str, program: str = "python") -> Path:
    """A program of the peer ``name``; where it was not installed, the test is skipped."""
    found = ROOT / "build" / "peers" / name / "bin" / program
    if not (found.parent.parent / ".ready").exists():
        pytest.skip(f"{name} is not here: make peers")
    return found


def tool(name: str, package: str) -> str:
    """A program of the system; where it was not installed, the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here: apt install {package}")
    return found
