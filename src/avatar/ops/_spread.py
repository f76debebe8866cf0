"""Normalised Gaussian interpolation of scattered displacements."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import _native


def spread(
    at: Tensor,  # [B, N, 2]
    points: Tensor,  # [B, K, 2]
    values: Tensor,  # [B, K, 2]
    *,
    sigma: float,
    floor: float = 0.0,
    weights: Tensor | None = None,  # [B, K], not negative
) -> Tensor:  # [B, N, 2], dtype of at
    """What ``values``, known at ``points``, are at the places ``at``.

    The mean of the values, weighted by ``weights * exp(-distance² / (2 sigma²))``; ``floor`` is the
    weight of one more value, zero, so that the result fades out far from all points
    (Nadaraya-Watson regression with a prior). Differentiable. Where all weights underflow and
    ``floor`` is 0, the result is not defined.

    Raises:
        InputError: a shape, dtype or device does not fit, sigma is not positive or floor negative.
    """
    batch = at.shape[0] if at.dim() else 0
    count = points.shape[1] if points.dim() == 3 else 0
    _check("at", at, (batch, at.shape[1] if at.dim() == 3 else 0, 2), at.device)
    _check("points", points, (batch, count, 2), at.device)
    _check("values", values, (batch, count, 2), at.device)
    if weights is not None:
        _check("weights", weights, (batch, count), at.device)
        weights = weights.to(at.dtype)
    if not sigma > 0 or floor < 0:
        raise InputError(
            f"spread: sigma must be positive and floor not negative, got {sigma} and {floor}"
        )
    points, values = points.to(at.dtype), values.to(at.dtype)
    inputs = (at, points, values) if weights is None else (at, points, values, weights)
    if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
        return spread_reference(at, points, values, weights, sigma, floor)
    return cast(Tensor, _forward(at, points, values, weights, sigma, floor))


def spread_reference(
    at: Tensor,  # [B, N, 2]
    points: Tensor,  # [B, K, 2]
    values: Tensor,  # [B, K, 2]
    weights: Tensor | None,  # [B, K]
    sigma: float,
    floor: float,
) -> Tensor:  # [B, N, 2]
    """The specification, in plain torch, whose autograd is the gradient."""
    squared = (at.unsqueeze(2) - points.unsqueeze(1)).square().sum(-1)
    kernel = torch.exp(squared * (-0.5 / sigma**2))
    if weights is not None:
        kernel = kernel * weights.unsqueeze(1)
    return kernel @ values / (kernel.sum(-1, keepdim=True) + floor)


def _check(name: str, tensor: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    if tensor.shape != shape or not tensor.is_floating_point() or tensor.device != device:
        raise InputError(
            f"spread: {name} must be {list(shape)} floats on {device}, "
            f"got {list(tensor.shape)} {tensor.dtype} on {tensor.device}"
        )


def _run(
    at: Tensor,
    points: Tensor,
    values: Tensor,
    weights: Tensor | None,
    sigma: float,
    floor: float,
) -> Tensor:
    kernels = kernels_for(at)
    if kernels is None or at.numel() == 0:
        return spread_reference(at, points, values, weights, sigma, floor).contiguous()
    at, points, values = at.contiguous(), points.contiguous(), values.contiguous()
    weights = None if weights is None else weights.contiguous()
    out = torch.empty_like(at)
    arguments = (
        at.shape[0], at.shape[1], points.shape[1], at.data_ptr(), points.data_ptr(),
        values.data_ptr(), 0 if weights is None else weights.data_ptr(), out.data_ptr(),
        sigma, floor,
    )  # fmt: skip
    if at.is_cpu:
        kernels.spread(*arguments, torch.get_num_threads())
    else:
        with _native.on_device_of(at):
            kernels.spread(*arguments, _native.stream(at))
    return out


def kernels_for(places: Tensor) -> Any | None:
    """The module whose kernels spread over ``places``, or None."""
    if places.dtype != torch.float32:
        return None
    if places.is_cpu:
        return _native.cpu_kernels()
    return _native.cuda_kernels() if places.is_cuda else None


def _run_fake(
    at: Tensor,
    points: Tensor,
    values: Tensor,
    weights: Tensor | None,
    sigma: float,
    floor: float,
) -> Tensor:
    return torch.empty_like(at, memory_format=torch.contiguous_format)


_forward = _native.operator(
    "spread",
    "(Tensor at, Tensor points, Tensor values, Tensor? weights, float sigma, float floor)"
    " -> Tensor",
    _run,
    _run_fake,
)
