"""Adaptive instance normalisation with the residual and the activation fused."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from avatar.errors import InputError
from avatar.ops import _native


def adain(
    x: Tensor,  # [B, C, H, W], any memory format, channels-last is fast
    scale: Tensor,  # [B, C]
    shift: Tensor,  # [B, C]
    *,
    residual: Tensor | None = None,  # [B, C, H, W]
    negative_slope: float = 1.0,
    eps: float = 1e-5,
) -> Tensor:  # [B, C, H, W], dtype of x
    """``leaky_relu(instance_norm(x) * scale + shift + residual)``.

    The style transfer layer of Huang & Belongie 2017 (https://arxiv.org/abs/1703.06868, eq. 8)
    with biased variance over each channel's pixels. ``negative_slope=1`` is no activation,
    ``0`` is ReLU. Statistics are in float32 whatever the dtype of ``x``. NaN propagates.
    Differentiable once in x, scale, shift and residual.

    Raises:
        InputError: a shape, dtype or device does not fit, or a number is negative.
    """
    if torch.is_grad_enabled() and (
        x.requires_grad
        or scale.requires_grad
        or shift.requires_grad
        or (residual is not None and residual.requires_grad)
    ):
        scale, shift = scale.to(_statistics_dtype(x)), shift.to(_statistics_dtype(x))
        residual = None if residual is None else residual.to(x.dtype)
        y = _Adain.apply(x, scale, shift, residual, negative_slope, eps)  # type: ignore[no-untyped-call]
        return cast(Tensor, y)
    module = _native.at_once()
    y = module and module.adain_at_once(
        x, scale, shift, residual, negative_slope, eps, torch.get_num_threads()
    )
    if y is None:
        y = _forward(x, scale, shift, residual, negative_slope, eps)
    return cast(Tensor, y)


def adain_reference(
    x: Tensor,  # [B, C, H, W]
    scale: Tensor,  # [B, C]
    shift: Tensor,  # [B, C]
    residual: Tensor | None,  # [B, C, H, W]
    negative_slope: float,
    eps: float,
) -> Tensor:  # [B, C, H, W], dtype of x
    """The specification, in plain torch, of what fits."""
    wide = x.to(_statistics_dtype(x))
    variance, mean = torch.var_mean(wide, dim=(2, 3), correction=0, keepdim=True)
    gain = torch.rsqrt(variance + eps) * scale[:, :, None, None]
    y = (wide - mean) * gain + shift[:, :, None, None]
    if residual is not None:
        y = y + residual
    return F.leaky_relu(y, negative_slope).to(x.dtype)


def adain_backward_reference(
    grad: Tensor,  # [B, C, H, W], of y
    x: Tensor,  # [B, C, H, W]
    scale: Tensor,  # [B, C]
    y: Tensor | None,  # [B, C, H, W], the forward result; None if negative_slope is 1
    negative_slope: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # of x, scale, shift, residual (if y is given)
    """The gradient, in plain torch. Without an activation that of the residual is ``grad``."""
    dtype = _statistics_dtype(x)
    wide, grad = x.to(dtype), grad.to(dtype)
    if y is not None:
        grad = torch.where(y > 0, grad, grad * negative_slope)
    variance, mean = torch.var_mean(wide, dim=(2, 3), correction=0, keepdim=True)
    inverse_deviation = torch.rsqrt(variance + eps)
    normalised = (wide - mean) * inverse_deviation
    grad_shift = grad.sum((2, 3))
    grad_scale = (grad * normalised).sum((2, 3))
    pixels = x.shape[2] * x.shape[3]
    grad_x = (scale[:, :, None, None] * inverse_deviation) * (
        grad
        - grad_shift[:, :, None, None] / pixels
        - normalised * (grad_scale[:, :, None, None] / pixels)
    )
    grad_residual = x.new_empty(0) if y is None else grad.to(x.dtype)
    return grad_x.to(x.dtype), grad_scale, grad_shift, grad_residual


class _Adain(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        shift: Tensor,
        residual: Tensor | None,
        negative_slope: float,
        eps: float,
    ) -> Tensor:
        y = cast(Tensor, _forward(x, scale, shift, residual, negative_slope, eps))
        ctx.save_for_backward(x, scale, y if negative_slope != 1 else None)
        ctx.settings = negative_slope, eps
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, y = ctx.saved_tensors
        grad_x, grad_scale, grad_shift, grad_residual = _backward(grad, x, scale, y, *ctx.settings)
        if not ctx.needs_input_grad[3]:
            grad_residual = None
        elif y is None:
            grad_residual = grad
        return grad_x, grad_scale, grad_shift, grad_residual, None, None


def _statistics_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _described(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {tensor.dtype} on {tensor.device}"


def _check(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    residual: Tensor | None,
    negative_slope: float,
    eps: float,
) -> None:
    """Once for each call, and in one breath where all is well: this is a third of a small call."""
    shape, device = x.shape, x.device
    if (
        len(shape) == 4
        and x.is_floating_point()
        and scale.shape == shift.shape == shape[:2]
        and scale.device == shift.device == device
        and (residual is None or (residual.shape == shape and residual.device == device))
        and negative_slope >= 0 <= eps
    ):
        return
    if x.dim() != 4 or not x.is_floating_point():
        raise InputError(f"adain: x must be [B, C, H, W] floats, got {_described(x)}")
    for name, style in (("scale", scale), ("shift", shift)):
        if style.shape != shape[:2] or style.device != device:
            raise InputError(
                f"adain: {name} must be {list(shape[:2])} on {device} to fit x {list(shape)}, "
                f"got {_described(style)}"
            )
    if residual is not None and (residual.shape != shape or residual.device != device):
        raise InputError(
            f"adain: residual must be {list(shape)} on {device} like x, got {_described(residual)}"
        )
    raise InputError(
        f"adain: negative_slope and eps must not be negative, got {negative_slope} and {eps}"
    )


def _run(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    residual: Tensor | None,
    negative_slope: float,
    eps: float,
) -> Tensor:
    _check(x, scale, shift, residual, negative_slope, eps)
    style_dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    # Asked first because even an idle ``to`` takes as long as the rest of these checks.
    if scale.dtype != style_dtype or shift.dtype != style_dtype:
        scale, shift = scale.to(style_dtype), shift.to(style_dtype)
    if residual is not None:
        residual = residual.to(x.dtype)
    layout = _native.memory_format(x)
    x = _native.in_layout(x, layout)
    y = torch.empty_like(x, memory_format=layout)
    if x.numel() == 0:
        return y
    call = _native.cpu_call(x)
    kernels = _native.cuda_kernels_for(x) if call is None else None
    if call is None and kernels is None:
        return y.copy_(adain_reference(x, scale, shift, residual, negative_slope, eps))
    added = None if residual is None else _native.in_layout(residual, layout)
    scale, shift = scale.contiguous(), shift.contiguous()
    strides = x.stride()
    own = (0, strides) if added is None else (added.data_ptr(), added.stride())
    arguments = (
        layout is torch.channels_last, x.shape, x.data_ptr(), strides, *own, y.data_ptr(),
        y.stride(), scale.data_ptr(), shift.data_ptr(), negative_slope, eps,
    )  # fmt: skip
    if call is not None:
        call[0].adain(call[1], *arguments, torch.get_num_threads())
        return y
    assert kernels is not None
    with _native.on_device_of(x):
        scratch = _scratch(kernels, x, layout)
        code = _native.type_code(x)
        kernels.adain(code, *arguments, _native.stream(x), scratch.data_ptr())
    return y


def _cut(x: Tensor, layout: torch.memory_format) -> tuple[int, bool, torch.Size]:
    return _native.type_code(x), layout is torch.channels_last, x.shape


def _scratch(kernels: Any, x: Tensor, layout: torch.memory_format) -> Tensor:
    """Memory for partial sums on a GPU, to be held until the kernel is launched."""
    floats = kernels.adain_scratch(*_cut(x, layout))
    return torch.empty(floats, dtype=torch.float32, device=x.device)


def _run_fake(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    residual: Tensor | None,
    negative_slope: float,
    eps: float,
) -> Tensor:
    _check(x, scale, shift, residual, negative_slope, eps)
    return torch.empty_like(x, memory_format=_native.memory_format(x))


def _run_backward(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    y: Tensor | None,
    negative_slope: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if x.numel() == 0:
        out = _run_backward_fake(grad, x, scale, y, negative_slope, eps)
        return out[0], out[1].zero_(), out[2].zero_(), out[3]
    kernels = _native.cuda_kernels_for(x)
    if kernels is not None:
        return _run_backward_native(kernels, grad, x, scale, y, negative_slope, eps)
    found = adain_backward_reference(grad, x, scale, y, negative_slope, eps)
    layout = _native.memory_format(x)
    residual = found[3] if y is None else _native.settled(found[3], layout)
    return _native.settled(found[0], layout), found[1], found[2], residual


def _run_backward_native(
    kernels: Any,
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    y: Tensor | None,
    negative_slope: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    layout = _native.memory_format(x)
    x, grad, scale = (
        _native.in_layout(x, layout),
        _native.in_layout(grad, layout),
        scale.contiguous(),
    )
    y = None if y is None else _native.in_layout(y, layout)
    out = _run_backward_fake(grad, x, scale, y, negative_slope, eps)
    grad_x, grad_scale, grad_shift, grad_residual = (tensor.data_ptr() for tensor in out)
    with _native.on_device_of(x):
        scratch = _scratch(kernels, x, layout)
        kernels.adain_backward(
            *_cut(x, layout), grad.data_ptr(), x.data_ptr(), 0 if y is None else y.data_ptr(),
            grad_x, grad_residual, scale.data_ptr(), grad_scale, grad_shift, negative_slope, eps,
            _native.stream(x), scratch.data_ptr(),
        )  # fmt: skip
    return out


def _run_backward_fake(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    y: Tensor | None,
    negative_slope: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    grad_x = torch.empty_like(x, memory_format=_native.memory_format(x))
    grad_scale = torch.empty_like(scale, memory_format=torch.contiguous_format)
    grad_residual = x.new_empty(0) if y is None else torch.empty_like(grad_x)
    return grad_x, grad_scale, torch.empty_like(grad_scale), grad_residual


_forward = _native.operator(
    "adain",
    "(Tensor x, Tensor scale, Tensor shift, Tensor? residual, float negative_slope, float eps)"
    " -> Tensor",
    _run,
    _run_fake,
)
_backward = _native.operator(
    "adain_backward",
    "(Tensor grad, Tensor x, Tensor scale, Tensor? y, float negative_slope, float eps)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _run_backward,
    _run_backward_fake,
)
