"""Small networks that hear streams: numpy vectors in and out, weights in bfloat16.

Alone, a step costs what reading the weights costs, so they are kept half as wide as the float32
numbers that they multiply. Many steps at once, of several streams or one after the other of one,
read them once. Each row is the same bits in any company. They only run, so there is no gradient
here and nothing for ``torch.compile``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import _native

FloatArray = NDArray[np.float32]

_PANEL = 64
"""Outputs whose weights lie together, as ``kDensePanel`` of csrc/ops.h."""


class Tower:
    """A dense layer on the input, layers that each add what they make of their input now and some
    steps ago, then a tail of dense layers. All but the last give nothing below zero.

    Args:
        first: weight ``[width, in]``, rounded to bfloat16 as all of them, and bias ``[width]``.
        layers: weight ``[width, 2 * width]``, the past before the present, and bias of each.
        dilations: how many steps ago, of each.
        tail: weight ``[out, in]`` and bias of each; without one the layers give the output, and
            nothing of it is below zero.
    """

    def __init__(
        self,
        first: tuple[Tensor, Tensor],
        layers: Sequence[tuple[Tensor, Tensor]],
        dilations: Sequence[int],
        tail: Sequence[tuple[Tensor, Tensor]] = (),
    ) -> None:
        self.width, self.inputs = first[0].shape
        parts = [first, *layers, *tail]
        self._shapes = [tuple(weight.shape) for weight, _ in parts]
        self.outputs = self._shapes[-1][0]
        self._weight = np.concatenate([_in_panels(weight) for weight, _ in parts])
        self._bias = np.concatenate([bias.detach().float().numpy() for _, bias in parts])
        self._dilations = np.array(dilations, np.int64)
        self._tail = np.array([len(bias) for _, bias in tail], np.int64)
        for array in (self._weight, self._bias, self._dilations, self._tail):
            array.setflags(write=False)
        self._remembered = int(self._dilations.sum())
        most = max(outputs for outputs, _ in self._shapes)
        self._scratch = 2 * (self.width + most)

    def start(self) -> FloatArray:
        """What a tower that has heard nothing remembers; ``__call__`` changes it."""
        return np.zeros((self._remembered, self.width), np.float32)

    def __call__(
        self, x: FloatArray, rings: Sequence[FloatArray], steps: Sequence[int]
    ) -> FloatArray:
        """Many steps; several of one stream follow each other. Any number of threads may call it.

        Args:
            x: ``[R, in]``, a row for each step.
            rings: for each row that of ``start`` of its stream.
            steps: for each row how many there were before in its stream.

        Returns:
            ``[R, out]``.
        """
        rows = len(x)
        if x.shape[1:] != (self.inputs,) or x.dtype != np.float32 or not x.flags.c_contiguous:
            raise InputError(
                f"x must be [R, {self.inputs}] float32 without gaps, got {list(x.shape)} {x.dtype}"
            )
        if not rows == len(rings) == len(steps):
            raise InputError(
                "each row of x needs its rings and its step, "
                f"got {rows}, {len(rings)} and {len(steps)}"
            )
        kernels = _native.cpu_kernels()
        if kernels is None:
            return self.reference(x, rings, steps)
        y = np.empty((rows, self.outputs), np.float32)
        kernels.tower(
            self.inputs, self.width, self._remembered, self._dilations, self._tail, self._weight,
            self._bias, x, rings, steps, y, np.empty(rows * self._scratch, np.float32),
        )  # fmt: skip
        return y

    def reference(
        self, x: FloatArray, rings: Sequence[FloatArray], steps: Sequence[int]
    ) -> FloatArray:
        """The specification, in plain numpy."""
        weights = iter(self._layers)
        h = _dense(x, *next(weights))
        begin = 0
        for dilation in self._dilations.tolist():
            earlier = np.empty_like(h)
            for row, (ring, step) in enumerate(zip(rings, steps, strict=True)):
                slot = begin + step % dilation
                earlier[row] = ring[slot]
                ring[slot] = h[row]
            h = h + _dense(np.concatenate([earlier, h], 1), *next(weights))
            begin += dilation
        for k, (weight, bias) in enumerate(weights, start=1):
            h = _dense(h, weight, bias, rectified=k < len(self._tail))
        return h

    @cached_property
    def _layers(self) -> list[tuple[FloatArray, FloatArray]]:
        """Weight ``[out, in]`` and bias of each."""
        layers, place, row = [], 0, 0
        for outputs, inputs in self._shapes:
            size = -(-outputs // _PANEL) * _PANEL * inputs
            weight = _out_of_panels(self._weight[place : place + size], outputs, inputs)
            layers.append((weight, self._bias[row : row + outputs]))
            place, row = place + size, row + outputs
        return layers


def _dense(
    x: FloatArray, weight: FloatArray, bias: FloatArray, *, rectified: bool = True
) -> FloatArray:
    # Row by row: a product of matrices may sum in an order that depends on how many rows there are.
    y: FloatArray = np.array([weight @ row for row in x], np.float32).reshape(len(x), len(bias))
    y += bias
    return np.maximum(y, np.float32(0.0)) if rectified else y


def _in_panels(weight: Tensor) -> NDArray[np.int16]:
    """The bits of bfloat16, in the order of csrc/ops.h."""
    outputs, inputs = weight.shape
    filled = torch.zeros(-(-outputs // _PANEL) * _PANEL, inputs, dtype=torch.bfloat16)
    filled[:outputs] = weight
    # [panel, half, output, input] to [panel, input, output, half]
    panels = filled.reshape(-1, 2, _PANEL // 2, inputs).permute(0, 3, 2, 1)
    packed: NDArray[np.int16] = panels.contiguous().view(torch.int16).numpy().reshape(-1)
    return packed


def _out_of_panels(packed: NDArray[np.int16], outputs: int, inputs: int) -> FloatArray:
    """``[out, in]`` float32."""
    bits = packed.view(np.uint16).astype(np.uint32) << np.uint32(16)
    panels = bits.view(np.float32).reshape(-1, inputs, _PANEL // 2, 2).transpose(0, 3, 2, 1)
    weight: FloatArray = np.ascontiguousarray(panels.reshape(-1, inputs)[:outputs])
    return weight
