"""A decoder in one chain says what the decoder does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from avatar.generator.chained import ChainedDecoder
from avatar.generator.networks import Decoder, PartConfig

MOUTH = PartConfig(outlines=2, border=1, numbers=94)
EYE = PartConfig(outlines=3, border=2, numbers=50, width=24, widest=96, blocks=1)


@pytest.mark.parametrize(("config", "count"), [(MOUTH, 1), (EYE, 2)])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.bfloat16, 0.02)])
@torch.inference_mode()
def test_the_chain_says_what_the_decoder_does(
    config: PartConfig, count: int, dtype: torch.dtype, limit: float
) -> None:
    torch.manual_seed(2)
    decoder = Decoder(config).eval()
    nn.init.normal_(decoder.to_styles.weight, std=0.1)
    nn.init.normal_(decoder.to_rgb.weight, std=0.1)
    nn.init.normal_(decoder.to_rgb.bias)
    side = 96
    told = [
        torch.randn(count, 3, side, side),
        torch.randn(count, config.outlines, side // 2, side // 2),
        torch.randn(count, config.numbers), torch.randn(1, config.style),
        torch.randn(count, config.features, side // 4, side // 4),
    ]  # fmt: skip
    right = decoder(*told)
    found = ChainedDecoder(decoder, side, dtype)(*told)
    assert found.shape == right.shape
    assert (found - right).square().mean().sqrt() < limit * right.std()
