"""Signed distance to a polygon: an outline drawn so that a network can read it."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import _native

MOST_CORNERS = 64


def signed_distance(polygon: Tensor, size: int) -> Tensor:
    """Distance to a closed polygon at the pixel centres of the square [-1, 1]².

    Args:
        polygon: ``[B, N, 2]`` corners (right, down), 1 to 64 of them; it may cross itself.
        size: pixels on a side.

    Returns:
        ``[B, size, size]``, positive inside, times 4, clipped to [-1, 1]. Not differentiable.

    Raises:
        InputError: the shape does not fit, or ``size`` is negative.
    """
    fits = polygon.dim() == 3 and polygon.shape[2] == 2 and 1 <= polygon.shape[1] <= MOST_CORNERS
    if not fits or not polygon.is_floating_point():
        raise InputError(
            f"signed_distance: polygon must be [B, 1 to {MOST_CORNERS}, 2] floats, "
            f"got {list(polygon.shape)} {polygon.dtype}"
        )
    if size < 0:
        raise InputError(f"signed_distance: size must not be negative, got {size}")
    return cast(Tensor, _forward(polygon.detach(), size))


def signed_distance_reference(polygon: Tensor, size: int) -> Tensor:
    """The specification, in plain torch; inside is by the even-odd rule."""
    line = (torch.arange(size, device=polygon.device) + 0.5) * (2.0 / size) - 1.0
    x, y = line.to(polygon.dtype).view(1, 1, size, 1), line.to(polygon.dtype).view(1, size, 1, 1)
    a = polygon[:, None, None]
    b = a.roll(-1, dims=3)
    ax, ay, ex, ey = a[..., 0], a[..., 1], (b - a)[..., 0], (b - a)[..., 1]
    px, py = x - ax, y - ay
    along = ((px * ex + py * ey) / (ex * ex + ey * ey).clamp_min(1e-12)).clamp(0, 1)
    away = ((px - along * ex).square() + (py - along * ey).square()).amin(-1).sqrt()
    spans = (ay <= y) != (b[..., 1] <= y)
    crosses = px * ey < py * ex
    inside = (spans & (crosses == (ey > 0))).sum(-1) % 2 == 1
    return (torch.where(inside, away, -away) * 4.0).clamp(-1.0, 1.0)


def _run(polygon: Tensor, size: int) -> Tensor:
    out = _run_fake(polygon, size)
    if out.numel() == 0:
        return out
    on_cpu = polygon.device.type == "cpu" and polygon.dtype == torch.float32
    kernels = _native.cpu_kernels() if on_cpu else None
    if kernels is None:
        return out.copy_(signed_distance_reference(polygon, size))
    polygon = polygon.contiguous()
    kernels.signed_distance(
        polygon.shape[0], polygon.shape[1], size, polygon.data_ptr(), out.data_ptr(),
        torch.get_num_threads(),
    )  # fmt: skip
    return out


def _run_fake(polygon: Tensor, size: int) -> Tensor:
    return polygon.new_empty(polygon.shape[0], size, size)


_forward = _native.operator(
    "signed_distance", "(Tensor polygon, SymInt size) -> Tensor", _run, _run_fake
)
