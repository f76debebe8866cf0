"""Convolutions whose weights already lie as oneDNN wants them.

Eager torch lays the weights of every convolution out anew at every call: a tenth of a decoder's
time. The result is the same to the bit. How they should lie depends on the size of the picture:
told no size, oneDNN takes kernels for small ones that need a hundred times as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


class PackedConv(nn.Module):
    """An ``nn.Conv2d`` for the CPU, and for pictures of one size, that cannot learn any more.

    Args:
        conv: the convolution.
        size: ``[B, C, H, W]`` of its input; others work too, perhaps slowly.
    """

    def __init__(self, conv: nn.Conv2d, size: torch.Size) -> None:
        super().__init__()
        assert isinstance(conv.padding, tuple)
        self.out_channels = conv.out_channels
        self._options = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            conv.weight.detach(), *self._options, list(size)
        )
        self._bias = None if conv.bias is None else conv.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self._weight, self._bias, *self._options, "none", [], ""
        )
        return y


def packed(network: nn.Module, *example: Tensor) -> nn.Module:
    """A copy of ``network`` whose convolutions are packed; ``network`` where oneDNN is missing.

    Args:
        network: to pack.
        example: arguments of the size that it will be called with.
    """
    backend: Any = torch.backends.mkldnn
    if not backend.is_available():
        return network
    copy = deepcopy(network)
    with _input_sizes(copy) as sizes, torch.inference_mode():
        copy(*example)
    for module in list(copy.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d):
                setattr(module, name, PackedConv(child, sizes[child]))
    return copy


@contextmanager
def _input_sizes(network: nn.Module) -> Iterator[dict[nn.Conv2d, torch.Size]]:
    """The size of what each convolution is given while the context lasts."""
    sizes: dict[nn.Conv2d, torch.Size] = {}

    def note(module: nn.Conv2d, given: tuple[Tensor, ...]) -> None:
        sizes[module] = given[0].shape

    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    hooks = [module.register_forward_pre_hook(note) for module in convolutions]
    try:
        yield sizes
    finally:
        for hook in hooks:
            hook.remove()
