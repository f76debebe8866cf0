"""The lazy result of ``Avatar.speak``."""

from __future__ import annotations

import base64
import html
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from avatar.config import SessionConfig
from avatar.engine import Engine
from avatar.media import AudioSource, VideoWriter, iter_audio
from avatar.motion import Style
from avatar.session import Likeness, Session, frame_count
from avatar.types import Frame

_CHUNK_SECONDS = 0.5
_NOTEBOOK_PIXELS = 3_000_000_000
"""Pixels in all frames together that a notebook still gets inline: 2 minutes of 1024² at 25 fps."""


@dataclass(frozen=True)
class ClipInfo:
    """What a clip will be, known before any of it is drawn.

    Attributes:
        frames: how many.
        duration_seconds: of the sound.
        fps: frames a second.
        width, height: of the frames, in pixels.
        sample_rate: of the sound in the frames, in hertz: the source's own.
        alpha: whether the frames have a fourth channel.
    """

    frames: int
    duration_seconds: float
    fps: float
    width: int
    height: int
    sample_rate: int
    alpha: bool = False


class Clip:
    """A person saying something: an iterable of ``Frame`` that is drawn while it is read.

    It can be iterated again; each time is a fresh session and gives the same pixels. Neither the
    sound nor the frames are held in memory. Made by ``Avatar.speak``.

    Args:
        audio: what is said (``iter_audio``); a file object or a pipe is read once, here.
        engine: the models.
        likeness: the person, at the size to draw.
        config: frame rate and seed.
        style: how the face speaks.

    Raises:
        AudioError: the sound cannot be read, is empty, or not finite anywhere.
    """

    def __init__(
        self,
        audio: AudioSource,
        *,
        engine: Engine,
        likeness: Likeness,
        config: SessionConfig,
        style: Style,
    ) -> None:
        self._audio = _readable_again(audio)
        self._engine = engine
        self._likeness = likeness
        self._config = config
        self._style = style
        self.info = self._measure()

    def _measure(self) -> ClipInfo:
        """Read the sound through once: this finds its faults before anything is drawn."""
        samples = sample_rate = 0
        for chunk in iter_audio(self._audio, chunk_seconds=_CHUNK_SECONDS):
            samples += len(chunk.samples)
            sample_rate = chunk.sample_rate
        portrait = self._likeness.portrait
        assert portrait is not None
        height, width = portrait.photo.shape[:2]
        return ClipInfo(
            frames=frame_count(samples, sample_rate, self._config.fps),
            duration_seconds=samples / sample_rate,
            fps=self._config.fps,
            width=width,
            height=height,
            sample_rate=sample_rate,
            alpha=portrait.cutout is not None and portrait.cutout.behind is None,
        )

    def __len__(self) -> int:
        return self.info.frames

    def __iter__(self) -> Iterator[Frame]:
        config = replace(self._config, sample_rate=self.info.sample_rate)
        with Session(self._engine, self._likeness, config=config, style=self._style) as session:
            for chunk in iter_audio(self._audio, chunk_seconds=_CHUNK_SECONDS):
                session.push_audio(chunk)
                yield from session
            session.flush()
            yield from session

    def save(
        self, path: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None
    ) -> Path:
        """Draw the clip and write it with its sound; the suffix names the container.

        The file appears when it is complete; after an error or an interrupt nothing is left.

        Args:
            path: ``.mp4``, ``.webm``, ``.gif`` and what else ``avatar.media.VideoWriter`` knows;
                transparent frames need ``.webm``, ``.mov``, or ``/`` for PNG pictures.
            progress: called with (frames done, frames in all) after each frame.

        Raises:
            OutputError: no permission, no space, or no such container.
        """
        info = self.info
        with VideoWriter(
            path, width=info.width, height=info.height, fps=info.fps,
            sample_rate=info.sample_rate, alpha=info.alpha,
        ) as writer:  # fmt: skip
            for done, frame in enumerate(self, start=1):
                assert frame.image is not None
                writer.write(frame.image, frame.audio.samples)
                if progress is not None:
                    progress(done, info.frames)
        return Path(path)

    def to_bytes(self, suffix: str = ".mp4") -> bytes:
        """The clip as the content of a video file."""
        with tempfile.TemporaryDirectory() as folder:
            return self.save(Path(folder) / f"clip{suffix}").read_bytes()

    def __repr__(self) -> str:
        info = self.info
        return (
            f"<Clip {info.duration_seconds:.2f} s, {info.frames} frames, "
            f"{info.width}×{info.height} at {info.fps:g} fps>"
        )

    def _repr_html_(self) -> str:
        """The video itself, for a notebook; one too long to live inside a page is only named."""
        info = self.info
        if info.frames * info.width * info.height > _NOTEBOOK_PIXELS:
            words = f"{self!r} is too long to show here; use clip.save(path)"
            return f"<p>{html.escape(words)}</p>"
        kind = "webm" if info.alpha else "mp4"
        data = base64.b64encode(self.to_bytes(f".{kind}")).decode()
        return (
            f'<video controls width="{info.width}" src="data:video/{kind};base64,{data}"></video>'
        )


def _readable_again(audio: AudioSource) -> AudioSource:
    """``audio``, or its bytes where it can be read only once."""
    if callable(getattr(audio, "read", None)):
        return cast(BinaryIO, audio).read()
    if isinstance(audio, str | os.PathLike) and Path(audio).is_fifo():
        return Path(audio).read_bytes()
    return audio
