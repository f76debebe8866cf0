"""A whole picture in one pass: the photo, its region warped, and what is painted over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import _native
from avatar.ops._warp import warp_reference

Region = tuple[int, int, int, int]
"""Left, top, right, bottom in whole pixels; half-open."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Something painted over a picture.

    Attributes:
        paint: ``[4, S, S]`` float32: what to add to red, green and blue in levels of 255, and the
            share, 0 to 1, of what lies below that is given up first. Zero outside.
        to_paint: ``[2, 3]`` float32: ``to_paint @ (x, y, 1)`` is the place in ``paint``, column
            then row, that lies on pixel (x, y); pixel centres are at integers in both.
    """

    paint: Tensor
    to_paint: Tensor


def compose(
    photo: Tensor,  # [H, W, 3] uint8
    positions: Tensor,  # [2, rows, columns] float32, (x, y) in pixels of the photo
    region: Region,
    layers: Sequence[Layer] = (),
) -> Tensor:  # [H, W, 3] uint8, new
    """The photo with its ``region`` warped and painted over.

    Inside the region each pixel shows the photo's place that ``positions`` gives (their nodes span
    the region; ``warp`` with its border repeated), rounded to a byte; then each layer in turn is
    sampled bilinearly and laid on, and the result rounded again. Where a number is NaN the byte
    is 0. Not differentiable: training composes patches, never pictures.

    Raises:
        InputError: a shape or dtype does not fit, or the region leaves the photo.
    """
    place = photo.device
    height, width = photo.shape[:2] if photo.dim() == 3 else (0, 0)
    _check("photo", photo, (height, width, 3), torch.uint8, place)
    nodes = tuple(positions.shape[1:]) if positions.dim() == 3 else (0, 0)
    _check("positions", positions, (2, *nodes), torch.float32, place)
    left, top, right, bottom = region
    if not (0 <= left <= right <= width and 0 <= top <= bottom <= height):
        raise InputError(f"compose: region {region} does not lie in a photo of {width} × {height}")
    if right > left and bottom > top and 0 in nodes:
        raise InputError(f"compose: positions hold no node, got {list(positions.shape)}")
    for layer in layers:
        size = layer.paint.shape[-1] if layer.paint.dim() else 0
        _check("paint", layer.paint, (4, size, size), torch.float32, place)
        _check("to_paint", layer.to_paint, (2, 3), torch.float32, place)
    paints = [layer.paint for layer in layers]
    maps = [layer.to_paint for layer in layers]
    return cast(Tensor, _forward(photo, positions, list(region), paints, maps))


def compose_reference(
    photo: Tensor,  # [H, W, 3] uint8
    positions: Tensor,  # [2, rows, columns]
    region: Sequence[int],
    paints: Sequence[Tensor],  # [4, S, S] each
    maps: Sequence[Tensor],  # [2, 3] each
) -> Tensor:  # [H, W, 3] uint8
    """The specification, in plain torch."""
    left, top, right, bottom = region
    size = (bottom - top, right - left)
    out = photo.clone(memory_format=torch.contiguous_format)
    if 0 in size:
        return out
    planes = photo.permute(2, 0, 1)[None]
    under = warp_reference(planes, positions[None], size, "border")[0].to(positions.dtype)
    x, y = (torch.arange(*ends, device=photo.device) for ends in ((left, right), (top, bottom)))
    across, down = torch.meshgrid(x, y, indexing="xy")
    pixels = torch.stack([across, down, torch.ones_like(down)])
    for paint, to_paint in zip(paints, maps, strict=True):
        if paint.numel() == 0:
            continue
        places = torch.einsum("ik,khw->ihw", to_paint, pixels.to(to_paint.dtype))
        laid = warp_reference(paint[None], places[None], size, "zeros")[0]
        painted = under * (1.0 - laid[3]) + laid[:3]
        under = painted.nan_to_num(0.0).round().clamp(0.0, 255.0)
    out[top:bottom, left:right] = under.to(torch.uint8).permute(1, 2, 0)
    return out


def _check(
    name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype, place: torch.device
) -> None:
    if tensor.shape != shape or tensor.dtype != dtype or tensor.device != place:
        raise InputError(
            f"compose: {name} must be {list(shape)} {dtype} on {place}, "
            f"got {list(tensor.shape)} {tensor.dtype} on {tensor.device}"
        )


def _run(
    photo: Tensor, positions: Tensor, region: list[int], paints: list[Tensor], maps: list[Tensor]
) -> Tensor:
    kernels = _kernels_for(photo, len(paints))
    if kernels is None or photo.numel() == 0:
        return compose_reference(photo, positions, region, paints, maps)
    out = _run_fake(photo, positions, region, paints, maps)
    photo, positions = photo.contiguous(), positions.contiguous()
    sizes = [paint.shape[2] for paint in paints]
    # One after the other, as a thread on the CPU likes them, or in planes, as those of a GPU do.
    paints = [paint.permute(1, 2, 0) if photo.is_cpu else paint for paint in paints]
    paints = [paint.contiguous() for paint in paints]
    all_maps = torch.stack(maps) if maps else positions.new_empty(0, 2, 3)
    arguments = (
        photo.shape[0], photo.shape[1], photo.data_ptr(), out.data_ptr(), region,
        positions.data_ptr(), positions.shape[1], positions.shape[2],
        [paint.data_ptr() for paint in paints], sizes, all_maps.data_ptr(),
    )  # fmt: skip
    if photo.is_cpu:
        kernels.compose(*arguments, torch.get_num_threads())
    else:
        with _native.on_device_of(photo):
            kernels.compose(*arguments, _native.stream(photo))
    return out


def _kernels_for(photo: Tensor, layers: int) -> Any | None:
    if photo.numel() >= 2**31:
        return None
    if photo.is_cpu:
        return _native.cpu_kernels()
    kernels = _native.cuda_kernels() if photo.is_cuda else None
    return kernels if kernels is not None and layers <= kernels.most_layers else None


def _run_fake(
    photo: Tensor, positions: Tensor, region: list[int], paints: list[Tensor], maps: list[Tensor]
) -> Tensor:
    return torch.empty_like(photo, memory_format=torch.contiguous_format)


_forward = _native.operator(
    "compose",
    "(Tensor photo, Tensor positions, SymInt[4] region, Tensor[] paints, Tensor[] maps) -> Tensor",
    _run,
    _run_fake,
)
