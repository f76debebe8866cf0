"""A decoder's answer at full size, faded out beyond a border."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import _native

_WIDEST = 2048


def faded_shuffle(
    answer: Tensor,  # [12, h, w] float32
    border: Tensor,  # [h, w] float32 signed distance, clipped to -1 and 1
) -> Tensor:  # [3, 2h, 2w] float32
    """``pixel_shuffle(answer, 2)``, whole inside the border, fading smoothly to zero at -1.

    Not differentiable.

    Raises:
        InputError: a shape or dtype does not fit, or something is not on the CPU.
    """
    shape = answer.shape[1:] if answer.dim() == 3 else (0, 0)
    for name, tensor, wanted in (("answer", answer, (12, *shape)), ("border", border, shape)):
        if tensor.shape != wanted or tensor.dtype != torch.float32 or not tensor.is_cpu:
            raise InputError(
                f"faded_shuffle: {name} must be {list(wanted)} float32 on the CPU, "
                f"got {list(tensor.shape)} {tensor.dtype} on {tensor.device}"
            )
    return cast(Tensor, _forward(answer, border))


def faded_shuffle_reference(answer: Tensor, border: Tensor) -> Tensor:
    """The specification, in plain torch."""
    near = F.interpolate(border[None, None] + 1.0, scale_factor=2.0, mode="bilinear")[0]
    near = near.clamp(0.0, 1.0)
    return F.pixel_shuffle(answer, 2) * (near * near * (3.0 - 2.0 * near))


def _run(answer: Tensor, border: Tensor) -> Tensor:
    kernels = _native.cpu_kernels()
    _, height, width = answer.shape
    out = _run_fake(answer, border)
    if not answer.numel():
        return out
    if kernels is None or width > _WIDEST:
        return out.copy_(faded_shuffle_reference(answer, border))
    # One pixel after the other, however much more than these twelve there is of each.
    if answer.stride(0) != 1 or answer.stride(1) != width * answer.stride(2):
        answer = answer.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    border = border.contiguous()
    kernels.faded_shuffle(
        height, width, answer.data_ptr(), answer.stride(2), border.data_ptr(), out.data_ptr()
    )
    return out


def _run_fake(answer: Tensor, border: Tensor) -> Tensor:
    _, height, width = answer.shape
    return answer.new_empty(3, 2 * height, 2 * width)


_forward = _native.operator(
    "faded_shuffle", "(Tensor answer, Tensor border) -> Tensor", _run, _run_fake
)
