"""A decoder as one chain of the native kernels, for pictures of one size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar.generator.networks import SLOPE, AdaBlocks, AdaConv, Decoder
from avatar.ops import Chain, Link, faded_shuffle

_SHOWN = 12
"""Channels of the first map that show the patch."""


class ChainedDecoder(nn.Module):
    """Says what ``decoder`` does, but for rounding; it is given float32, and cannot learn any more.

    Args:
        decoder: to copy; it is not changed.
        size: of the patches it will be given.
        dtype: float32 or bfloat16.
    """

    def __init__(self, decoder: Decoder, size: int, dtype: torch.dtype) -> None:
        super().__init__()
        self._border = decoder.border
        self._shape_code = decoder.shape_code
        # One row times a wide matrix takes a quarter of the time with the matrix turned around.
        self._to_styles = decoder.to_styles.weight.detach().T.contiguous()
        self._first_styles = decoder.to_styles.bias.detach()
        plan = _Plan()
        a, b, c, d = (
            getattr(decoder, name).conv.out_channels for name in ("stem", "down1", "down2", "down3")
        )
        half = size // 2
        given = decoder.stem.conv.in_channels
        joined = decoder.join.conv.in_channels
        picture = plan.map(given, half)
        x0, self._joined = plan.map(a, half), plan.map(joined, half // 2)
        self._carried = (self._joined, b)
        x1, x2, x3 = plan.map(b, half // 2), plan.map(c, half // 4), plan.map(d, half // 8)
        plan.layer(decoder.stem, picture, x0)
        plan.layer(decoder.down1, x0, self._joined)
        plan.layer(decoder.join, self._joined, x1)
        plan.layer(decoder.down2, x1, x2)
        plan.blocks(decoder.low, x2)
        plan.layer(decoder.down3, x2, x3)
        plan.blocks(decoder.lowest, x3)
        up3, up2, up1 = plan.map(c, half // 4), plan.map(b, half // 2), plan.map(a, half)
        plan.layer(decoder.up3, x3, up3, residual=x2)
        plan.layer(decoder.up2, up3, up2, residual=x1)
        plan.blocks(decoder.high, up2)
        plan.layer(decoder.up1, up2, up1, residual=x0)
        plan.layer(decoder.last, up1, x0)
        to_rgb = decoder.to_rgb
        plan.links.append(Link(to_rgb.weight, x0, bias=to_rgb.bias))
        self._chain = Chain(plan.maps, plan.links, dtype=dtype, negative_slope=SLOPE)

    def forward(
        self,
        warped: Tensor,  # [B, 3, S, S] in [-1, 1]
        outlines: Tensor,  # [B, outlines, S/2, S/2]
        numbers: Tensor,  # [B, numbers]
        style: Tensor,  # [1, style]
        features: Tensor,  # [B, features, S/4, S/4]
    ) -> Tensor:  # [B, 3, S, S]
        """As ``Decoder.forward``."""
        code = functional.leaky_relu(style + self._shape_code(numbers), SLOPE)
        styles = torch.addmm(self._first_styles, code, self._to_styles)
        residuals = []
        for k, picture in enumerate(warped):
            inputs = {(0, _SHOWN): outlines[k], self._carried: features[k]}
            answer = self._chain(inputs, styles[k], picture=picture)
            residuals.append(faded_shuffle(answer, outlines[k, self._border]))
        return torch.stack(residuals)


class _Plan:
    """Maps and links in the making."""

    def __init__(self) -> None:
        self.maps: list[tuple[int, int, int]] = []
        self.links: list[Link] = []

    def map(self, channels: int, side: int) -> int:
        self.maps.append((channels, side, side))
        return len(self.maps) - 1

    def layer(
        self, layer: AdaConv, source: int, target: int, *, residual: int | None = None
    ) -> None:
        self.links.append(
            Link(
                layer.conv.weight, source, target=(target, 0), residual=residual,
                stride=layer.conv.stride[0], double=layer.doubled,
            )
        )  # fmt: skip

    def blocks(self, blocks: AdaBlocks, inout: int) -> None:
        channels, side, _ = self.maps[inout]
        within = self.map(channels, side)
        layers = [layer for layer in blocks if isinstance(layer, AdaConv)]
        for first, second in zip(layers[::2], layers[1::2], strict=True):
            self.layer(first, inout, within)
            self.layer(second, within, inout, residual=inout)
