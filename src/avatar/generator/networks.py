"""The few-shot generator of one face part: an embedder run once, an AdaIN decoder run every frame.

After Zakharov et al. 2019 (arXiv 1905.08233): the embedder turns K source pictures into a style
vector that sets the AdaIN parameters of the decoder. As in the bilayer model (arXiv 2008.10174) the
photo itself is warped, not repainted: the decoder sees the warped patch and answers with a
residual, so it need only add what a warp cannot know. It works at half the patch's resolution and
below; the last step to full size is a pixel shuffle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar.ops import adain

SLOPE = 0.2

Styles = Iterator[Tensor]
"""AdaIN parameters of the layers still to come: ``[B, 2 * channels]`` each, scale then shift."""


@dataclass(frozen=True)
class PartConfig:
    """Size of one part's networks.

    Attributes:
        outlines: number of outline maps.
        border: which of them encloses what is painted; outside it the paint fades out.
        numbers: length of the vector of landmark positions.
        width: channels at half resolution; doubled at each of three further halvings, up to
            ``widest``.
        widest: most channels anywhere.
        blocks: residual blocks at the two lowest resolutions.
        style: length of the style vector.
        features: channels of the source features that are cached and warped.
    """

    outlines: int
    border: int
    numbers: int
    width: int = 32
    widest: int = 192
    blocks: int = 2
    style: int = 256
    features: int = 32

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def channels(self) -> tuple[int, int, int, int]:
        a, b, c, d = (min(self.width * 2**k, self.widest) for k in range(4))
        return a, b, c, d


def conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


ModuleT = TypeVar("ModuleT", bound=nn.Module)


def channels_last(module: ModuleT) -> ModuleT:
    """Lay the weights out as the fused operations like them."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class Embedder(nn.Module):
    """K source patches of a person → style vector, and features of each patch.

    The style is the mean over the K patches, so any K works (Zakharov et al., section 3.1).
    """

    def __init__(self, config: PartConfig) -> None:
        super().__init__()
        a, b, c, d = config.channels
        self.stem = conv(12 + config.outlines, a)
        self.down1, self.down2, self.down3 = conv(a, b, 2), conv(b, c, 2), conv(c, d, 2)
        self.mix1, self.mix2, self.mix3 = conv(b, b), conv(c, c), conv(d, d)
        self.to_features = conv(b + c, config.features, kernel=1)
        self.to_style = nn.Linear(2 * d, config.style)

    def forward(
        self,
        patches: Tensor,  # [B, 3, S, S] in [-1, 1]
        outlines: Tensor,  # [B, outlines, S/2, S/2]
    ) -> tuple[Tensor, Tensor]:  # style [B, style], features [B, features, S/4, S/4]
        _, x1, x2, x3 = self.trunk(patches, outlines)
        coarse = functional.interpolate(x2, scale_factor=2.0, mode="bilinear")
        features = self.to_features(torch.cat([x1, coarse], 1))
        return self.style(x3), features

    def trunk(self, patches: Tensor, outlines: Tensor) -> list[Tensor]:
        """What is seen at half the resolution and the three halvings below."""
        x = torch.cat([functional.pixel_unshuffle(patches, 2), outlines], 1)
        seen = [functional.leaky_relu(self.stem(x), SLOPE)]
        for down, mix in (
            (self.down1, self.mix1), (self.down2, self.mix2), (self.down3, self.mix3)
        ):  # fmt: skip
            x = functional.leaky_relu(down(seen[-1]), SLOPE)
            seen.append(functional.leaky_relu(mix(x), SLOPE))
        return seen

    def style(self, coarsest: Tensor) -> Tensor:
        """The style vector from the last of what ``trunk`` gives."""
        style: Tensor = self.to_style(torch.cat([coarsest.mean((2, 3)), coarsest.amax((2, 3))], 1))
        return style


