"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def _shared_data() -> Path | None:
    """The folder of clips, portraits and speech, where this checkout has one beside it."""
    named = os.environ.get("AVATAR_SHARED_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shared: needs the shared clips, portraits and speech")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if _shared_data() is not None:
        return
    skip = pytest.mark.skip(reason="no shared data beside this checkout (set AVATAR_SHARED_DATA)")
    for item in items:
        if "shared" in item.keywords or "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shared data folder; tests that use it skip where there is none."""
    folder = _shared_data()
    assert folder is not None
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Where cores are busy, threads that share so little work mostly wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


Start = Callable[..., Any]


@pytest.fixture(scope="session")
def interruptible() -> Start:
    """Starts a process that hears Ctrl-C even where this one does not, and that ends with us."""

    def hear() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    @contextmanager
    def start(command: list[str], **pipes: Any) -> Iterator[subprocess.Popen[Any]]:
        with subprocess.Popen(command, preexec_fn=hear, **pipes) as process:
            try:
                yield process
            finally:
                process.kill()

    return start


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return REPOSITORY
