"""``spread`` at the nodes of an upright grid, where the Gaussian is a product of two."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import _native
from avatar.ops._spread import kernels_for, spread_reference

_PADDING = 16
"""The kernel rounds rows and columns up to a multiple of this."""


def spread_over_grid(
    x: Tensor,  # [columns] of the nodes
    y: Tensor,  # [rows]
    points: Tensor,  # [K, 2]
    values: Tensor,  # [K, 2]
    *,
    sigma: float,
    floor: float,
    weights: Tensor | None = None,  # [K], not negative
) -> Tensor:  # [2, rows, columns], dtype of x
    """What ``spread`` finds at the nodes ``(x[j], y[i])``, for far less work.

    One exponential for each point and row and each point and column is enough, where ``spread``
    takes one for each point and node. Not differentiable.

    Raises:
        InputError: a shape, dtype or device does not fit, or sigma or floor is not positive.
    """
    count = points.shape[0] if points.dim() else 0
    given = {"x": x, "y": y, "points": points, "values": values}
    shapes = {"x": (x.numel(),), "y": (y.numel(),), "points": (count, 2), "values": (count, 2)}
    if weights is not None:
        given["weights"], shapes["weights"] = weights, (count,)
    for name, tensor in given.items():
        if tensor.shape != shapes[name] or tensor.dtype != x.dtype or tensor.device != x.device:
            raise InputError(
                f"spread_over_grid: {name} must be {list(shapes[name])} {x.dtype} on {x.device}, "
                f"got {list(tensor.shape)} {tensor.dtype} on {tensor.device}"
            )
    if not x.is_floating_point() or not sigma > 0 or not floor > 0:
        raise InputError(
            "spread_over_grid: tensors must be floats, sigma and floor positive, "
            f"got {x.dtype}, {sigma} and {floor}"
        )
    return cast(Tensor, _forward(x, y, points, values, weights, sigma, floor))


def spread_over_grid_reference(
    x: Tensor,  # [columns]
    y: Tensor,  # [rows]
    points: Tensor,  # [K, 2]
    values: Tensor,  # [K, 2]
    weights: Tensor | None,  # [K]
    sigma: float,
    floor: float,
) -> Tensor:  # [2, rows, columns]
    """The specification, in plain torch."""
    nodes = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).view(1, -1, 2)
    own = None if weights is None else weights[None]
    found = spread_reference(nodes, points[None], values[None], own, sigma, floor)
    return found[0].T.reshape(2, y.shape[0], x.shape[0])


def _run(
    x: Tensor,
    y: Tensor,
    points: Tensor,
    values: Tensor,
    weights: Tensor | None,
    sigma: float,
    floor: float,
) -> Tensor:
    kernels = kernels_for(x)
    if kernels is None or x.numel() * y.numel() == 0:
        found = spread_over_grid_reference(x, y, points, values, weights, sigma, floor)
        return found.contiguous()
    x, y, points, values = (tensor.contiguous() for tensor in (x, y, points, values))
    weights = None if weights is None else weights.contiguous()
    rows, columns, count = y.shape[0], x.shape[0], points.shape[0]
    out = x.new_empty(2, rows, columns)
    arguments = (
        rows, columns, count, y.data_ptr(), x.data_ptr(), points.data_ptr(), values.data_ptr(),
        0 if weights is None else weights.data_ptr(), out.data_ptr(), sigma, floor,
    )  # fmt: skip
    if x.is_cpu:
        scratch = x.new_empty(count * (_padded(rows) + _padded(columns)))
        kernels.spread_over_grid(*arguments, scratch.data_ptr(), torch.get_num_threads())
    else:
        with _native.on_device_of(x):
            kernels.spread_over_grid(*arguments, _native.stream(x))
    return out


def _padded(count: int) -> int:
    return -(-count // _PADDING) * _PADDING


def _run_fake(
    x: Tensor,
    y: Tensor,
    points: Tensor,
    values: Tensor,
    weights: Tensor | None,
    sigma: float,
    floor: float,
) -> Tensor:
    return x.new_empty(2, y.shape[0], x.shape[0])


_forward = _native.operator(
    "spread_over_grid",
    "(Tensor x, Tensor y, Tensor points, Tensor values, Tensor? weights, float sigma, float floor)"
    " -> Tensor",
    _run,
    _run_fake,
)
