"""What ``Painting`` and ``views`` do, for one network's parts in a batch of pictures.

Where those leave out what would not be seen, this works it out and gives it no weight.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar.generator.batched import look
from avatar.generator.batched.flow import Chosen, Flow
from avatar.generator.batched.people import INSIDE, Held
from avatar.generator.inside import Inside, opening_edge
from avatar.generator.networks import paint_window
from avatar.generator.painting import SOME_MORE
from avatar.generator.parts import Part, Placement, share
from avatar.generator.views import (
    FAR,
    FLOW_NODES,
    LEAST,
    NEAR,
    PREFERRED,
    SHARPNESS,
    apart,
    paint_share,
)
from avatar.ops import signed_distance


class Scene(NamedTuple):
    """A batch of pictures in the making.

    Attributes:
        held: what is held of each person.
        target: ``[B, 478, 2]`` landmarks of the frames.
        positions: ``[B, 2, nodes, nodes]`` pixels of the photo that the nodes are shown from.
    """

    held: Held
    target: Tensor
    positions: Tensor


class Told(NamedTuple):
    """What the decoder is told, as in ``Painting``, with an axis for the people before the parts;
    and how much of its paint is laid on, ``[B, parts, 1, 1, 1]``, where a photo shows the inside of
    the only part, ``[B, 1, S, S]``, and how much of the photo is given up, ``[B, parts, 1, S, S]``.
    """

    warped: Tensor
    outlines: Tensor
    numbers: Tensor
    style: Tensor
    features: Tensor
    shares: Tensor
    kept: Tensor | None = None
    replaced: Tensor | None = None


class Parts(nn.Module):
    """The parts that one network paints.

    Args:
        group: the parts.
        decoder: of these parts, on the device.
        views: how many photos show them, beside each other; 0 for one photo alone.
    """

    def __init__(self, group: tuple[Part, ...], decoder: nn.Module, *, views: int) -> None:
        super().__init__()
        self._group = group
        self._size = group[0].size
        self._views = views
        self._decoder = decoder
        self._dtype = next(decoder.parameters()).dtype
        self._anchors = nn.ModuleList(Chosen(part.anchor) for part in group)
        self._numbers = nn.ModuleList(Chosen(part.points) for part in group)
        self._outlines = nn.ModuleList(
            nn.ModuleList(Chosen(outline) for outline in part.outlines) for part in group
        )
        self._likeness = nn.ModuleList(Chosen(part.likeness) for part in group)
        self._flow = Flow()

    def forward(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Paint ``[B, parts, 4, S, S]`` as in ``ops.Layer``, and what takes a pixel (x, y, 1) to
        its place in the paint, from -1 to 1: ``[B, parts, 2, 3]``.
        """
        places = [
            _placed(part, scene.target, anchor)
            for part, anchor in zip(self._group, self._anchors, strict=True)
        ]
        told = self._tell(scene, places)
        answer = self._decoder(*(each.flatten(0, 1).to(self._dtype) for each in told[:5]))
        residual = answer.float().view_as(told.warped)
        return self._paint(scene.held, told, residual), torch.stack(
            [_to_patch(p) for p in places], 1
        )

    def _tell(self, scene: Scene, places: list[Placement]) -> Told:
        held, target, source = scene.held, scene.target, scene.held["points"]
        name = self._group[0].name
        warped, outlines, numbers, carried = [], [], [], []
        kept = None
        for k, (part, place) in enumerate(zip(self._group, places, strict=True)):
            found = _in_photo(place.grid(self._size // 6), scene)
            warped.append(_cut(held, found, self._size))
            own = _placed(part, source, self._anchors[k]).grid_to_patch(found)
            features = held[f"{name}.features"][:, k]
            carried.append(sampled(features, _enlarged(own, features.shape[-1])))
            local = place.to_patch(target)
            maps = [signed_distance(ring(local), self._size // 2) for ring in self._rings(k)]
            outlines.append(torch.stack(maps, 1))
            numbers.append(self._numbers[k](local).flatten(1))
            if part.opening is not None:
                inside = Inside(**{what: held[f"inside.{what}"] for what in INSIDE})
                lips = self._rings(k)[0](local)
                shown_from, known, hidden = inside.places(lips)
                seen = sampled(inside.patches, shown_from)
                edge = opening_edge(maps[0][:, None]) * (1.0 - hidden)
                warped[k], kept = inside.mixed(warped[k], seen, known, edge, lips)
        shares = torch.stack([share(part, target, source) for part in self._group], 1)
        told = Told(
            torch.stack(warped, 1), torch.stack(outlines, 1), torch.stack(numbers, 1),
            held[f"{name}.style"], torch.stack(carried, 1), shares[..., None, None, None],
            kept,
        )  # fmt: skip
        return self._blend(scene, places, told) if self._views else told

    def _rings(self, k: int) -> nn.ModuleList:
        rings = self._outlines[k]
        assert isinstance(rings, nn.ModuleList)
        return rings

    def _paint(self, held: Held, told: Told, residual: Tensor) -> Tensor:
        warped = told.warped
        openings = [self._opening(told, k) for k in range(len(self._group))]
        painted = None if told.kept is None else 1.0 - told.kept
        if painted is not None:
            residual = residual * painted.unsqueeze(1)
        crisper = []
        for k, opening in enumerate(openings):
            patch = residual[:, k]
            if opening is not None:
                corner = self._corner(told, k)
                more = look.detail(warped[:, k] + patch, corner, held)
                within = opening if painted is None else opening * painted[:, 0]
                patch = patch + (within * more).unsqueeze(1)
            crisper.append(patch)
        colours = look.keep(warped, torch.stack(crisper, 1), held) * told.shares
        given_up = torch.zeros_like(colours[:, :, :1]) if told.replaced is None else told.replaced
        rows = []
        for k, opening in enumerate(openings):
            own = given_up[:, k, 0]
            rows.append(own if opening is None else torch.maximum(own, opening))
        given_up = torch.stack(rows, 1).unsqueeze(2)
        return torch.cat([(colours + given_up * (warped + 1.0)) * 127.5, given_up], 2)

    def _opening(self, told: Told, k: int) -> Tensor | None:  # [B, S, S]
        part = self._group[k]
        if part.opening is None:
            return None
        return opening_edge(told.outlines[:, k, part.outlines.index(part.opening), None])[:, 0]

    def _corner(self, told: Told, k: int) -> Tensor:  # [B, 2] int64
        """Upper left corner of what the opening may reach, and some more."""
        part = self._group[k]
        assert part.opening is not None
        # The points begin with the opening.
        assert part.points[: len(part.opening)] == part.opening
        lips = told.numbers[:, k].view(-1, len(part.points), 2)[:, : len(part.opening)]
        low = ((lips.amin(1) + 1.0) * (part.size / 2)).long()
        return (low - SOME_MORE).clamp(min=0)

    def _blend(self, scene: Scene, places: list[Placement], told: Told) -> Told:
        """``views.blend``, of all photos and whatever they show."""
        held, name = scene.held, self._group[0].name
        points = held[f"{name}.views.points"]  # [B, views, parts, 478, 2]
        wanted = torch.stack([place.to_patch(scene.target) for place in places], 1)
        weights = torch.stack(
            [self._weigh(k, wanted[:, k], points[:, :, k]) for k in range(len(places))], 1
        )
        made = held[f"{name}.views.made"]
        shares = torch.stack(
            [
                paint_share(weights[:, k], made) * share(part, wanted[:, k], points[:, 0, k])
                for k, part in enumerate(self._group)
            ], 1,
        )  # fmt: skip
        warped, features = [], []
        for k in range(len(places)):
            first = weights[:, k, 0].view(-1, 1, 1, 1)
            patch, feature = told.warped[:, k] * first, told.features[:, k] * first
            for v in range(1, self._views):
                more = self._seen_by(held, v, k, wanted[:, k])
                weight = weights[:, k, v].view(-1, 1, 1, 1)
                patch, feature = patch + weight * more[0], feature + weight * more[1]
            warped.append(patch)
            features.append(feature)
        borders = told.outlines[:, :, -1:]
        window = paint_window(borders.flatten(0, 1)).view_as(told.warped[:, :, :1])
        blended = told.warped + window * (torch.stack(warped, 1) - told.warped)
        each = weights.transpose(1, 2).unsqueeze(3)
        style = (each * held[f"{name}.views.style"]).sum(1)  # einsum copies in larger batches
        return Told(
            blended, told.outlines, told.numbers, style, torch.stack(features, 1),
            shares[..., None, None, None], told.kept,
            window * (1.0 - weights[:, :, :1, None, None]),
        )  # fmt: skip

    def _weigh(self, k: int, wanted: Tensor, seen: Tensor) -> Tensor:
        """``views.weigh`` of one part: ``[B, 478, 2]``, ``[B, views, 478, 2]`` -> [B, views]."""
        part = self._group[k]
        shapes = torch.cat([wanted.unsqueeze(1), seen], 1) * part.extent
        chosen = self._likeness[k](shapes.flatten(0, 1))
        distances = apart(chosen.view(*shapes.shape[:2], -1, 2), len(part.outlines[0]))
        near = ((FAR - distances) / (FAR - NEAR)).clamp(0.0, 1.0)
        near = near * near * (3.0 - 2.0 * near)
        first = distances[:, :1] - PREFERRED[part.name]
        weights = torch.softmax(torch.cat([first, distances[:, 1:]], 1) / -SHARPNESS[part.name], 1)
        others = torch.relu(weights[:, 1:] * near[:, 1:] - LEAST) / (1.0 - LEAST)
        return torch.cat([1.0 - others.sum(1, keepdim=True), others], 1)

    def _seen_by(self, held: Held, v: int, k: int, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Part ``k`` of photo ``v`` and its features, brought to the landmarks ``wanted``."""
        name = self._group[k].name
        line = torch.linspace(-1.0, 1.0, FLOW_NODES, device=wanted.device)
        lines = line.expand(len(wanted), -1)
        unit = wanted.new_full((len(wanted),), 1.0 / self._group[k].extent)
        source = held[f"{name}.views.points"][:, v, k]
        flow = self._flow(lines, lines, wanted, source, unit)
        found = torch.stack([flow[:, 0] + line, flow[:, 1] + line.view(-1, 1)], 1)
        patch, features = (
            held[f"{name}.views.{what}"][:, v, k] for what in ("patches", "features")
        )
        seen = [sampled(image, _enlarged(found, image.shape[-1])) for image in (patch, features)]
        return seen[0], seen[1]


def sampled(
    image: Tensor,  # [B, C, H, W] float32
    places: Tensor,  # [B, 2, h, w] from -1 to 1
) -> Tensor:  # [B, C, h, w]
    """``ops.warp`` with a node for each pixel: beyond the image its border is repeated."""
    return functional.grid_sample(
        image, places.permute(0, 2, 3, 1), padding_mode="border", align_corners=True
    )


def sampled_paint(paint: Tensor, places: Tensor) -> Tensor:
    """The same of a square beyond which there is nothing."""
    size = paint.shape[-1]
    # Zeros with aligned corners are the one case that torch leaves to cuDNN.
    places = places.permute(0, 2, 3, 1) * ((size - 1) / size)
    return functional.grid_sample(paint, places, padding_mode="zeros", align_corners=False)


def _enlarged(nodes: Tensor, size: int) -> Tensor:  # [B, 2, n, n] -> [B, 2, size, size]
    return functional.interpolate(nodes, (size, size), mode="bilinear", align_corners=True)


def _placed(part: Part, landmarks: Tensor, anchor: nn.Module) -> Placement:
    return Placement.at(part, landmarks, anchor(landmarks).mean(1))


def _in_photo(grid: Tensor, scene: Scene) -> Tensor:  # [B, 2, n, n] pixels, and in the photo
    held = scene.held
    nodes = (grid - held["corner"][..., None, None]) * held["nodes_per_pixel"][..., None, None]
    return sampled(scene.positions, nodes * (2 / (scene.positions.shape[-1] - 1)) - 1.0)


def _cut(held: Held, found: Tensor, size: int) -> Tensor:  # [B, 3, S, S] in [-1, 1]
    """The patch of the photo's copy that is seen at pixels ``found`` [B, 2, n, n] of the photo."""
    near = (found + 0.5) * held["near_scale"].view(-1, 1, 1, 1) - 0.5
    image = held["near"]
    pixels = _enlarged(near, size).clamp(min=0.0)
    # Beyond its own last pixel the picture is only filled up.
    x, y = torch.minimum(pixels, held["near_last"][..., None, None]).unbind(1)
    height, width = image.shape[-2:]
    places = torch.stack([x * (2 / (width - 1)) - 1.0, y * (2 / (height - 1)) - 1.0], 1)
    return sampled(image.float(), places).round() / 127.5 - 1.0


def _to_patch(place: Placement) -> Tensor:  # [B, 2, 3]
    axes = torch.stack([place.right, place.down], 1)
    turn = axes / axes.square().sum(2, keepdim=True)
    return torch.cat([turn, -(turn * place.centre.unsqueeze(1)).sum(2, keepdim=True)], 2)
