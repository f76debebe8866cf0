"""What a decoder says of a patch, made into a layer for ``compose``."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import _native

OPENING_EDGE = 8.0
"""Steepness of the edge inside which the photo's own pixels are given up."""

_LARGEST = 2048


def paint(
    answer: Tensor,  # [12, h, w] float32, the residual of 2 × 2 pixels (as of pixel_unshuffle)
    border: Tensor,  # [h, w] float32 signed distance, clipped to -1 and 1
    patch: Tensor,  # [3, 2h, 2w] uint8, what is shown where the residual is zero
    opening: Tensor | None = None,  # [h, w] float32 signed distance
    *,
    share: float = 1.0,
) -> Tensor:  # [4, 2h, 2w] float32
    """The paint of a ``Layer``: the residual, in levels of 255, faded out beyond ``border``.

    Inside ``opening`` nothing of what lies below is kept: there it is the patch and the residual.
    ``share`` of the residual is laid on. Not differentiable.

    Raises:
        InputError: a shape or dtype does not fit, or something is not on the CPU.
    """
    height, width = answer.shape[1:] if answer.dim() == 3 else (0, 0)
    wanted = {
        "answer": (answer, (12, height, width), torch.float32),
        "border": (border, (height, width), torch.float32),
        "patch": (patch, (3, 2 * height, 2 * width), torch.uint8),
    }
    if opening is not None:
        wanted["opening"] = (opening, (height, width), torch.float32)
    for name, (tensor, shape, dtype) in wanted.items():
        if tensor.shape != shape or tensor.dtype != dtype or not tensor.is_cpu:
            raise InputError(
                f"paint: {name} must be {list(shape)} {dtype} on the CPU, "
                f"got {list(tensor.shape)} {tensor.dtype} on {tensor.device}"
            )
    return cast(Tensor, _forward(answer, border, patch, opening, share))


def paint_reference(
    answer: Tensor, border: Tensor, patch: Tensor, opening: Tensor | None, share: float
) -> Tensor:
    """The specification, in plain torch."""

    def enlarged(map_: Tensor) -> Tensor:
        return F.interpolate(map_[None, None], scale_factor=2.0, mode="bilinear")[0].clamp(0.0, 1.0)

    near = enlarged(border + 1.0)
    window = near * near * (3.0 - 2.0 * near)
    rgb = F.pixel_shuffle(answer, 2) * (window * (127.5 * share))
    if opening is None:
        return torch.cat([rgb, torch.zeros_like(near)])
    open_ = enlarged(opening * OPENING_EDGE)
    return torch.cat([rgb + open_ * patch, open_])


def _run(
    answer: Tensor, border: Tensor, patch: Tensor, opening: Tensor | None, share: float
) -> Tensor:
    kernels = _native.cpu_kernels()
    _, height, width = answer.shape
    out = _run_fake(answer, border, patch, opening, share)
    if kernels is None or width > _LARGEST or not answer.numel():
        return out.copy_(paint_reference(answer, border, patch, opening, share))
    # One pixel after the other, however many numbers more than these there are of each.
    if answer.stride(0) != 1 or answer.stride(1) != width * answer.stride(2):
        answer = answer.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    border, patch = border.contiguous(), patch.permute(1, 2, 0).contiguous()
    opening = None if opening is None else opening.contiguous()
    kernels.paint(
        height, width, answer.data_ptr(), answer.stride(2), border.data_ptr(), patch.data_ptr(),
        0 if opening is None else opening.data_ptr(), OPENING_EDGE, 127.5 * share, out.data_ptr(),
    )  # fmt: skip
    return out


def _run_fake(
    answer: Tensor, border: Tensor, patch: Tensor, opening: Tensor | None, share: float
) -> Tensor:
    _, height, width = answer.shape
    return answer.new_empty(2 * height, 2 * width, 4).permute(2, 0, 1)


_forward = _native.operator(
    "paint",
    "(Tensor answer, Tensor border, Tensor patch, Tensor? opening, float share) -> Tensor",
    _run,
    _run_fake,
)
