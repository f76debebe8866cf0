"""The lazy result of ``Avatar.speak`` and ``Avatar.mimic``."""

from __future__ import annotations

import base64
import html
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import numpy as np

from avatar.config import SessionConfig
from avatar.engine import Engine
from avatar.errors import InputError
from avatar.media import AudioSource, VideoWriter, iter_audio, read_whole
from avatar.motion import Style
from avatar.session import Likeness, Performance, Session, frame_count
from avatar.types import Audio, Frame, Motion

SourceT = TypeVar("SourceT")

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
    """A person saying or doing something: an iterable of ``Frame`` that is drawn while it is read.

    It can be iterated again; each time is drawn afresh and gives the same pixels. Neither the
    sound nor the frames are held in memory. Made by ``Avatar.speak`` and ``Avatar.mimic``.

    Args:
        info: what it will be.
        frames: draws it from the beginning.
    """

    def __init__(self, info: ClipInfo, frames: Callable[[], Iterator[Frame]]) -> None:
        self.info = info
        self._frames = frames

    def __len__(self) -> int:
        return self.info.frames

    def __iter__(self) -> Iterator[Frame]:
        return self._frames()

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


def spoken(
    audio: AudioSource,
    *,
    engine: Engine,
    likeness: Likeness,
    config: SessionConfig,
    style: Style,
) -> Clip:
    """A clip of a person saying ``audio``.

    Args:
        audio: what is said (``iter_audio``); a file object or a pipe is read once, here.
        engine: the models.
        likeness: the person, at the size to draw.
        config: frame rate and seed.
        style: how the face speaks.

    Raises:
        AudioError: the sound cannot be read, is empty, or not finite anywhere.
    """
    audio = readable_again(audio)
    # Read the sound through once: this finds its faults before anything is drawn.
    samples = sample_rate = 0
    for chunk in iter_audio(audio, chunk_seconds=_CHUNK_SECONDS):
        samples += len(chunk.samples)
        sample_rate = chunk.sample_rate
    config = replace(config, sample_rate=sample_rate)

    def frames() -> Iterator[Frame]:
        with Session(engine, likeness, config=config, style=style) as session:
            for chunk in iter_audio(audio, chunk_seconds=_CHUNK_SECONDS):
                session.push_audio(chunk)
                yield from session
            session.flush()
            yield from session

    count = frame_count(samples, sample_rate, config.fps)
    return Clip(_info(likeness, count, samples / sample_rate, config), frames)


def performed(
    motion: Motion,
    audio: AudioSource | None,
    *,
    offset_seconds: float = 0.0,
    engine: Engine,
    likeness: Likeness,
    config: SessionConfig,
) -> Clip:
    """A clip of a person whose face does what ``motion`` says.

    Args:
        motion: at the frame rate of ``config``.
        audio: the sound that goes with it, cut or filled with silence to its length; None for
            silence.
        offset_seconds: when the sound begins, from the first frame.
        engine, likeness, config: as in ``spoken``.

    Raises:
        AudioError: the sound cannot be read, or is empty.
    """
    audio = None if audio is None else readable_again(audio)
    if audio is not None:
        first = next(iter_audio(audio, chunk_seconds=_CHUNK_SECONDS))
        config = replace(config, sample_rate=first.sample_rate)

    def frames() -> Iterator[Frame]:
        sound = iter(()) if audio is None else _beginning_at(offset_seconds, audio)
        return engine.frames(Performance(likeness, motion, sound, config))

    return Clip(_info(likeness, len(motion), len(motion) / config.fps, config), frames)


def _info(likeness: Likeness, frames: int, seconds: float, config: SessionConfig) -> ClipInfo:
    portrait = likeness.portrait
    assert portrait is not None
    height, width = portrait.photo.shape[:2]
    return ClipInfo(
        frames=frames,
        duration_seconds=seconds,
        fps=config.fps,
        width=width,
        height=height,
        sample_rate=config.sample_rate,
        alpha=portrait.cutout is not None and portrait.cutout.behind is None,
    )


def _beginning_at(offset_seconds: float, audio: AudioSource) -> Iterator[Audio]:
    """The sound, after silence or without its beginning."""
    skip = 0
    for count, chunk in enumerate(iter_audio(audio, chunk_seconds=_CHUNK_SECONDS)):
        if count == 0:
            shift = round(offset_seconds * chunk.sample_rate)
            skip = max(-shift, 0)
            if shift > 0:
                yield Audio(np.zeros(shift, np.float32), chunk.sample_rate)
        samples = chunk.samples[skip:]
        skip -= len(chunk.samples) - len(samples)
        yield Audio(samples, chunk.sample_rate)


def readable_again(source: SourceT) -> SourceT | bytes:
    """``source``, or its bytes where it can be read only once."""
    if callable(getattr(source, "read", None)):
        return read_whole(cast(BinaryIO, source), InputError)
    if isinstance(source, str | os.PathLike) and Path(source).is_fifo():
        return Path(source).read_bytes()
    return source
