"""Write a talking clip as it is made: nothing of it is held, and no half file is ever left."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from fractions import Fraction
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import av
import numpy as np

from avatar.errors import InputError, OutputError
from avatar.media._encode import (
    CONTAINERS,
    TRANSPARENT_CONTAINERS,
    Container,
    ContainerEncoder,
    Encoder,
    SequenceEncoder,
    explain,
)
from avatar.types import FloatArray, ImageArray

_MAX_SIDE = 16_384
_GIF_FPS = 100
_NUMBER = re.compile(r"%0?\d*d")


class VideoWriter:
    """A video file that grows frame by frame, in a ``with`` block.

    ============================ ==================================================
    path ends in                 written
    ============================ ==================================================
    ``.mp4 .m4v .mov .mkv``      H.264 and AAC
    ``.webm``                    VP9 and Opus
    ``.gif``                     pictures only, each with its own 256 colours
    ``/`` or a pattern like      numbered PNG files from 0, with ``audio.wav``
    ``%05d.png``                 beside them; older ones that would follow are removed
    ============================ ==================================================

    With ``alpha``, pictures have a fourth channel, which is kept in WebM (VP9), MOV (ProRes 4444)
    and PNG; other formats refuse it.

    Sound is resampled to a rate the format knows. Frames lie ``1 / fps`` apart; the sound is as
    long as what was written, and a frame written without sound gets its share of silence.
    An odd side of a 4:2:0 format is padded by one repeated row or column.

    Everything goes to a temporary name in the same folder, and only a complete clip takes the
    name asked for; an error or Ctrl-C leaves nothing behind.

    Args:
        path: where to write; an existing file is replaced at the end.
        width: of the pictures, in pixels.
        height: of the pictures, in pixels.
        fps: frames a second.
        sample_rate: of the sound that will be written; None for a silent clip.
        alpha: the pictures are RGBA, not premultiplied.

    Raises:
        OutputError: unknown suffix, or one that cannot be transparent; no such folder, no
            permission, disk full, nothing written.
        InputError: impossible size or fps; a picture or sound of another kind than announced.

    Example:
        >>> with VideoWriter("out.mp4", width=512, height=512, fps=25, sample_rate=16_000) as out:
        ...     for frame in clip:
        ...         out.write(frame.image, frame.audio.samples)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        width: int,
        height: int,
        fps: float,
        sample_rate: int | None = None,
        alpha: bool = False,
    ) -> None:
        self.path = os.fspath(path)
        if not (1 <= width <= _MAX_SIDE and 1 <= height <= _MAX_SIDE):
            raise InputError(f"video sides must be 1 to {_MAX_SIDE} pixels, got {width}×{height}")
        if not 0 < fps <= 1000:
            raise InputError(f"fps must be above 0 and at most 1000, got {fps}")
        self.width, self.height, self.sample_rate = width, height, sample_rate
        self.frames_written = self.samples_written = 0
        self._fps = Fraction(fps).limit_denominator(1001)
        self.alpha = alpha
        self._target = _target(self.path, alpha)
        if self.path.lower().endswith(".gif") and fps > _GIF_FPS:
            raise InputError(
                f"{self.path}: a GIF has at most {_GIF_FPS} frames a second, got {fps:g}; choose "
                "fewer, or another format"
            )
        self._encoder: Encoder | None = None

    def __enter__(self) -> VideoWriter:
        try:
            self._encoder = self._target.open(self)
        except BaseException as reason:
            self._target.discard()
            self._translate(reason)
            raise
        return self

    def write(self, image: ImageArray, audio: FloatArray | None = None) -> None:
        """Add one frame and the sound from it to the next.

        Args:
            image: ``[height, width, 3]`` uint8 RGB; four channels with ``alpha``.
            audio: ``[n]`` float32 at ``sample_rate``; None for silence.

        Raises:
            InputError: another size or kind of picture or sound than announced.
            OutputError: the disk is full.
        """
        if self._encoder is None:
            raise InputError(f"{self.path}: open the writer in a with block before writing")
        expected = (self.height, self.width, 4 if self.alpha else 3)
        if image.shape != expected or image.dtype != np.uint8:
            raise InputError(
                f"{self.path}: expected uint8 pictures of shape {list(expected)}, "
                f"got {image.dtype} of shape {list(image.shape)}"
            )
        if audio is not None and (audio.ndim != 1 or audio.dtype != np.float32):
            raise InputError(
                f"{self.path}: expected mono float32 sound, "
                f"got {audio.dtype} of shape {list(audio.shape)}"
            )
        if audio is not None and self.sample_rate is None and len(audio):
            raise InputError(f"{self.path}: opened without sound; give sample_rate= to write it")
        try:
            self._encoder.picture(image)
            self.frames_written += 1
            if self.sample_rate is not None:
                self._sound(self._encoder, audio, self.sample_rate)
        except (OSError, av.FFmpegError) as reason:
            self._translate(reason)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        try:
            if kind is None:
                if not self.frames_written:
                    raise OutputError(f"{self.path}: no frame was written, so no file is made")
                encoder.finish()
                self._target.keep()
        except BaseException as reason:
            kind = type(reason)
            self._translate(reason)
            raise
        finally:
            if kind is not None:
                self._abandon(encoder)

    def _sound(self, encoder: Encoder, audio: FloatArray | None, sample_rate: int) -> None:
        if audio is None:
            due = round(self.frames_written * sample_rate / self._fps)
            audio = np.zeros(max(due - self.samples_written, 0), np.float32)
        encoder.sound(audio)
        self.samples_written += len(audio)

    def _abandon(self, encoder: Encoder) -> None:
        try:
            encoder.release()
        except (OSError, av.FFmpegError):
            # What is being thrown away may fail to close; the first error is the one to show.
            pass
        finally:
            self._target.discard()

    def _translate(self, reason: BaseException) -> None:
        """Raise an ``OutputError`` for a failed write; other errors go on as they are."""
        if isinstance(reason, OutputError):
            return
        if isinstance(reason, OSError | av.FFmpegError):
            cause = reason if isinstance(reason, OSError) else OSError(str(reason))
            raise OutputError(f"{self.path}: could not be written: {explain(cause)}") from reason


