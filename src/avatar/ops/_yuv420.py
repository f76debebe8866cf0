"""RGB to the planes that video encoders take."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import _native

_PIXELS_OF_A_THREAD = 1 << 21
"""A picture takes a fraction of a millisecond; a second thread, done, would spin for longer than
that and take its core from whoever draws the next one.
"""
_LUMA = (11966, 40254, 4064)
_U = (-6596, -22189, 28785)
_V = (28785, -26145, -2640)
"""BT.709 (ITU-R BT.709-6, items 3.2 to 3.4) to limited range, in 1/65536."""


def yuv420_(
    y: Tensor,  # [2h, 2w] uint8, written
    u: Tensor,  # [h, w] uint8, written
    v: Tensor,  # [h, w] uint8, written
    image: Tensor,  # [H, W, 3] uint8 RGB
) -> None:
    """Write ``image`` as YUV 4:2:0, BT.709 in limited range, into the planes of a video frame.

    A chroma sample is the mean over its 2 × 2 pixels. ``h`` and ``w`` are half of ``H`` and ``W``,
    rounded up: an odd side repeats its last row or column. Integer arithmetic: the same bits
    everywhere. Rows of the planes may be longer than the picture; chroma may be planar or
    interleaved (NV12: ``u`` and ``v`` are every other byte of one plane).

    Raises:
        InputError: a shape or dtype does not fit, or something is not on the CPU.
    """
    if image.dim() != 3 or image.shape[2] != 3:
        raise InputError(f"yuv420_: image must be [H, W, 3], got {list(image.shape)}")
    half = (-(-image.shape[0] // 2), -(-image.shape[1] // 2))
    wanted = {
        "image": (image, tuple(image.shape)), "y": (y, (2 * half[0], 2 * half[1])),
        "u": (u, half), "v": (v, half),
    }  # fmt: skip
    for name, (tensor, shape) in wanted.items():
        if tensor.shape != shape or tensor.dtype != torch.uint8 or tensor.device.type != "cpu":
            raise InputError(
                f"yuv420_: {name} must be {list(shape)} uint8 on the CPU to fit an image of "
                f"{list(image.shape)}, got {list(tensor.shape)} {tensor.dtype} on {tensor.device}"
            )
    _forward(y, u, v, image)


def yuv420_reference(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The specification, in plain torch: y, u and v of ``image``."""
    rows, columns = (torch.arange(n + n % 2).clamp(max=n - 1) for n in image.shape[:2])
    even = image[rows][:, columns].int()
    h, w = even.shape[0] // 2, even.shape[1] // 2
    sums = even.view(h, 2, w, 2, 3).sum((1, 3), dtype=torch.int32)

    def mixed(rgb: Tensor, weights: tuple[int, int, int], level: int, bits: int) -> Tensor:
        total = (rgb * rgb.new_tensor(weights)).sum(-1, dtype=torch.int32)
        return ((total + (level << bits) + (1 << (bits - 1))) >> bits).to(torch.uint8)

    return mixed(even, _LUMA, 16, 16), mixed(sums, _U, 128, 18), mixed(sums, _V, 128, 18)


def _run(y: Tensor, u: Tensor, v: Tensor, image: Tensor) -> None:
    if image.numel() == 0:
        return
    kernels = _native.cpu_kernels()
    if kernels is None or y.stride(1) != 1 or u.stride() != v.stride():
        for plane, found in zip((y, u, v), yuv420_reference(image), strict=True):
            plane.copy_(found)
        return
    if image.stride()[1:] != (3, 1):
        image = image.contiguous()
    threads = min(torch.get_num_threads(), 1 + y.numel() // _PIXELS_OF_A_THREAD)
    kernels.yuv420(
        image.shape[0], image.shape[1], image.data_ptr(), image.stride(0), y.data_ptr(),
        y.stride(0), u.data_ptr(), v.data_ptr(), u.stride(0), u.stride(1), threads,
    )  # fmt: skip


def _run_fake(y: Tensor, u: Tensor, v: Tensor, image: Tensor) -> None:
    return None


_forward = _native.operator(
    "yuv420_", "(Tensor(a!) y, Tensor(b!) u, Tensor(c!) v, Tensor image) -> ()", _run, _run_fake
)
