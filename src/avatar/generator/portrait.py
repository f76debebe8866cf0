"""What the generator keeps of one person, made once from the photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from avatar.generator.head import Head
from avatar.generator.inside import Inside
from avatar.generator.look import Look
from avatar.generator.parts import MOUTH
from avatar.generator.retouch import even_lips
from avatar.generator.views import View
from avatar.generator.warping import inter_ocular
from avatar.ops import warp
from avatar.types import FloatArray, ImageArray, Landmarks

NEAR_INTER_OCULAR = 148.0
"""Inter-ocular distance, in pixels, of the copy of the photo that the patches are cut from."""

NODE_SPACING = 0.05
"""Distance of the nodes of the dense flow, in inter-ocular distances."""

MARGIN = 1.4
"""How far around the landmarks the picture may move, in inter-ocular distances."""

FADE = 0.6
"""Over which distance inside that the motion fades out, in inter-ocular distances."""


@dataclass(frozen=True, eq=False)
class Cutout:
    """Which part of a picture is the person, and what is behind. Immutable.

    Attributes:
        share: ``[1, 1, H, W]`` uint8, how much of each pixel is the person.
        behind: ``[H, W, 3]`` float32 levels; None to leave the picture transparent there.
    """

    share: Tensor
    behind: Tensor | None

    @classmethod
    def of(cls, share: ImageArray, behind: ImageArray | None) -> Cutout:
        """Of ``[H, W]`` and ``[H, W, 3]`` bytes."""
        picture = None if behind is None else torch.from_numpy(behind.astype(np.float32))
        return cls(torch.from_numpy(share.copy())[None, None], picture)

    def resized(self, scale: float) -> Cutout:
        behind = None if self.behind is None else self.behind.numpy().astype(np.uint8)
        return Cutout.of(
            resize(self.share[0, 0].numpy(), scale),
            None if behind is None else resize(behind, scale),
        )

    def lay(
        self,
        image: Tensor,  # [H, W, 3] uint8
        positions: Tensor,  # [2, rows, columns] where the region is shown from
        region: tuple[int, int, int, int],
    ) -> Tensor:  # [H, W, 3] or, where it stays transparent, [H, W, 4] uint8
        """A frame of the person with the new background."""
        left, top, right, bottom = region
        share = self.share.clone()
        moved = warp(self.share, positions[None], (bottom - top, right - left))
        share[..., top:bottom, left:right] = moved
        flat = share[0, 0, :, :, None]
        if self.behind is None:
            return torch.cat([image, flat], 2)
        mixed = torch.lerp(self.behind, image.float(), flat.float().div_(255.0))
        return mixed.round_().to(torch.uint8)


@dataclass(frozen=True, eq=False)
class Portrait:
    """A person ready to be drawn, at one size. Immutable.

    Attributes:
        photo: ``[H, W, 3]`` uint8 RGB.
        landmarks: the face in the photo.
        expression: ``[52]`` as measured in the photo.
        styles: style vector of each painted part, by name.
        features: source features of each painted part, by name.
        region: (left, top, right, bottom) whole pixels that may change.
        near: ``[1, 3, h, w]`` uint8, the photo at the scale of the patches (never enlarged), with
            even lips.
        near_scale: pixels of ``near`` for one pixel of the photo.
        nodes: ``[1, 2, rows, columns]`` pixel positions of the flow's nodes, spanning ``region``.
        hold: ``[1, 1, rows, columns]`` share of the flow at each node: 0 on the region's border,
            but for the picture's own edges.
        planes: ``[1, 3, H, W]`` uint8, the photo.
        look: what paint must keep to.
        cutout: what to show behind the person, where that is not what the photo shows; ``photo``
            is then the person alone.
        decoders: the person's own decoders, by name of the part; the shipped ones where there are
            none.
        views: what each of several photos shows of the painted parts, by name; none for one photo.
        inside: what the photo shows between the lips; None if they are closed.
    """

    photo: ImageArray
    landmarks: Landmarks
    expression: FloatArray
    styles: dict[str, Tensor]
    features: dict[str, Tensor]
    region: tuple[int, int, int, int]
    near: Tensor
    near_scale: float
    nodes: Tensor
    hold: Tensor
    planes: Tensor
    look: Look
    cutout: Cutout | None = None
    decoders: Mapping[str, nn.Module] = field(default_factory=dict)
    views: dict[str, tuple[View, ...]] = field(default_factory=dict)
    inside: Inside | None = None

    @classmethod
    def of(
        cls,
        photo: ImageArray,
        landmarks: Landmarks,
        expression: FloatArray,
        styles: dict[str, Tensor],
        features: dict[str, Tensor],
        views: dict[str, tuple[View, ...]] | None = None,
        inside: Inside | None = None,
    ) -> Portrait:
        points = landmarks.points[:, :2]
        unit = float(np.linalg.norm(points[33] - points[263]))
        height, width = photo.shape[:2]
        low = np.floor(points.min(0) - MARGIN * unit).clip(0).astype(int)
        high = np.minimum(np.ceil(points.max(0) + MARGIN * unit).astype(int), [width, height])
        region = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        near, near_scale = near_copy(photo, unit)
        even_lips(near[0].permute(1, 2, 0).numpy(), (points + 0.5) * near_scale - 0.5)
        look = Look.of(photo, points, scale=NEAR_INTER_OCULAR / unit, size=MOUTH.size)
        nodes = _nodes(region, unit)
        photo = photo.copy()
        photo.setflags(write=False)
        return cls(
            photo, landmarks, expression, styles, features, region, near, near_scale,
            nodes, _hold(nodes, region, (width, height), FADE * unit), planes(photo), look,
            views=views or {}, inside=inside,
        )  # fmt: skip

    @cached_property
    def head(self) -> Head:
        """What moves with the face without landmarks."""
        return Head.around(self.landmarks.points)

    def shown_from(self, flow: Tensor) -> Tensor:  # [2, rows, columns] -> the same
        """Where in the photo each node is shown from, in pixels.

        Towards an edge of the picture that the head leaves, what is there is stretched: there is
        nothing to see beyond.
        """
        moved = self.hold[0] * flow
        moved *= torch.where(moved < 0.0, self.rims[0], self.rims[1])
        return moved.add_(self.nodes[0])

    @cached_property
    def rims(self) -> Tensor:
        """``[2, 2, rows, columns]``: share of what points towards the picture's low and high
        edges, of x and of y.
        """
        height, width = self.photo.shape[:2]
        far = torch.tensor([width - 1.0, height - 1.0]).view(2, 1, 1) - self.nodes[0]
        fade = FADE * float(inter_ocular(self.points))
        return _smooth_step(torch.stack([self.nodes[0], far]) / fade)

    @property
    def points(self) -> Tensor:
        """The landmarks in the photo, ``[1, 478, 2]``."""
        return torch.from_numpy(self.landmarks.points[None, :, :2])

    def resized(self, size: int) -> Portrait:
        """The same person with ``size`` pixels on the photo's longer side."""
        height, width = self.photo.shape[:2]
        scale = size / max(height, width)
        if scale == 1.0:
            return self
        photo = resize(self.photo, scale)
        actual = np.array([photo.shape[1] / width, photo.shape[0] / height, scale], np.float32)
        points = (self.landmarks.points + 0.5) * actual - 0.5
        resized = Portrait.of(
            photo, Landmarks(points), self.expression, self.styles, self.features, self.views,
            self.inside,
        )  # fmt: skip
        resized = replace(resized, decoders=self.decoders)
        if self.cutout is not None:
            resized = replace(resized, cutout=self.cutout.resized(scale))
        if scale < 1.0:
            return resized
        return replace(resized, near=self.near, near_scale=self.near_scale / float(actual[0]))


