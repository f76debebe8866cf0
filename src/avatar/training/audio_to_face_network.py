"""The audio-to-face network as it is trained; ``avatar.motion.AudioToFace`` runs it as a stream."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar.motion.curves import (
    CURVES,
    NOT_PARTED,
    OPENS,
    PARTED,
    PRESSED,
)
from avatar.speech import FEATURES, FRAMES_PER_BLOCK
from avatar.training.speech_batches import TAPS
from avatar.types import VISEME_NAMES

OUTPUTS = len(CURVES) + len(VISEME_NAMES) + 1


@dataclass(frozen=True)
class NetworkShape:
    """The size of the network.

    Attributes:
        width: channels of every layer.
        dilations: blocks that each layer looks back.
        gate_width: likewise of the tower that hears whether there is a voice at all.
    """

    width: int = 256
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16)
    gate_width: int = 64


class _Tower(nn.Module):
    """Blocks of normalised features to what a stretch of past makes of them."""

    def __init__(self, width: int, dilations: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.dilations = dilations
        self.input = nn.Linear(2 * FRAMES_PER_BLOCK * FEATURES, width)
        self.layers = nn.ModuleList(nn.Linear(2 * width, width) for _ in dilations)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu(self.input(torch.cat([_delayed(x, 1), x], 2)))
        for layer, dilation in zip(self.layers, self.dilations, strict=True):
            pair = torch.cat([_delayed(h, dilation), h], 2)
            h = h + functional.relu(layer(self.dropout(pair)))
        out: Tensor = self.dropout(h)
        return out


def _delayed(x: Tensor, blocks: int) -> Tensor:
    return functional.pad(x, (0, 0, blocks, 0))[:, : x.shape[1]]


class AudioToFaceNetwork(nn.Module):
    """Blocks of features to raw outputs at the three taps.

    Whether there is a voice is heard by a small tower of its own: in one tower with the mouth, the
    sternness that music needs made the mouth timid.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: NetworkShape, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.mouth = _Tower(shape.width, shape.dilations, 0.15)
        self.head = nn.Linear(shape.width, shape.width)
        self.output = nn.Linear(shape.width, len(TAPS) * (OUTPUTS - 1))
        self.gate = _Tower(shape.gate_width, shape.dilations, 0.05)
        self.gate_output = nn.Linear(shape.gate_width, len(TAPS))
        nn.init.constant_(self.output.bias, 0.0)

    def forward(self, features: Tensor) -> Tensor:
        """``[B, 4 * N, 81]`` features to ``[B, N, 3, 32]`` raw outputs."""
        x = (features - self.mean) / self.deviation
        x = x.reshape(len(x), -1, FRAMES_PER_BLOCK * FEATURES)
        h = functional.relu(self.head(self.mouth(x)))
        mouth = self.output(h).unflatten(-1, (len(TAPS), OUTPUTS - 1))
        voiced = self.gate_output(self.gate(x))[..., None]
        return torch.cat([mouth, voiced], -1)

    def export(self) -> dict[str, Tensor]:
        """The tensors of the streaming model: bfloat16 weights, normalisation folded in."""
        repeat = 2 * FRAMES_PER_BLOCK
        scale = 1.0 / self.deviation.repeat(repeat)
        shift = self.mean.repeat(repeat) * scale
        tensors = {k: v.detach() for k, v in self.state_dict().items()}
        for name in ("mean", "deviation"):
            del tensors[name]
        for tower in ("mouth", "gate"):
            weight = tensors[f"{tower}.input.weight"]
            tensors[f"{tower}.input.weight"] = weight * scale
            tensors[f"{tower}.input.bias"] = tensors[f"{tower}.input.bias"] - weight @ shift
        return {k: v.to(torch.bfloat16) if v.dim() == 2 else v for k, v in tensors.items()}


def split(raw: Tensor, *, slope: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Raw outputs to curves, viseme logits and gate logit, as the stream makes them.

    Args:
        raw: ``[..., 32]``.
        slope: of the curves below zero; in training a little, so that they find back.
    """
    curves = functional.leaky_relu(raw[..., : len(CURVES)], slope)
    logits = raw[..., len(CURVES) : -1]
    shares = logits.softmax(-1)
    pressed = shares[..., PRESSED, None]
    parted = functional.relu(1.0 - shares @ torch.from_numpy(NOT_PARTED))[..., None]
    curves = curves * (1.0 - pressed * torch.from_numpy(OPENS)) + parted * torch.from_numpy(PARTED)
    return curves, logits, raw[..., -1]
