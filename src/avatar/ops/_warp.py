"""Bilinear warping of an image by a grid of control nodes."""

from __future__ import annotations

from typing import Any, NoReturn, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from avatar.errors import InputError
from avatar.ops import _native

_PADDINGS = ("border", "zeros")
_MANY_PLANES = 16


def warp(
    image: Tensor,  # [B, C, H, W] floats or uint8, any memory format
    grid: Tensor,  # [B, 2, h, w] sampling positions (x, y) in image pixels
    size: tuple[int, int] | None = None,  # (H', W') of the output; default (h, w)
    *,
    padding: str = "border",
) -> Tensor:  # [B, C, H', W'], dtype of image
    """Sample ``image`` bilinearly where ``grid`` says.

    Pixel centres are at integers. The nodes of ``grid`` span the output from its first to its last
    pixel centre and are interpolated bilinearly between, so an affine map is a 2 × 2 grid. A
    position outside the image takes the nearest pixel of its border (``padding="border"``) or
    counts as zero (``"zeros"``). A NaN position gives NaN (0 in uint8); uint8 rounds half to even.
    Differentiable once in a floating-point image and in grid.

    Raises:
        InputError: a shape, dtype or device does not fit, or the padding is unknown.
    """
    if padding in _PADDINGS and not (
        torch.is_grad_enabled() and (image.requires_grad or grid.requires_grad)
    ):
        module = _native.at_once()
        y = module and module.warp_at_once(
            image, grid, size, padding == "border", torch.get_num_threads()
        )
        if y is not None:
            return cast(Tensor, y)
    shape, nodes = image.shape, grid.shape
    height, width = (nodes[2:] if len(nodes) == 4 else (0, 0)) if size is None else size
    # In one breath where all is well: it is a good part of what a small call costs.
    if not (
        len(shape) == len(nodes) == 4
        and (image.is_floating_point() or image.dtype == torch.uint8)
        and nodes[0] == shape[0]
        and nodes[1] == 2
        and grid.is_floating_point()
        and grid.device == image.device
        and padding in _PADDINGS
        and height >= 0 <= width
        and ((image.numel() and grid.numel()) or not shape[0] * shape[1] * height * width)
    ):
        _refuse(image, grid, (height, width), padding)
    if grid.dtype != torch.float32 or image.dtype == torch.float64:
        grid = grid.to(_position_dtype(image))
    border = padding == "border"
    if torch.is_grad_enabled() and (
        image.requires_grad or (grid.requires_grad and image.is_floating_point())
    ):
        return cast(Tensor, _Warp.apply(image, grid, height, width, border))  # type: ignore[no-untyped-call]
    return cast(Tensor, _forward(image, grid, height, width, border))


def _refuse(image: Tensor, grid: Tensor, size: tuple[int, int], padding: str) -> NoReturn:
    """Say what is wrong with the arguments of ``warp``."""
    if image.dim() != 4 or not (image.is_floating_point() or image.dtype == torch.uint8):
        raise InputError(
            f"warp: image must be [B, C, H, W] floats or uint8, got {_described(image)}"
        )
    if (
        grid.dim() != 4
        or grid.shape[0] != image.shape[0]
        or grid.shape[1] != 2
        or not grid.is_floating_point()
        or grid.device != image.device
    ):
        raise InputError(
            f"warp: grid must be [{image.shape[0]}, 2, h, w] floats on {image.device} to fit image "
            f"{list(image.shape)}, got {_described(grid)}"
        )
    if padding not in _PADDINGS:
        raise InputError(f"warp: padding must be one of {', '.join(_PADDINGS)}, got {padding!r}")
    if min(size) < 0:
        raise InputError(f"warp: size must not be negative, got {size}")
    raise InputError(
        f"warp: nothing to sample for {size[0]} x {size[1]} pixels: image is "
        f"{list(image.shape)}, grid is {list(grid.shape)}"
    )


def warp_reference(
    image: Tensor,  # [B, C, H, W]
    grid: Tensor,  # [B, 2, h, w]
    size: tuple[int, int],  # (H', W')
    padding: str,
) -> Tensor:  # [B, C, H', W'], dtype of image
    """The specification, in plain torch."""
    positions = _positions(grid, size)
    unknown = positions.isnan().any(1, keepdim=True)
    y = F.grid_sample(
        image.to(grid.dtype),
        _normalised(positions, image),
        mode="bilinear",
        padding_mode=padding,
        align_corners=False,
    ).masked_fill(unknown, 0.0 if image.dtype == torch.uint8 else torch.nan)
    return y.round().to(torch.uint8) if image.dtype == torch.uint8 else y.to(image.dtype)


