"""Draws a person: the photo is warped at its own resolution, the decoders add what a warp cannot
know.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar.errors import InputError, WeightsError
from avatar.generator.networks import PartConfig, PartGenerator, channels_last
from avatar.generator.parts import (
    LEFT_EYE_PART,
    MOUTH,
    RIGHT_EYE_PART,
    Part,
    Placement,
    describe,
    share,
)  # fmt: skip
from avatar.generator.portrait import Portrait, near_copy
from avatar.generator.warping import inter_ocular, landmark_flow
from avatar.ops import signed_distance, warp
from avatar.types import Face, FloatArray, ImageArray
from avatar.weights import load_weights

GROUPS: tuple[tuple[Part, ...], ...] = ((MOUTH,), (RIGHT_EYE_PART, LEFT_EYE_PART))
"""Parts painted together by one network."""

_OPENING_EDGE = 8.0
"""Steepness of the edge inside which the photo's own pixels are given up."""


class Generator:
    """The networks of all parts on one device. Immutable, shared by every session."""

    def __init__(self, networks: dict[str, PartGenerator], device: str = "cpu") -> None:
        self.device = device
        self.dtype = _fast_dtype(device)
        self._embedders = {name: n.embedder.to(device).eval() for name, n in networks.items()}
        self._decoders = {
            name: channels_last(n.decoder.to(device, self.dtype)).eval()
            for name, n in networks.items()
        }
        for network in networks.values():
            network.requires_grad_(False)

    @classmethod
    def load(cls, device: str = "cpu", *, folder: Path | str | None = None) -> Generator:
        """Read the shipped weights, or those in ``folder``.

        Raises:
            WeightsError: they are missing, damaged, or do not fit the networks.
        """
        tensors, config = load_weights("generator", folder=folder)
        sizes = config.get("parts")
        wanted = {group[0].name for group in GROUPS}
        if not isinstance(sizes, dict) or set(sizes) != wanted:
            raise WeightsError(f"generator weights must hold the parts {', '.join(sorted(wanted))}")
        strangers = {key.partition(".")[0] for key in tensors} - wanted
        if strangers:
            raise WeightsError(
                f"generator weights hold unknown parts: {', '.join(sorted(strangers))}"
            )
        return cls({name: _network(name, sizes[name], tensors) for name in sizes}, device)

    @torch.inference_mode()
    def prepare(self, photos: list[tuple[ImageArray, Face]]) -> Portrait:
        """Embed a person from one or more photos; the first is the one that will be drawn.

        Raises:
            InputError: no photo was given.
        """
        if not photos:
            raise InputError("at least one photo is needed")
        styles: dict[str, list[Tensor]] = {}
        features: dict[str, Tensor] = {}
        for image, face in photos:
            points = torch.from_numpy(face.landmarks.points[None, :, :2])
            near, scale = near_copy(image, float(inter_ocular(points)))
            near_points = (points + 0.5) * scale - 0.5
            for group in GROUPS:
                name, size = group[0].name, group[0].size
                places = [Placement.of(part, near_points) for part in group]
                patches = _cut(near.float(), [place.grid() for place in places], size)
                outlines, _ = _describe(group, near_points, places)
                style, feature = self._embedders[name](
                    patches.to(self.device), outlines.to(self.device)
                )
                styles.setdefault(name, []).append(style)
                features.setdefault(name, feature)
        image, face = photos[0]
        return Portrait.of(
            image, face.landmarks, face.expression,
            styles={name: torch.stack(values).mean(0) for name, values in styles.items()},
            features=features,
        )  # fmt: skip

    @torch.inference_mode()
    def render(self, portrait: Portrait, landmarks: FloatArray) -> ImageArray:
        """Draw the person with the face at ``landmarks``.

        Args:
            landmarks: ``[478, 3]`` float32 pixels of ``portrait.photo``.

        Returns:
            ``[H, W, 3]`` uint8 RGB, the photo with the face moved; the caller's own.
        """
        target = torch.from_numpy(np.ascontiguousarray(landmarks[None, :, :2], np.float32))
        source = torch.from_numpy(portrait.landmarks.points[None, :, :2])
        nodes = portrait.nodes
        flow = landmark_flow(nodes.flatten(2).transpose(1, 2), target, source, inter_ocular(source))
        positions = nodes + portrait.hold * flow.transpose(1, 2).view_as(nodes)
        left, top, right, bottom = portrait.region
        moved = warp(portrait.planes, positions, (bottom - top, right - left))
        canvas = moved[0].permute(1, 2, 0).numpy()
        for group in GROUPS:
            self._paint(group, portrait, target, positions, canvas)
        image = portrait.photo.copy()
        image[top:bottom, left:right] = canvas
        return image

    def _paint(
        self,
        group: tuple[Part, ...],
        portrait: Portrait,
        target: Tensor,
        positions: Tensor,
        canvas: ImageArray,
    ) -> None:
        """Paint the parts of one network into ``canvas`` (the region of the portrait)."""
        name, size = group[0].name, group[0].size
        source = torch.from_numpy(portrait.landmarks.points[None, :, :2])
        shares = torch.cat([share(part, target, source) for part in group])
        if not shares.any():
            return
        placements = [Placement.of(part, target) for part in group]
        sources = [_in_photo(p.grid(size // 6), portrait, positions) for p in placements]
        near = [(s + 0.5) * portrait.near_scale - 0.5 for s in sources]
        warped = _cut(portrait.near, near, size)
        outlines, numbers = _describe(group, target, placements)
        grids = [
            Placement.of(part, source).grid_to_patch(s)
            for part, s in zip(group, sources, strict=True)
        ]
        features = portrait.features[name]
        side = features.shape[-1]
        carried = warp(
            features, (torch.cat(grids).to(self.device) + 1.0) * ((side - 1) / 2), (side, side)
        )
        residual = self._decoders[name](
            *(
                x.to(self.device, self.dtype)
                for x in (warped, outlines, numbers, portrait.styles[name], carried)
            )
        )
        paint = residual.float().cpu() * (127.5 * shares.view(-1, 1, 1, 1))
        for k, (part, place) in enumerate(zip(group, placements, strict=True)):
            keep = _opening(part, target, place) if part.opening else None
            _compose(canvas, portrait.region, place, paint[k : k + 1], warped[k : k + 1], keep)


def _network(name: str, sizes: dict[str, Any], tensors: dict[str, Tensor]) -> PartGenerator:
    known = {field.name for field in fields(PartConfig)}
    if set(sizes) != known or not all(
        type(value) is int and value >= 0 for value in sizes.values()
    ):
        raise WeightsError(
            f"generator weights: the sizes of {name} must be the integers {sorted(known)}"
        )
    prefix = f"{name}."
    own = {k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)}
    network = PartGenerator(PartConfig(**sizes))
    try:
        network.load_state_dict(own, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"generator weights of {name} do not fit: {error}") from error
    return network


def _cut(image: Tensor, grids: list[Tensor], size: int) -> Tensor:
    """The patches of ``image`` (0 to 255) under ``grids``, ``[n, 3, size, size]`` in [-1, 1]."""
    return torch.cat([warp(image, grid, (size, size)) for grid in grids]).float() / 127.5 - 1.0


def _describe(
    group: tuple[Part, ...], landmarks: Tensor, placements: list[Placement]
) -> tuple[Tensor, Tensor]:
    """``describe`` for the parts of one network, as one batch."""
    size = group[0].size // 2
    told = [describe(p, landmarks, at, size) for p, at in zip(group, placements, strict=True)]
    outlines, numbers = zip(*told, strict=True)
    return torch.cat(outlines), torch.cat(numbers)


def _in_photo(grid: Tensor, portrait: Portrait, positions: Tensor) -> Tensor:
    """Where in the photo the frame's positions ``grid`` [1, 2, n, n] are shown from."""
    left, top, right, bottom = portrait.region
    rows, columns = positions.shape[-2:]
    offset = grid.new_tensor([left, top]).view(1, 2, 1, 1)
    per_pixel = grid.new_tensor(
        [(columns - 1) / (right - left - 1), (rows - 1) / (bottom - top - 1)]
    )
    return warp(positions, (grid - offset) * per_pixel.view(1, 2, 1, 1))


def _opening(part: Part, landmarks: Tensor, placement: Placement) -> Tensor:  # [1, 1, S, S] in 0..1
    """1 where nothing of the photo can be kept: inside the lips."""
    local = placement.to_patch(landmarks)
    assert part.opening is not None
    inside = signed_distance(local[:, part.opening], part.size // 2).unsqueeze(1)
    return torch.nn.functional.interpolate(
        inside * _OPENING_EDGE, scale_factor=2.0, mode="bilinear"
    ).clamp_(0.0, 1.0)


def _compose(
    canvas: ImageArray,
    region: tuple[int, int, int, int],
    place: Placement,
    paint: Tensor,
    warped: Tensor,
    opening: Tensor | None,
) -> None:
    """Add a part's paint to the canvas, and give up the photo's detail inside the opening."""
    left, top = region[:2]
    height, width = canvas.shape[:2]
    corners = place.grid()[0].flatten(1)
    low = (corners.amin(1).floor().int() - torch.tensor([left, top])).clamp(min=0).tolist()
    high = (corners.amax(1).ceil().int() + 1 - torch.tensor([left, top])).tolist()
    x0, y0, x1, y1 = low[0], low[1], min(high[0], width), min(high[1], height)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    box = torch.tensor([[x0, x1 - 1, x0, x1 - 1], [y0, y0, y1 - 1, y1 - 1]], dtype=torch.float32).T
    local = place.to_patch((box + torch.tensor([left, top])).unsqueeze(0))
    size = paint.shape[-1]
    grid = ((local + 1.0) * ((size - 1) / 2)).transpose(1, 2).reshape(1, 2, 2, 2)
    layers = [paint] if opening is None else [paint + opening * (warped + 1.0) * 127.5, opening]
    laid = (
        warp(torch.cat(layers, 1), grid, (y1 - y0, x1 - x0), padding="zeros")[0]
        .permute(1, 2, 0)
        .numpy()
    )
    under = canvas[y0:y1, x0:x1].astype(np.float32)
    if opening is not None:
        under *= 1.0 - laid[..., 3:]
    under += laid[..., :3]
    canvas[y0:y1, x0:x1] = under.round().clip(0, 255)


def _fast_dtype(device: str) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, float32 elsewhere."""
    if device.startswith("cuda"):
        return torch.bfloat16
    probe: Any = torch.cpu
    return torch.bfloat16 if probe._is_avx512_bf16_supported() else torch.float32
