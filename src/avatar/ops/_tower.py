"""Small networks that hear a stream: numpy vectors in and out, weights in bfloat16.

A step costs what reading the weights costs, so they are kept half as wide as the float32 numbers
that they multiply. They only run, so there is no gradient here and nothing for ``torch.compile``.
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


class Dense:
    """``weight @ x + bias``, at least zero where ``rectified``.

    Args:
        weight: ``[out, in]``, rounded to bfloat16.
        bias: ``[out]``.
        rectified: whether to give nothing below zero.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, rectified: bool = False) -> None:
        self._weight, self._bias = _packed(weight), _frozen(bias)
        self._rectified = rectified
        self._addresses = _address(self._weight), _address(self._bias)
        self.outputs, self.inputs = weight.shape

    def __call__(self, x: FloatArray) -> FloatArray:  # [in] to [out]
        """Any number of threads may call it."""
        _check("x", x, (self.inputs,))
        kernels = _native.cpu_kernels()
        if kernels is None:
            return self.reference(x)
        y = np.empty(self.outputs, np.float32)
        kernels.dense(
            self.outputs, self.inputs, *self._addresses, _address(x), _address(y), self._rectified
        )
        return y

    def reference(self, x: FloatArray) -> FloatArray:
        """The specification, in plain numpy."""
        y: FloatArray = self._full @ x + self._bias
        return np.maximum(y, np.float32(0.0)) if self._rectified else y

    @cached_property
    def _full(self) -> FloatArray:
        return _unpacked(self._weight)


class Tower:
    """A rectified layer on the input, then layers that each add what they make of its output now
    and some steps ago.

    Args:
        first: weight ``[width, in]`` and bias ``[width]``.
        layers: weight ``[width, 2 * width]``, the past before the present, and bias of each.
        dilations: how many steps ago, of each.
    """

    def __init__(
        self,
        first: tuple[Tensor, Tensor],
        layers: Sequence[tuple[Tensor, Tensor]],
        dilations: Sequence[int],
    ) -> None:
        self.width, self.inputs = first[0].shape
        parts = [first, *layers]
        self._weight = _packed(torch.cat([weight.reshape(-1) for weight, _ in parts]))
        self._bias = _frozen(torch.stack([bias for _, bias in parts]))
        self._dilations = np.array(dilations, np.int64)
        self._remembered = int(self._dilations.sum())
        told = (self._dilations, self._weight, self._bias)
        self._addresses = tuple(_address(array) for array in told)

    def start(self) -> FloatArray:
        """What a tower that has heard nothing remembers; ``__call__`` changes it."""
        return np.zeros((self._remembered, self.width), np.float32)

    def __call__(self, x: FloatArray, rings: FloatArray, step: int) -> FloatArray:
        """One step.

        Args:
            x: ``[in]``.
            rings: of ``start``, of this stream.
            step: how many there were before in this stream.
        """
        _check("x", x, (self.inputs,))
        _check("rings", rings, (self._remembered, self.width))
        kernels = _native.cpu_kernels()
        if kernels is None:
            return self.reference(x, rings, step)
        out: FloatArray = np.empty((4, self.width), np.float32)
        kernels.tower(
            self.inputs, self.width, len(self._dilations), *self._addresses, _address(x),
            _address(rings), y := _address(out), y + 4 * self.width, step,
        )  # fmt: skip
        h: FloatArray = out[0]
        return h

    def reference(self, x: FloatArray, rings: FloatArray, step: int) -> FloatArray:
        """The specification, in plain numpy."""
        zero = np.float32(0.0)
        h: FloatArray = np.maximum(self._full[0] @ x + self._bias[0], zero)
        ring = rings
        for weight, bias, dilation in zip(
            self._full[1:], self._bias[1:], self._dilations.tolist(), strict=True
        ):
            slot = step % dilation
            pair = np.concatenate([ring[slot], h])
            ring[slot] = h
            h = h + np.maximum(weight @ pair + bias, zero)
            ring = ring[dilation:]
        return h

    @cached_property
    def _full(self) -> list[FloatArray]:
        values = _unpacked(self._weight)
        first = self.width * self.inputs
        rest = values[first:].reshape(-1, self.width, 2 * self.width)
        return [values[:first].reshape(self.width, self.inputs), *rest]


def _packed(weight: Tensor) -> NDArray[np.int16]:
    """The bits of bfloat16."""
    packed: NDArray[np.int16] = weight.to(torch.bfloat16).contiguous().view(torch.int16).numpy()
    packed.setflags(write=False)
    return packed


def _unpacked(weight: NDArray[np.int16]) -> FloatArray:
    bits = weight.view(np.uint16).astype(np.uint32) << np.uint32(16)
    return bits.view(np.float32)


def _frozen(bias: Tensor) -> FloatArray:
    array = np.array(bias.detach().float().numpy(), np.float32)
    array.setflags(write=False)
    return array


def _check(name: str, array: FloatArray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.float32 or not array.flags.c_contiguous:
        raise InputError(
            f"{name} must be {list(shape)} float32 without gaps, "
            f"got {list(array.shape)} {array.dtype}"
        )


def _address(array: NDArray[np.generic]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
