"""Packing the weights changes no bit of the result."""

from __future__ import annotations

import torch
from torch import nn

from avatar.generator.networks import Decoder, PartConfig, channels_last
from avatar.generator.packed import PackedConv, packed

CONFIG = PartConfig(outlines=2, border=1, numbers=10, width=8, widest=32, blocks=1)


def told(count: int, side: int) -> list[torch.Tensor]:
    torch.manual_seed(5)
    shapes = [(count, 3, side, side), (count, 2, side // 2, side // 2), (count, 10), (count, 256)]
    return [torch.randn(shape) for shape in [*shapes, (count, 32, side // 4, side // 4)]]


@torch.inference_mode()
def test_a_packed_decoder_gives_the_same_bits() -> None:
    torch.manual_seed(1)
    decoder = channels_last(Decoder(CONFIG)).eval()
    nn.init.normal_(decoder.to_rgb.weight)
    quick = packed(decoder, *told(2, 48))
    assert any(isinstance(module, PackedConv) for module in quick.modules())
    assert not any(isinstance(module, nn.Conv2d) for module in quick.modules())
    assert torch.equal(quick(*told(2, 48)), decoder(*told(2, 48)))


@torch.inference_mode()
def test_another_size_than_the_packed_one_still_works() -> None:
    convolution = nn.Conv2d(4, 6, 3, stride=2, padding=1)
    quick = packed(nn.Sequential(convolution), torch.zeros(1, 4, 8, 8))
    picture = torch.randn(3, 4, 20, 14)
    assert torch.allclose(quick(picture), convolution(picture), atol=1e-5)