def resize(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Resample an image; shrinking averages."""
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def near_copy(photo: ImageArray, unit: float) -> tuple[Tensor, float]:
    """The photo at the scale of the patches, ``[1, 3, h, w]`` uint8, and that scale.

    Args:
        unit: inter-ocular distance in the photo, in pixels.
    """
    scale = NEAR_INTER_OCULAR / unit
    near = resize(photo, scale) if scale < 1.0 else photo
    return planes(near), near.shape[1] / photo.shape[1]


def planes(image: ImageArray) -> Tensor:
    """``[H, W, 3]`` → ``[1, 3, H, W]``, channels last; a copy."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0)


def _nodes(region: tuple[int, int, int, int], unit: float) -> Tensor:
    left, top, right, bottom = region
    columns = max(2, round((right - left) / (NODE_SPACING * unit)))
    rows = max(2, round((bottom - top) / (NODE_SPACING * unit)))
    x = torch.linspace(left, right - 1, columns).view(1, 1, -1).expand(1, rows, -1)
    y = torch.linspace(top, bottom - 1, rows).view(1, -1, 1).expand(1, -1, columns)
    return torch.stack([x, y], 1)


def _hold(
    nodes: Tensor, region: tuple[int, int, int, int], size: tuple[int, int], fade: float
) -> Tensor:
    left, top, right, bottom = region
    inside = torch.full_like(nodes[:, 0], fade)
    for ends_within, depth in (
        (left > 0, nodes[:, 0] - left),
        (top > 0, nodes[:, 1] - top),
        (right < size[0], right - 1 - nodes[:, 0]),
        (bottom < size[1], bottom - 1 - nodes[:, 1]),
    ):
        if ends_within:
            inside = torch.minimum(inside, depth)
    return _smooth_step(inside / fade).unsqueeze(1)


def _smooth_step(x: Tensor) -> Tensor:
    x = x.clamp(0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
