"""Clips of talking people → measured tracks, and from those the generator's training folder.

    python -m avatar.training.measure CLIPS… --out TRACKS --jobs 2 --training-folder FACES

One ``<group>__<clip>.npz`` for each clip, what ``speech_data``, ``rig_people`` and ``faces`` read;
rows of frames without a face are NaN:

- ``landmarks`` ``[T, 478, 3]`` pixels, ``pts`` ``[T]`` seconds, ``fps``, ``size`` (height, width);
- ``expression`` ``[T, 52]`` in the order of ``ARKIT_NAMES``; ``blendshapes`` ``[T, 52]`` the same
  in MediaPipe's order (``_neutral`` first, no ``tongueOut``);
- ``matrix`` ``[T, 4, 4]``: the head's rotation in the axes of MediaPipe's pose matrix (x right,
  y up, z toward the camera), found by the face rig, without its place and size;
- ``audio`` ``[N]`` 16 kHz mono, empty for a silent clip, begins at ``audio_start`` seconds;
- ``identity`` and ``group``: of the ``clips.json`` (``file``, ``identity``, ``group`` of each
  clip) in a folder above the clip; without one both are the name of the clip's folder.

Only complete tracks take their name, and clips that have one are skipped: a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from avatar.config import SAMPLE_RATE
from avatar.errors import AvatarError, InputError
from avatar.face import FaceRig, MediaPipeDetector
from avatar.face.pose import matrix_from_quaternion
from avatar.media import VideoReader, load_audio
from avatar.training.speech_data import HELD_OUT
from avatar.types import ARKIT_NAMES, LANDMARK_COUNT, Face, FloatArray

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"})

_AXES = np.diag([1.0, -1.0, -1.0]).astype(np.float32)
"""Between the axes of landmarks and those of MediaPipe's pose matrix."""


@dataclass(frozen=True)
class ClipSource:
    """One clip, who is in it, and the name of its track."""

    path: Path
    identity: str
    group: str

    @property
    def name(self) -> str:
        return f"{self.group}__{self.path.stem}"


@dataclass(frozen=True)
class Measured:
    """What became of one clip.

    Attributes:
        source: the clip.
        frames: pictures in it.
        missed: of these, pictures without a face.
        dropped: why there is no track; empty if there is one.
    """

    source: ClipSource
    frames: int = 0
    missed: int = 0
    dropped: str = ""