def warp_backward_reference(
    grad: Tensor,  # [B, C, height, width], of y
    image: Tensor,  # [B, C, H, W]
    grid: Tensor,  # [B, 2, h, w]
    border: bool,
    needed: list[bool],  # the gradient of image, of grid
) -> tuple[Tensor, Tensor]:  # of image, of grid; empty where not needed
    """The gradient, in plain torch. Positions that are NaN pass none."""
    positions = _positions(grid, (grad.shape[2], grad.shape[3]))
    known = ~positions.isnan().any(1, keepdim=True)
    grad_image, grad_normalised = torch.ops.aten.grid_sampler_2d_backward(
        grad.to(grid.dtype) * known, image.to(grid.dtype), _normalised(positions, image),
        0, 1 if border else 0, False, needed,
    )  # fmt: skip
    grad_grid = grid.new_empty(0)
    if needed[1]:
        per_pixel = grid.new_tensor([2 / image.shape[3], 2 / image.shape[2]])
        grad_positions = (grad_normalised * per_pixel).permute(0, 3, 1, 2).contiguous()
        grad_grid = torch.ops.aten.upsample_bilinear2d_backward(
            grad_positions, grad.shape[2:], grid.shape, True, None, None
        )
    grad_image = grad_image.to(image.dtype) if needed[0] else image.new_empty(0)
    return grad_image, grad_grid


class _Warp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, image: Tensor, grid: Tensor, height: int, width: int, border: bool
    ) -> Tensor:
        ctx.save_for_backward(image, grid)
        ctx.border = border
        return cast(Tensor, _forward(image, grid, height, width, border))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        image, grid = ctx.saved_tensors
        needed = list(ctx.needs_input_grad[:2])
        grads = _backward(grad, image, grid, ctx.border, needed)
        return *(g if n else None for g, n in zip(grads, needed, strict=True)), None, None, None


def _position_dtype(image: Tensor) -> torch.dtype:
    return torch.float64 if image.dtype == torch.float64 else torch.float32


def _described(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {tensor.dtype} on {tensor.device}"


def _positions(grid: Tensor, size: tuple[int, int]) -> Tensor:
    if grid.shape[2:] == size:
        return grid
    return F.interpolate(grid, size, mode="bilinear", align_corners=True)


def _normalised(positions: Tensor, image: Tensor) -> Tensor:
    """Pixels to grid_sample's [-1, 1]; far outside is as good as just outside, NaN is anywhere."""
    size = positions.new_tensor([image.shape[3], image.shape[2]])
    low = positions.new_full((2,), -2.0)
    pixels = torch.clamp(positions.permute(0, 2, 3, 1), low, size + 1)
    return ((2 * pixels + 1) / size - 1).nan_to_num(0.0)


def _run(image: Tensor, grid: Tensor, height: int, width: int, border: bool) -> Tensor:
    layout = _native.memory_format(image)
    if not (image.numel() and height and width):
        return _empty(image, height, width, layout).zero_()
    call = _native.cpu_call(image, bytes_too=True)
    kernels = _native.cuda_kernels_for(image, bytes_too=True) if call is None else None
    if call is None and kernels is None:
        y = warp_reference(image, grid, (height, width), "border" if border else "zeros")
        return _native.settled(y, layout)
    # On the CPU many planes are sooner turned around than sampled one by one.
    many = call is not None and image.shape[1] >= _MANY_PLANES
    used = torch.channels_last if many else layout
    image, grid = _native.in_layout(image, used), grid.contiguous()
    y = _empty(image, height, width, used)
    arguments = (
        used is torch.channels_last, image.shape, image.data_ptr(), image.stride(),
        grid.data_ptr(), *grid.shape[2:], y.data_ptr(), y.stride(), height, width, border,
    )  # fmt: skip
    if call is not None:
        call[0].warp(call[1], *arguments, torch.get_num_threads())
    else:
        assert kernels is not None
        with _native.on_device_of(image):
            kernels.warp(_native.type_code(image), *arguments, _native.stream(image))
    return y if used is layout else _native.settled(y, layout)


def _run_fake(image: Tensor, grid: Tensor, height: int, width: int, border: bool) -> Tensor:
    return _empty(image, height, width, _native.memory_format(image))


def _empty(image: Tensor, height: int, width: int, layout: torch.memory_format) -> Tensor:
    batch, channels = image.shape[:2]
    # In half the time that ``torch.empty`` takes for a layout given by name.
    whole = channels * height * width
    strides = (whole, height * width, width, 1)
    if layout is torch.channels_last:
        strides = (whole, 1, channels * width, channels)
    return image.new_empty_strided((batch, channels, height, width), strides)


def _run_backward(
    grad: Tensor, image: Tensor, grid: Tensor, border: bool, needed: list[bool]
) -> tuple[Tensor, Tensor]:
    grad_image, grad_grid = _run_backward_fake(grad, image, grid, border, needed)
    if grad.numel() == 0:
        return grad_image.zero_(), grad_grid.zero_()
    found = warp_backward_reference(grad, image, grid, border, needed)
    return grad_image.copy_(found[0]), grad_grid.copy_(found[1])


def _run_backward_fake(
    grad: Tensor, image: Tensor, grid: Tensor, border: bool, needed: list[bool]
) -> tuple[Tensor, Tensor]:
    layout = _native.memory_format(image)
    return (
        torch.empty_like(image, memory_format=layout) if needed[0] else image.new_empty(0),
        torch.empty_like(grid, memory_format=torch.contiguous_format)
        if needed[1]
        else grid.new_empty(0),
    )


_forward = _native.operator(
    "warp",
    "(Tensor image, Tensor grid, SymInt height, SymInt width, bool border) -> Tensor",
    _run,
    _run_fake,
)
_backward = _native.operator(
    "warp_backward",
    "(Tensor grad, Tensor image, Tensor grid, bool border, bool[] needed) -> (Tensor, Tensor)",
    _run_backward,
    _run_backward_fake,
)
