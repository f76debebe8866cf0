"""Convolutions whose weights already lie as oneDNN wants them.

Eager torch lays the weights of every convolution out anew at every call: a tenth of a decoder's
time. The result is the same to the bit.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


class PackedConv(nn.Module):
    """An ``nn.Conv2d`` for the CPU that cannot learn any more."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert isinstance(conv.padding, tuple)
        self.out_channels = conv.out_channels
        self._options = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            conv.weight.detach(), *self._options, None
        )
        self._bias = None if conv.bias is None else conv.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self._weight, self._bias, *self._options, "none", [], ""
        )
        return y


def packed(network: nn.Module) -> nn.Module:
    """A copy of ``network`` whose convolutions are packed; ``network`` where oneDNN is missing."""
    backend: Any = torch.backends.mkldnn
    if not backend.is_available():
        return network
    copy = deepcopy(network)
    for module in list(copy.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d):
                setattr(module, name, PackedConv(child))
    return copy
