"""A decoder that learns low-rank changes while its own weights stay."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from avatar.generator.networks import Decoder

_SHIFTED = ("to_styles", "to_rgb")
"""Layers whose bias changes too; the biases before an AdaIN have no effect."""


class _LowRank(nn.Module):
    """Adds ``up @ down`` to a weight; nothing at first."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        inputs = weight[0].numel()
        rank = min(rank, len(weight), inputs)
        self.up = nn.Parameter(torch.zeros(len(weight), rank))
        self.down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


class _Shift(nn.Module):
    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros_like(bias))

    def forward(self, bias: Tensor) -> Tensor:
        return bias + self.shift


class LearningDecoder(nn.Module):
    """A copy of a decoder and a person's style, both of which learn.

    Args:
        decoder: the shipped one; stays as it is.
        style: ``[1, style]`` of the person.
        rank: of the changes.
    """

    def __init__(self, decoder: Decoder, style: Tensor, rank: int) -> None:
        super().__init__()
        self.decoder = deepcopy(decoder).requires_grad_(False)
        self.register_buffer("given", style.detach().clone())
        self.shift = nn.Parameter(torch.zeros_like(style))
        for name, layer in list(self.decoder.named_modules()):
            if isinstance(layer, nn.Conv2d) or name in _SHIFTED:
                weight, bias = layer.weight, layer.bias
                assert isinstance(weight, Tensor)
                parametrize.register_parametrization(layer, "weight", _LowRank(weight, rank))
                if name in _SHIFTED:
                    assert isinstance(bias, Tensor)
                    parametrize.register_parametrization(layer, "bias", _Shift(bias))

    @property
    def style(self) -> Tensor:  # [1, style]
        given: Tensor = self.given  # type: ignore[assignment]
        return given + self.shift

    def learning(self) -> list[nn.Parameter]:
        """What the optimiser moves."""
        return [value for value in self.parameters() if value.requires_grad]

    def forward(
        self, warped: Tensor, outlines: Tensor, numbers: Tensor, features: Tensor
    ) -> Tensor:
        """As ``Decoder.forward``, in the person's style."""
        style = self.style.expand(len(warped), -1)
        answer: Tensor = self.decoder(warped, outlines, numbers, style, features)
        return answer

    def changes(self) -> dict[str, Tensor]:
        """The changes so far, float16, named as in ``Deltas`` but for the part."""
        return {name: value.detach().half() for name, value in self._named().items()}

    @torch.no_grad()
    def take(self, changes: dict[str, Tensor]) -> None:
        """Go back to changes of an earlier moment."""
        for name, value in self._named().items():
            value.copy_(changes[name])

    def _named(self) -> dict[str, nn.Parameter]:
        found = {"style.shift": self.shift}
        for name, value in self.decoder.named_parameters():
            if value.requires_grad:
                layer, _, rest = name.partition(".parametrizations.")
                which, _, kind = rest.partition(".0.")
                found[f"{layer}.{which}.{kind}"] = value
        return found
