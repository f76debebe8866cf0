"""Does the mouth follow the voice? The waveform above the opening of the lips, as a plot.

    python -m avatar.evaluation.sync PHOTO speech.wav -o plot.png
    python -m avatar.evaluation.sync VIDEO [speech.wav] -o plot.png

A photo is made to say the sound, and its own landmarks are plotted. In a video the landmarks are
measured; without a sound file its own track is taken. Needs matplotlib (the ``test`` extra).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatar import Audio, Avatar, AvatarError, load_audio
from avatar.errors import DependencyError, ImageError, OutputError, VideoError
from avatar.evaluation.lips import lag, lip_opening, loudness
from avatar.face import MediaPipeDetector
from avatar.media import VideoReader
from avatar.types import FloatArray

_VIDEOS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif"}


@dataclass(frozen=True, eq=False)
class Track:
    """The mouth over time, and the sound.

    Attributes:
        opening: ``[T]`` inner-lip distance over face height; NaN where no face was found.
        fps: frames a second.
        audio: the sound.
    """

    opening: FloatArray
    fps: float
    audio: Audio

    def lag(self) -> tuple[float, float]:
        """``(offset_seconds, correlation)`` of the mouth with the root of the loudness.

        A rough figure: on clips of real speakers the median offset is 0, the correlation 0.6.
        """
        sound = np.sqrt(loudness(self.audio, len(self.opening), self.fps))
        return lag(np.nan_to_num(self.opening), sound, self.fps)


def spoken(photo: Path, audio: Path, *, seed: int = 0) -> Track:
    """The mouth of ``photo`` as this package makes it say ``audio``."""
    clip = Avatar.from_image(photo).speak(audio, seed=seed)
    opening = np.array([lip_opening(frame.landmarks) for frame in clip], np.float32)
    return Track(opening, clip.info.fps, load_audio(audio))


def measured(video: Path, audio: Path | None = None) -> Track:
    """The mouth of the largest face in ``video``, by the default detector."""
    detector = MediaPipeDetector()
    opening: list[float] = []
    with VideoReader(video) as reader:
        for image, _ in reader:
            faces = detector.detect(image)
            opening.append(lip_opening(faces[0].landmarks) if faces else np.nan)
        fps = reader.fps
    if not np.isfinite(opening).any():
        raise VideoError(f"{video}: no face found in any frame; give a video of a person speaking")
    return Track(np.array(opening, np.float32), fps, load_audio(audio or video))


def plot(track: Track, title: str) -> Any:
    """A matplotlib figure of the waveform above the opening."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise DependencyError("the plot needs matplotlib; pip install matplotlib") from None
    offset_seconds, correlation = track.lag()
    figure = Figure(figsize=(12, 4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    rate = track.audio.sample_rate
    above.plot(np.arange(len(track.audio.samples)) / rate, track.audio.samples, linewidth=0.3)
    above.set_ylabel("sound")
    above.set_title(
        f"{title}: mouth {1000 * offset_seconds:+.0f} ms after the sound, r = {correlation:.2f}"
    )
    below.plot(np.arange(len(track.opening)) / track.fps, track.opening, marker=".", markersize=3)
    below.set_ylabel("lip opening / face height")
    below.set_xlabel("seconds")
    below.set_ylim(bottom=0)
    return figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code."""
    parser = argparse.ArgumentParser("avatar.evaluation.sync", description=__doc__)
    parser.add_argument("source", type=Path, metavar="VIDEO|PHOTO")
    parser.add_argument("audio", type=Path, nargs="?")
    parser.add_argument("-o", "--output", required=True, type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        if given.source.suffix.lower() in _VIDEOS:
            track = measured(given.source, given.audio)
        elif given.audio is None:
            raise ImageError(f"{given.source}: a photo needs a sound file to say beside it")
        else:
            track = spoken(given.source, given.audio, seed=given.seed)
        figure = plot(track, given.source.name)
        _save(figure, given.output)
    except AvatarError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    offset_seconds, correlation = track.lag()
    print(f"{given.output}: offset {1000 * offset_seconds:+.0f} ms, correlation {correlation:.3f}")
    return 0


def _save(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as reason:
        raise OutputError(f"{path}: could not be written ({reason})") from None


if __name__ == "__main__":
    sys.exit(main())