class AdaConv(nn.Module):
    """Convolution, then AdaIN with the next scale and shift of ``styles``, then leaky ReLU.

    ``double`` repeats each pixel 2 × 2 after the convolution: a quarter of the work of doing so
    before it.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, double: bool = False) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs, stride)
        self.doubled = double

    def forward(self, x: Tensor, styles: Styles, residual: Tensor | None = None) -> Tensor:
        scale, shift = next(styles).chunk(2, dim=1)
        x = self.conv(x)
        if self.doubled:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return adain(x, 1.0 + scale, shift, residual=residual, negative_slope=SLOPE)


class AdaBlocks(nn.ModuleList):
    """Residual blocks of two ``AdaConv`` each."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__(AdaConv(channels, channels) for _ in range(2 * blocks))

    def forward(self, x: Tensor, styles: Styles) -> Tensor:
        layers = list(self)
        for first, second in zip(layers[::2], layers[1::2], strict=True):
            x = second(first(x, styles), styles, residual=x)
        return x


class Decoder(nn.Module):
    """Warped patch + wanted shape + style → what to add to the warped patch.

    One matrix turns the code into the AdaIN parameters of all layers (the P of Zakharov et al.);
    each layer takes the next, in the order in which the layers stand here.
    """

    def __init__(self, config: PartConfig) -> None:
        super().__init__()
        a, b, c, d = config.channels
        code = config.style
        self.shape_code = nn.Sequential(
            nn.Linear(config.numbers, 128), nn.LeakyReLU(SLOPE), nn.Linear(128, code)
        )
        self.stem = AdaConv(12 + config.outlines, a)
        self.down1 = AdaConv(a, b, stride=2)
        self.join = AdaConv(b + config.features, b)
        self.down2 = AdaConv(b, c, stride=2)
        self.low = AdaBlocks(c, config.blocks)
        self.down3 = AdaConv(c, d, stride=2)
        self.lowest = AdaBlocks(d, config.blocks)
        self.up3 = AdaConv(d, c, double=True)
        self.up2 = AdaConv(c, b, double=True)
        self.high = AdaBlocks(b, 1)
        self.up1 = AdaConv(b, a, double=True)
        self.last = AdaConv(a, a)
        self.border = config.border
        self.to_rgb = conv(a, 12)
        layers = [layer for layer in self.modules() if isinstance(layer, AdaConv)]
        self.style_widths = [2 * layer.conv.out_channels for layer in layers]
        self.to_styles = nn.Linear(code, sum(self.style_widths))
        nn.init.normal_(self.to_styles.weight, std=0.02)
        for unbiased in (self.to_styles.bias, self.to_rgb.weight, self.to_rgb.bias):
            nn.init.zeros_(unbiased)  # type: ignore[arg-type]

    def forward(
        self,
        warped: Tensor,  # [B, 3, S, S] in [-1, 1]
        outlines: Tensor,  # [B, outlines, S/2, S/2]
        numbers: Tensor,  # [B, numbers]
        style: Tensor,  # [B, style]
        features: Tensor,  # [B, features, S/4, S/4] warped to the wanted shape
    ) -> Tensor:  # [B, 3, S, S]: residual, zero away from the border
        code = functional.leaky_relu(style + self.shape_code(numbers), SLOPE)
        styles = iter(self.to_styles(code).float().split(self.style_widths, dim=1))
        x0 = self.stem(torch.cat([functional.pixel_unshuffle(warped, 2), outlines], 1), styles)
        x1 = self.join(torch.cat([self.down1(x0, styles), features], 1), styles)
        x2 = self.low(self.down2(x1, styles), styles)
        x3 = self.lowest(self.down3(x2, styles), styles)
        x = self.up3(x3, styles, residual=x2)
        x = self.high(self.up2(x, styles, residual=x1), styles)
        x = self.last(self.up1(x, styles, residual=x0), styles)
        residual = functional.pixel_shuffle(self.to_rgb(x), 2)
        return residual * paint_window(outlines[:, self.border : self.border + 1])


def paint_window(border: Tensor) -> Tensor:  # [B, 1, h, w] -> [B, 1, 2h, 2w] in 0..1
    """1 inside the border, fading smoothly to 0 where its signed distance is clipped."""
    near = functional.interpolate(border + 1.0, scale_factor=2.0, mode="bilinear").clamp(0.0, 1.0)
    return near * near * (3.0 - 2.0 * near)


class PartGenerator(nn.Module):
    """Embedder and decoder of one part."""

    def __init__(self, config: PartConfig) -> None:
        super().__init__()
        self.config = config
        self.embedder = Embedder(config)
        self.decoder = Decoder(config)
