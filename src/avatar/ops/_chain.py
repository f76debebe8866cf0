"""Convolutions, each followed by AdaIN and a leaky ReLU: a whole network in one call on one core.

Called one by one, the layers of a small network cost as much beside their arithmetic as in it: each
is a call, a fresh array and a pass over memory. A chain is told once how its layers hang together,
keeps its arrays, and lets other threads of Python run meanwhile. Wide convolutions of stride 1 are
made by Winograd's F(2 × 2, 3 × 3), with 16 products where there were 36. It only runs, so there is
no gradient here and nothing for ``torch.compile``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import _native
from avatar.ops._adain import adain

_GROUP, _LEAST = 16, 16
"""Outputs whose weights lie together, and the fewest channels of a map, as csrc/ops.h has them."""
_TERMS, _AT_A_TIME = 16, 32
_WORTH_TILES = 32
_ALIGNMENT = 64

Place = tuple[int, int]
"""The number of a map and the first of some channels."""


@dataclass(frozen=True, eq=False)
class Link:
    """A 3 × 3 convolution of one map of a chain, and what becomes of it.

    Attributes:
        weight: ``[out, in, 3, 3]``.
        bias: ``[out]``; a normalised convolution has no use for it.
        source: number of the map it reads, from its first channel on; its sides are even.
        target: where it writes; None: it is the last, and its result, not normalised, is given.
        residual: number of a map to add before the activation.
        stride: 1 or 2.
        double: repeat each pixel 2 × 2 after the normalisation.
    """

    weight: Tensor
    source: int
    bias: Tensor | None = None
    target: Place | None = None
    residual: int | None = None
    stride: int = 1
    double: bool = False


class Chain:
    """Links run one after the other. Immutable; any number of threads may call it.

    Args:
        maps: ``(channels, height, width)`` of the arrays that links read and write.
        links: in their order; the last, and only that, has no target.
        dtype: of maps and weights, float32 or bfloat16. Sums and statistics are float32.
        negative_slope, eps: as for ``adain``.

    Raises:
        InputError: the links do not fit the maps.
    """

    def __init__(
        self,
        maps: Sequence[tuple[int, int, int]],
        links: Sequence[Link],
        *,
        dtype: torch.dtype = torch.float32,
        negative_slope: float = 1.0,
        eps: float = 1e-5,
    ) -> None:
        self._maps, self._links, self.dtype = tuple(maps), tuple(links), dtype
        self._settings = negative_slope, eps
        _check(self._maps, self._links, dtype)
        self.styles = sum(2 * len(link.weight) for link in links if link.target is not None)
        # As the kernel likes them: even counts, and never fewer than a vector.
        self._channels = [max(_LEAST, c + c % 2) for c, _, _ in maps]
        weights, biases, self._table = self._lay_out()
        self._weights = torch.cat(weights)
        self._biases = torch.cat(biases)
        self._rooms: list[_Room] = []

    def __call__(
        self, inputs: Mapping[Place, Tensor], styles: Tensor, *, picture: Tensor | None = None
    ) -> Tensor:
        """Run the chain.

        Args:
            inputs: ``[channels, height, width]`` of each place that no link writes.
            styles: ``[self.styles]`` float32: scales and then shifts of each link but the last.
                What is normalised is multiplied by 1 + scale.
            picture: ``[3, 2 height, 2 width]`` float32 of the first map: ``pixel_unshuffle`` makes
                its first 12 channels of it.

        Returns:
            ``[out, height, width]`` float32, channels last: what the last link gives.
        """
        kernels = _native.cpu_kernels()
        if kernels is None:
            return self.reference(inputs, styles, picture=picture)
        if styles.shape != (self.styles,) or styles.dtype != torch.float32:
            raise InputError(
                f"chain: styles must be [{self.styles}] float32, "
                f"got {list(styles.shape)} {styles.dtype}"
            )
        if picture is not None:
            self._check_picture(picture)
        try:
            room = self._rooms.pop()
        except IndexError:
            room = _Room(self._maps, self._channels, self._work_bytes(), self.dtype)
        for (number, first), given in inputs.items():
            self._part(room.views[number], number, first, given).copy_(given)
        last = self._links[-1]
        _, height, width = self._maps[last.source]
        out = torch.empty(height, width, _filled(len(last.weight)))
        kernels.chain(
            _native.type_code(room.memory), room.table.ctypes.data, self._table.ctypes.data,
            len(self._links), self._weights.data_ptr(), self._biases.data_ptr(),
            styles.data_ptr(), *_address(picture), out.data_ptr(), room.work, *self._settings,
        )  # fmt: skip
        self._rooms.append(room)
        return out.permute(2, 0, 1)[: len(last.weight)]

    def reference(
        self, inputs: Mapping[Place, Tensor], styles: Tensor, *, picture: Tensor | None = None
    ) -> Tensor:
        """The specification, in plain torch and float32."""
        maps = [torch.zeros(1, *shape) for shape in self._maps]
        if picture is not None:
            self._check_picture(picture)
            maps[0][0, :12] = F.pixel_unshuffle(picture, 2)
        for (number, first), given in inputs.items():
            self._part(maps[number][0], number, first, given).copy_(given)
        slope, eps = self._settings
        for link in self._links:
            source = maps[link.source][:, : link.weight.shape[1]]
            x = F.conv2d(source, link.weight.float(), stride=link.stride, padding=1)
            if link.target is None:
                bias = 0.0 if link.bias is None else link.bias.float().view(-1, 1, 1)
                return x[0] + bias
            if link.double:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            outputs = len(link.weight)
            scale, shift = styles[None, : 2 * outputs].chunk(2, dim=1)
            styles = styles[2 * outputs :]
            residual = None if link.residual is None else maps[link.residual][:, :outputs]
            x = adain(x, 1.0 + scale, shift, residual=residual, negative_slope=slope, eps=eps)
            number, first = link.target
            maps[number][:, first : first + outputs] = x
        raise AssertionError("the last link has no target")

    def _part(self, map_: Tensor, number: int, first: int, given: Tensor) -> Tensor:
        """The channels of a map that ``given`` belongs to."""
        channels, height, width = self._maps[number]
        if given.shape[1:] != (height, width) or first + len(given) > channels:
            raise InputError(
                f"chain: map {number} takes, from channel {first} on, "
                f"[{channels - first}, {height}, {width}] or fewer, got {list(given.shape)}"
            )
        return map_[first : first + len(given)]

    def _check_picture(self, picture: Tensor) -> None:
        channels, height, width = self._maps[0]
        wanted = (3, 2 * height, 2 * width)
        if picture.shape != wanted or picture.dtype != torch.float32 or channels < 12:
            raise InputError(
                f"chain: picture must be {list(wanted)} float32 and the first map have 12 "
                f"channels, got {list(picture.shape)} {picture.dtype} and {channels}"
            )

    def _lay_out(self) -> tuple[list[Tensor], list[Tensor], np.ndarray]:
        """Weights and biases of all links as the kernel reads them, and the table of its links."""
        weights: list[Tensor] = []
        biases: list[Tensor] = []
        rows = []
        style = at_weight = at_bias = 0
        for link in self._links:
            outputs = len(link.weight)
            target, first = (-1, 0) if link.target is None else link.target
            residual = -1 if link.residual is None else link.residual
            rows.append((
                link.source, target, first, residual, outputs, link.stride, self._taps(link),
                link.double, style, at_weight, at_bias,
            ))  # fmt: skip
            channels = self._channels[link.source]
            weights.append(_packed(link.weight, self._taps(link), channels, self.dtype))
            bias = torch.zeros(_filled(outputs))
            if link.bias is not None:
                bias[:outputs] = link.bias.detach()
            biases.append(bias)
            style += 2 * outputs
            at_weight, at_bias = at_weight + weights[-1].numel(), at_bias + len(bias)
        return weights, biases, np.array(rows, np.int64)

    def _taps(self, link: Link) -> int:
        """16 for Winograd's way, which is worth it only where there are many products."""
        fewest = min(self._channels[link.source], _filled(len(link.weight)))
        return _TERMS if link.stride == 1 and fewest >= _WORTH_TILES else 9

    def _work_bytes(self) -> int:
        tiles = _TERMS * _native.cpu_kernels().chain_tiles  # type: ignore[union-attr]
        most = 0
        for link in self._links:
            _, height, width = self._maps[link.source]
            outputs = _filled(len(link.weight))
            pixels = (height // link.stride) * (width // link.stride)
            typed = tiles * self._channels[link.source] + pixels * outputs
            most = max(most, 4 * (2 * outputs + tiles * _AT_A_TIME) + typed * self.dtype.itemsize)
        return most


class _Room:
    """The arrays of one run, kept for the next: their borders of zeros are never written again."""

    def __init__(
        self,
        maps: Sequence[tuple[int, int, int]],
        channels: Sequence[int],
        work_bytes: int,
        dtype: torch.dtype,
    ) -> None:
        shapes = [(h + 2, w + 2, c) for (_, h, w), c in zip(maps, channels, strict=True)]
        steps = [_aligned(h * w * c * dtype.itemsize) for h, w, c in shapes]
        size = sum(steps)
        bytes_ = torch.zeros(size + work_bytes + _ALIGNMENT, dtype=torch.uint8)
        begin = -bytes_.data_ptr() % _ALIGNMENT
        self.memory = bytes_[begin : begin + size].view(dtype)
        self.views: list[Tensor] = []
        rows = []
        address = self.memory.data_ptr()
        for (height, width, count), step in zip(shapes, steps, strict=True):
            at = (address - self.memory.data_ptr()) // dtype.itemsize
            whole = self.memory[at : at + height * width * count].view(height, width, count)
            self.views.append(whole[1:-1, 1:-1].permute(2, 0, 1))
            rows.append((height - 2, width - 2, count, address))
            address += step
        self.table = np.array(rows, np.int64)
        self.work = address


def _check(maps: Sequence[tuple[int, int, int]], links: Sequence[Link], dtype: torch.dtype) -> None:
    if dtype not in (torch.float32, torch.bfloat16):
        raise InputError(f"chain: dtype must be float32 or bfloat16, got {dtype}")
    if [link.target is None for link in links] != [False] * (len(links) - 1) + [True]:
        raise InputError("chain: the last link, and only that, must have no target")
    for k, link in enumerate(links):
        outputs, inputs, *kernel = link.weight.shape
        channels, height, width = maps[link.source]
        if kernel != [3, 3] or inputs > channels or link.stride not in (1, 2):
            raise InputError(
                f"chain: link {k} must have weights [out, at most {channels}, 3, 3] and stride 1 "
                f"or 2, got {list(link.weight.shape)} and {link.stride}"
            )
        if link.target is None and link.stride != 1:
            raise InputError("chain: the last link must have stride 1")
        if height % 2 or width % 2:
            raise InputError(f"chain: the source of link {k} is {height} × {width}, not even")
        size = tuple((2 if link.double else 1) * side // link.stride for side in (height, width))
        wanted = [] if link.target is None else [(link.target[0], link.target[1] + outputs)]
        wanted += [] if link.residual is None else [(link.residual, outputs)]
        for number, most in wanted:
            if maps[number][1:] != size or maps[number][0] < most or outputs < _LEAST:
                raise InputError(
                    f"chain: link {k} gives {outputs} channels of {size}, which do not fit map "
                    f"{number} of {maps[number]}; it takes at least {_LEAST}"
                )


def _packed(weight: Tensor, taps: int, channels: int, dtype: torch.dtype) -> Tensor:
    """The weights in the order of csrc/ops.h, one after the other."""
    weight = weight.detach().float()
    if taps == _TERMS:
        # G w G^T of Lavin & Gray 2016, section 4.1.
        g = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]])
        weight = torch.einsum("yi,ocij,xj->ocyx", g, weight, g)
    outputs, inputs = weight.shape[:2]
    full = F.pad(weight.flatten(2), (0, 0, 0, channels - inputs, 0, -outputs % _GROUP))
    pair = 4 // dtype.itemsize
    parts = full.view(-1, _GROUP, channels // pair, pair, full.shape[2])
    return parts.permute(0, 4, 2, 1, 3).to(dtype).flatten()


def _address(picture: Tensor | None) -> tuple[int, tuple[int, ...]]:
    """Where it is, and its strides as of a batch of one."""
    if picture is None:
        return 0, (0, 0, 0, 0)
    return picture.data_ptr(), (0, *picture.stride())


def _filled(outputs: int) -> int:
    return -(-outputs // _GROUP) * _GROUP


def _aligned(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT
