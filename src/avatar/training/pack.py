"""A training folder as few and small files: to carry to a machine that has no video decoder.

    python -m avatar.training.pack FACES --out .pack --megabytes 32

``avatar train generator --data .pack`` then reads it like the folder. Of each person as many frames
are taken as of the others, in pairs of neighbouring moments spread from the most closed to the
widest mouth, as aligned JPEG pictures; people held out get a tenth of the room.

A shard ``faces_<k>.npz`` holds: ``jpeg`` (uint8, all pictures in a row) and ``ends`` [N] of each,
``landmarks`` [N, 478, 2] uint16 in hundredths of a pixel from -64, ``filmed`` [N], and of each clip
``names``, ``identities``, ``held_out`` and ``counts``.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from avatar.errors import InputError
from avatar.generator.warping import INNER_LIPS, distance

PATTERN = "faces_*.npz"
SHARD_BYTES = 15 * 2**20

_FROM, _PER_PIXEL = -64.0, 100.0
_HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class PackedClip:
    """Frames of one clip, as in ``FaceClips``."""

    name: str
    identity: str
    held_out: bool
    frames: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    filmed: NDArray[np.bool_]


def write_pack(folder: Path, out: Path, *, megabytes: float, quality: int = 85) -> int:
    """Pack a training folder; gives the number of frames taken.

    Raises:
        InputError: there are no clips.
    """
    from avatar.training.faces import read_clip

    tracks = sorted(folder.glob("*.npz"))
    if not tracks:
        raise InputError(f"{folder}: no clips; make them with avatar train prepare --faces")
    budgets = _budgets(tracks, megabytes * 2**20)
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.glob(PATTERN):
        stale.unlink()
    shard, taken = _Shard(out), 0
    for path in tracks:
        clip = read_clip(path)
        pictures: dict[int, bytes] = {}
        room = budgets[path]
        for frame in _telling(clip):
            data = _jpeg(clip.frames[frame], quality)
            room -= len(data)
            if pictures and room < 0:
                break
            pictures[frame] = data
        kept = sorted(pictures)
        shard.add(clip, kept, [pictures[frame] for frame in kept])
        taken += len(kept)
    shard.close()
    return taken


def _budgets(tracks: list[Path], total: float) -> dict[Path, float]:
    """Bytes of each clip: the same for each person, shared by their clips."""
    people: dict[tuple[bool, str], list[Path]] = defaultdict(list)
    for path in tracks:
        with np.load(path) as track:
            people[bool(track["held_out"]), str(track["identity"])].append(path)
    both = len({held for held, _ in people}) == 2
    budgets = {}
    for (held, _), paths in people.items():
        share = (_HELD_OUT_SHARE if held else 1.0 - _HELD_OUT_SHARE) if both else 1.0
        alike = sum(1 for other, _ in people if other == held)
        budgets.update({path: total * share / alike / len(paths) for path in paths})
    return budgets


def _telling(clip: PackedClip) -> list[int]:
    """The frames, most telling first: the ends of the opening, then ever finer steps between; each
    with its neighbour."""
    inner = torch.from_numpy(clip.landmarks[:, INNER_LIPS])
    by_opening = distance(inner[:, 15], inner[:, 5]).argsort().tolist()
    count = len(by_opening)
    places, step = [0, count - 1], (count - 1) / 2
    while step >= 0.5:
        places += [round(place) for place in np.arange(step, count - 1, 2 * step)]
        step /= 2
    order: dict[int, None] = {}
    for place in [*places, *range(count)]:
        frame = by_opening[place]
        order[frame] = None
        order[frame + 1 if frame + 1 < count else frame - 1] = None
    return [frame for frame in order if frame >= 0]


def _jpeg(picture: NDArray[np.uint8], quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


class _Shard:
    """Collects clips and writes a file whenever one is full."""

    def __init__(self, out: Path) -> None:
        self._out, self._number = out, 0
        self._clear()

    def _clear(self) -> None:
        self._pictures: list[bytes] = []
        self._landmarks: list[NDArray[np.uint16]] = []
        self._filmed: list[NDArray[np.bool_]] = []
        self._clips: list[tuple[str, str, bool, int]] = []

    def add(self, clip: PackedClip, kept: list[int], pictures: list[bytes]) -> None:
        if sum(map(len, self._pictures)) + sum(map(len, pictures)) > SHARD_BYTES:
            self.close()
        code = ((clip.landmarks[kept] - _FROM) * _PER_PIXEL).round().clip(0, 65535)
        self._pictures += pictures
        self._landmarks.append(code.astype(np.uint16))
        self._filmed.append(clip.filmed[kept])
        self._clips.append((clip.name, clip.identity, clip.held_out, len(kept)))

    def close(self) -> None:
        if not self._clips:
            return
        names, identities, held_out, counts = zip(*self._clips, strict=True)
        np.savez(
            self._out / f"faces_{self._number:03d}.npz",
            jpeg=np.frombuffer(b"".join(self._pictures), np.uint8),
            ends=np.cumsum([len(picture) for picture in self._pictures]),
            landmarks=np.concatenate(self._landmarks), filmed=np.concatenate(self._filmed),
            names=np.array(names), identities=np.array(identities),
            held_out=np.array(held_out), counts=np.array(counts),
        )  # fmt: skip
        self._number += 1
        self._clear()


def read_pack(folder: Path) -> list[PackedClip]:
    """All clips of a pack; none where ``folder`` is no pack."""
    from concurrent.futures import ThreadPoolExecutor

    clips = []
    for path in sorted(folder.glob(PATTERN)):
        with np.load(path) as shard:
            jpeg, ends = shard["jpeg"].tobytes(), shard["ends"]
            landmarks = shard["landmarks"].astype(np.float32) / _PER_PIXEL + _FROM
            filmed = shard["filmed"]
            meta = [shard[key].tolist() for key in ("names", "identities", "held_out", "counts")]
        starts = np.concatenate([[0], ends[:-1]])
        with ThreadPoolExecutor() as pool:
            pieces = [jpeg[a:b] for a, b in zip(starts, ends, strict=True)]
            frames = list(pool.map(lambda data: np.asarray(Image.open(io.BytesIO(data))), pieces))
        at = 0
        for name, identity, held_out, count in zip(*meta, strict=True):
            own = slice(at, at + count)
            at += count
            clips.append(
                PackedClip(
                    name, identity, held_out, np.stack(frames[own]), landmarks[own], filmed[own]
                )
            )
    return clips


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faces", type=Path, help="folder written by avatar train prepare --faces")
    parser.add_argument("--out", type=Path, default=Path(".pack"))
    parser.add_argument("--megabytes", type=float, default=32.0)
    parser.add_argument("--quality", type=int, default=85)
    args = parser.parse_args()
    taken = write_pack(args.faces, args.out, megabytes=args.megabytes, quality=args.quality)
    size = sum(path.stat().st_size for path in args.out.glob(PATTERN)) / 2**20
    print(f"{taken} frames, {size:.1f} MB in {args.out}")


if __name__ == "__main__":
    main()