def find_clips(places: Iterable[Path]) -> list[ClipSource]:
    """The clips named, and all videos below the folders named, sorted by the name of their track.

    Raises:
        InputError: a place does not exist, there is no clip, or two clips would share a track.
    """
    found: dict[str, ClipSource] = {}
    for place in places:
        if not place.exists():
            raise InputError(f"{place}: no such clip or folder")
        inside = (p for p in place.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
        for path in inside if place.is_dir() else [place]:
            source = _describe(path.resolve())
            other = found.setdefault(source.name, source)
            if other.path != source.path:
                both = f"{source.path} and {other.path} would both become {source.name}.npz"
                raise InputError(f"{both}; rename one of them")
    if not found:
        raise InputError("no clips there; name video files or folders that hold them")
    return [found[name] for name in sorted(found)]


def _describe(path: Path) -> ClipSource:
    for folder in path.parents:
        entry = _entries(folder).get(path)
        if entry is not None:
            return ClipSource(path, *entry)
    return ClipSource(path, path.parent.name, path.parent.name)


@cache
def _entries(folder: Path) -> dict[Path, tuple[str, str]]:
    """(identity, group) by clip, of the ``clips.json`` in ``folder``; empty where there is none."""
    path = folder / "clips.json"
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {
            (folder / entry["file"]).resolve(): (str(entry["identity"]), str(entry["group"]))
            for entry in entries
        }
    except (ValueError, TypeError, KeyError) as error:
        what = "a list of clips, each with file, identity and group"
        raise InputError(f"{path} must be {what} ({error!r})") from error


def measure_clip(source: ClipSource, out: Path) -> Measured:
    """Write the track of one clip, unless it is there; a clip that cannot be read is dropped."""
    path = out / f"{source.name}.npz"
    if path.exists():
        with np.load(path) as track:
            found = np.isfinite(track["landmarks"][:, 0, 0])
        return Measured(source, len(found), int((~found).sum()))
    try:
        track = _measure(source)
    except InputError as error:
        return Measured(source, dropped=str(error))
    frames, missed = len(track["pts"]), int(np.isnan(track["landmarks"][:, 0, 0]).sum())
    if missed == frames:
        return Measured(source, frames, missed, "no face in any frame")
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        np.savez(file, **track)
    partial.replace(path)
    return Measured(source, frames, missed)


def _measure(source: ClipSource) -> dict[str, Any]:
    rows: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    pts = []
    with VideoReader(source.path) as reader:
        for image, pts_seconds in reader:
            faces = _detector().detect(image)
            rows.append(_row(faces[0] if faces else None))
            pts.append(pts_seconds)
        landmarks, expression, matrix = (np.stack(column) for column in zip(*rows, strict=True))
        width, height = reader.size
    audio, audio_start = _sound(source.path)
    return {
        "landmarks": landmarks, "expression": expression,
        "blendshapes": np.concatenate([0 * expression[:, :1], expression[:, :-1]], 1),
        "matrix": matrix, "audio": audio, "audio_start": np.float32(audio_start),
        "pts": np.array(pts, np.float32), "fps": reader.fps, "size": np.array([height, width]),
        "identity": source.identity, "group": source.group,
    }  # fmt: skip


@cache
def _detector() -> MediaPipeDetector:
    """One for each process."""
    return MediaPipeDetector()


def _row(face: Face | None) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Landmarks, expression and pose matrix of one frame."""
    if face is None:
        lost = np.full((LANDMARK_COUNT, 3), np.nan, np.float32)
        return lost, lost[: len(ARKIT_NAMES), 0], lost[:4, :1].repeat(4, 1)
    fit = FaceRig.load().fit(face.landmarks, face.expression)
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = _AXES @ matrix_from_quaternion(fit.rotation) @ _AXES
    return face.landmarks.points, face.expression, matrix


def _sound(path: Path) -> tuple[FloatArray, float]:
    """The clip's sound and the time it begins, in seconds; no samples where it has no track."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros(0, np.float32), 0.0
        samples = load_audio(path, sample_rate=SAMPLE_RATE).samples
        first = next(container.decode(container.streams.audio[0]))
    return samples, first.time or 0.0


def measure(sources: list[ClipSource], out: Path, *, jobs: int = 1) -> Iterator[Measured]:
    """Measure clips in ``jobs`` processes; yields each as it is done."""
    out.mkdir(parents=True, exist_ok=True)
    if jobs == 1:
        yield from (measure_clip(source, out) for source in sources)
        return
    # MediaPipe's threads do not survive a fork.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(measure_clip, source, out) for source in sources]
        yield from (future.result() for future in as_completed(futures))


def write_training_folder(
    measured: list[Measured], tracks: Path, held_out: set[str], out: Path
) -> list[tuple[str, str]]:
    """Give the clips whose every frame has a face to ``faces.write_folder``; the rest with why."""
    from avatar.training.faces import write_folder

    kept = [m for m in measured if not m.dropped]
    pairs = [(m.source.path, tracks / f"{m.source.name}.npz") for m in kept if not m.missed]
    write_folder(sorted(pairs, key=lambda pair: pair[1]), held_out, out)
    why = "not for training: {} of {} frames without a face"
    return [(m.source.name, why.format(m.missed, m.frames)) for m in kept if m.missed]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure faces and sound of clips.")
    parser.add_argument("clips", type=Path, nargs="+", help="videos, or folders of videos")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tracks")
    parser.add_argument("--training-folder", type=Path, help="write this folder from them too")
    held_out = "people that training shall not see (default: %(default)s)"
    parser.add_argument("--held-out", nargs="*", default=sorted(HELD_OUT), help=held_out)
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    args = parser.parse_args(arguments)
    if args.jobs < 1:
        parser.error(f"--jobs must be at least 1, got {args.jobs}")
    try:
        measured = []
        for one in measure(find_clips(args.clips), args.out, jobs=args.jobs):
            measured.append(one)
            print(f"{one.source.name}: {one.frames} frames, {one.missed} missed", flush=True)
        lost = [(one.source.name, one.dropped) for one in measured if one.dropped]
        print(f"{len(measured) - len(lost)} of {len(measured)} clips measured")
        if args.training_folder is not None:
            folder, held = args.training_folder, set(args.held_out)
            lost += write_training_folder(measured, args.out, held, folder)
    except AvatarError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for name, reason in sorted(lost):
        print(f"dropped {name}: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
