"""Talking faces for the generator: a folder of clips with landmarks, and batches of aligned patches
from it.

A training folder holds ``<clip>.mp4`` beside ``<clip>.npz`` (``landmarks`` [T, 478, 2] uint16 in
1/65535 of ``size``, ``identity``, ``held_out``; where some frames were made rather than filmed,
``filmed`` [T]: only those that were may be targets). All frames are aligned once and kept as uint8
in the memory of the device, so that a batch is cut, warped and augmented there without waiting for
a disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar.errors import InputError
from avatar.generator.episodes import CROP, CROP_EXTENT
from avatar.generator.warping import INNER_LIPS, LEFT_EYE, RIGHT_EYE, distance
from avatar.training.pack import PackedClip, read_pack


@dataclass(frozen=True)
class FaceClips:
    """Aligned frames of many clips.

    Attributes:
        frames: ``[N, CROP, CROP, 3]`` uint8 RGB.
        landmarks: ``[N, 478, 2]`` float32 pixels of the aligned frame.
        starts: ``[clips + 1]`` first frame of each clip, and N.
        people: ``[clips]`` index of the person of each clip.
        names: of the clips.
        mirror: ``[478]`` index of each landmark's counterpart on the other side of the face.
        filmed: ``[N]`` whether a frame may be a target.
    """

    frames: Tensor
    landmarks: Tensor
    starts: NDArray[np.int64]
    people: NDArray[np.int64]
    names: tuple[str, ...]
    mirror: Tensor
    filmed: NDArray[np.bool_]

    @classmethod
    def load(
        cls, folder: Path, *, held_out: bool, device: str = "cpu", every: int = 1
    ) -> FaceClips:
        """Read the clips of ``folder`` whose ``held_out`` mark is as asked, each ``every``-th
        frame; of a pack (``pack``), all of them.
        """
        from concurrent.futures import ThreadPoolExecutor

        clips = read_pack(folder)
        if not clips:
            paths = [p for p in sorted(folder.glob("*.npz")) if _held_out(p) == held_out]
            with ThreadPoolExecutor() as pool:
                clips = list(pool.map(lambda path: read_clip(path, every), paths))
        clips = [clip for clip in clips if clip.held_out == held_out]
        if not clips:
            raise InputError(f"{folder}: no clips with held_out={held_out}")
        identities = sorted({clip.identity for clip in clips})
        landmarks = np.concatenate([clip.landmarks for clip in clips])
        return cls(
            frames=torch.from_numpy(np.concatenate([clip.frames for clip in clips])).to(device),
            landmarks=torch.from_numpy(landmarks).to(device),
            starts=np.cumsum([0] + [len(clip.frames) for clip in clips]),
            people=np.array([identities.index(clip.identity) for clip in clips]),
            names=tuple(clip.name for clip in clips),
            mirror=torch.from_numpy(_mirror(landmarks)).to(device),
            filmed=np.concatenate([clip.filmed for clip in clips]),
        )

    def openness(self, part: str) -> NDArray[np.float32]:
        """Height over width of the mouth or the eyes, ``[N]``."""
        points = self.landmarks

        def ratio(ring: tuple[int, ...]) -> Tensor:
            x = points[:, ring]
            return (x[..., 1].amax(1) - x[..., 1].amin(1)) / (x[..., 0].amax(1) - x[..., 0].amin(1))

        if part == "mouth":
            inner = points[:, INNER_LIPS]
            openness = distance(inner[:, 15], inner[:, 5]) / distance(inner[:, 0], inner[:, 10])
        else:
            openness = torch.minimum(ratio(RIGHT_EYE), ratio(LEFT_EYE))
        return np.asarray(openness.cpu(), np.float32)


def _mirror(landmarks: NDArray[np.float32]) -> NDArray[np.int64]:
    """Pair the landmarks left to right on the mean face."""
    from scipy.optimize import linear_sum_assignment

    mean = landmarks.mean(0) - CROP / 2
    flipped = mean * np.array([-1.0, 1.0])
    apart = np.square(mean[:, None] - flipped[None]).sum(-1)
    return np.asarray(linear_sum_assignment(apart)[1], np.int64)


def _held_out(path: Path) -> bool:
    with np.load(path) as track:
        return bool(track["held_out"])


def read_clip(path: Path, every: int = 1) -> PackedClip:
    """Align each ``every``-th frame of the clip with the track ``path``."""
    with np.load(path) as file:
        track = {key: file[key] for key in file.files}
    height, width = track["size"]
    landmarks = (
        track["landmarks"].astype(np.float32) / 65535.0 * np.array([width, height], np.float32)
    )
    kept = range(0, len(landmarks), every)
    crops, aligned = [], []
    for i, image in enumerate(_read_video(path.with_suffix(".mp4"))):
        if i in kept:
            crop, points = align(image, landmarks[i])
            crops.append(crop)
            aligned.append(points)
    filmed = track.get("filmed", np.ones(len(landmarks), bool))[kept]
    return PackedClip(
        path.stem, str(track["identity"]), bool(track["held_out"]), np.stack(crops),
        np.stack(aligned), filmed,
    )  # fmt: skip


def _read_video(path: Path) -> Iterator[NDArray[np.uint8]]:
    import cv2

    video = cv2.VideoCapture(str(path))
    while (read := video.read())[0]:
        yield np.ascontiguousarray(read[1][..., ::-1], np.uint8)


def align(
    image: NDArray[np.uint8], landmarks: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Turn and scale a face to the standard crop; gives the crop and its landmarks."""
    import cv2

    right, left = landmarks[33], landmarks[263]
    across = left - right
    down = np.array([-across[1], across[0]])
    centre = (left + right) / 2 + 0.45 * down
    scale = CROP / (2 * CROP_EXTENT) / float(across @ across)
    rotation = np.stack([across, down]) * scale
    matrix = np.concatenate([rotation, (CROP / 2 - rotation @ centre)[:, None]], 1)
    crop = cv2.warpAffine(
        image, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, np.uint8), (landmarks @ rotation.T + matrix[:, 2]).astype(np.float32)