def check_output(path: str | os.PathLike[str], *, alpha: bool = False) -> None:
    """Refuse what ``VideoWriter`` could not write, before anything is made to be written.

    Raises:
        OutputError: as ``VideoWriter``.
    """
    _target(os.fspath(path), alpha)


class _FileTarget:
    """One file, under a temporary name until it is complete."""

    def __init__(self, path: str, kind: Container) -> None:
        self._path = Path(path)
        self._kind = kind
        self._hidden = _hidden_beside(self._path)
        self._file: BinaryIO | None = None

    def open(self, writer: VideoWriter) -> Encoder:
        self._file = self._hidden.open("x+b")
        return ContainerEncoder(
            self._file,
            self._kind,
            width=writer.width,
            height=writer.height,
            fps=writer._fps,
            sample_rate=writer.sample_rate,
        )

    def keep(self) -> None:
        assert self._file is not None
        self._file.close()
        self._hidden.replace(self._path)

    def discard(self) -> None:
        if self._file is not None:
            # What is still buffered may not fit on a full disk; it is thrown away with the rest.
            with contextlib.suppress(OSError):
                self._file.close()
            self._hidden.unlink(missing_ok=True)


class _FolderTarget:
    """Numbered pictures, gathered in a temporary folder until they are complete."""

    def __init__(self, folder: Path, pattern: str) -> None:
        self._folder, self._pattern = folder, pattern
        self._hidden = _hidden_beside(folder)

    def open(self, writer: VideoWriter) -> Encoder:
        self._hidden.mkdir()
        return SequenceEncoder(self._hidden, self._pattern, writer.sample_rate)

    def keep(self) -> None:
        if not self._folder.exists():
            self._hidden.replace(self._folder)
            return
        pictures = len(list(self._hidden.glob("*.png")))
        for made in sorted(self._hidden.iterdir()):
            made.replace(self._folder / made.name)
        self._hidden.rmdir()
        # Pictures of a longer clip that was here before would go on after this one.
        for number in count(pictures):
            stale = self._folder / (self._pattern % number)
            if not stale.exists():
                break
            stale.unlink()

    def discard(self) -> None:
        shutil.rmtree(self._hidden, ignore_errors=True)


def _hidden_beside(path: Path) -> Path:
    return path.parent / f".{path.name}.{secrets.token_hex(4)}.part"


def _target(path: str, alpha: bool) -> _FileTarget | _FolderTarget:
    """What ``path`` asks for, refused here if it cannot be written."""
    name, suffix = Path(path).name, Path(path).suffix.lower()
    if path.endswith(("/", os.sep)):
        folder = Path(path)
        _refuse_parent(path, folder.parent)
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{path}: a file of that name is in the way; choose another folder")
        return _FolderTarget(folder, "%05d.png")
    if suffix == ".png" and _NUMBER.search(name):
        folder = Path(path).parent
        _refuse_parent(path, folder.parent)
        return _FolderTarget(folder, _single_number(path, name))
    if suffix not in CONTAINERS:
        raise OutputError(
            f"{path}: cannot tell the format from {suffix or 'no suffix'!r}; end it in "
            f"{', '.join(CONTAINERS)}, or in '/' for a folder of PNG pictures"
        )
    if alpha and suffix not in TRANSPARENT_CONTAINERS:
        raise OutputError(
            f"{path}: {suffix} cannot be transparent; end it in "
            f"{', '.join(TRANSPARENT_CONTAINERS)}, or in '/' for a folder of PNG pictures"
        )
    _refuse_parent(path, Path(path).parent)
    if Path(path).is_dir():
        raise OutputError(f"{path}: is a folder; name a file, or end it in '/' for PNG pictures")
    return _FileTarget(path, (TRANSPARENT_CONTAINERS if alpha else CONTAINERS)[suffix])


def _single_number(path: str, name: str) -> str:
    """``name`` as a pattern with one number, every other percent sign kept as it is."""
    if len(_NUMBER.findall(name)) != 1:
        raise OutputError(f"{path}: give the pattern one number, such as %05d.png")
    place = _NUMBER.search(name)
    assert place is not None
    before, after = name[: place.start()], name[place.end() :]
    return before.replace("%", "%%") + place.group() + after.replace("%", "%%")


def _refuse_parent(path: str, parent: Path) -> None:
    if not parent.is_dir():
        raise OutputError(f"{path}: there is no folder {parent}; create it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: no permission to write in {parent}; choose another folder")