def write_folder(
    clips: list[tuple[Path, Path]], held_out: set[str], out: Path, *, crf: int = 17
) -> None:
    """Write a training folder from (clip, measured track) pairs, re-encoding video compactly.

    A track may cover a part of its clip: the half-open range ``frames``. One with lost faces is
    left out. Clips that are there already, whole and unchanged, stay.
    """
    out.mkdir(parents=True, exist_ok=True)
    for clip, track_path in clips:
        with np.load(track_path) as track:
            landmarks, (height, width) = track["landmarks"][..., :2], track["size"]
            first = int(track["frames"][0]) if "frames" in track else 0
            identity = str(track["identity"])
        if not np.isfinite(landmarks).all():
            continue
        code = (
            np.clip(landmarks / np.array([width, height]) * 65535.0, 0, 65535)
            .round()
            .astype(np.uint16)
        )
        entry = {
            "landmarks": code, "size": np.array([height, width]), "identity": np.array(identity),
            "held_out": np.array(identity in held_out),
        }  # fmt: skip
        path = out / track_path.name
        if _same(path, entry):
            continue
        # The track last, and by its name at once: what has a track is whole.
        path.unlink(missing_ok=True)
        _encode(clip, path.with_suffix(".mp4"), crf, range(first, first + len(code)))
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            np.savez_compressed(file, **entry)
        partial.replace(path)


def _same(path: Path, entry: dict[str, NDArray[np.generic]]) -> bool:
    if not path.exists():
        return False
    with np.load(path) as there:
        return all(np.array_equal(there[key], value) for key, value in entry.items())


def _encode(clip: Path, out: Path, crf: int, frames: range) -> None:
    """Write the upright frames of ``clip`` as ``out``, one pixel larger where a side is odd."""
    import av

    from avatar.media import VideoReader

    reader = VideoReader(clip)
    width, height = (side + side % 2 for side in reader.size)
    with reader, av.open(str(out), "w") as target:
        rate = Fraction(reader.fps).limit_denominator(1001)
        stream = target.add_stream(
            "libx264", rate=rate, options={"crf": str(crf), "preset": "slow"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image, _ in islice(reader, frames.start, frames.stop):
            even = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), "edge")
            target.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        target.mux(stream.encode(None))
