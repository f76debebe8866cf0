"""The audio-to-face network as it is trained; ``avatar.motion.AudioToFace`` runs it as a stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar.face import FaceRig
from avatar.motion.curves import CURVES, curve_matrix
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
    """

    width: int = 256
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16)


class AudioToFaceNetwork(nn.Module):
    """Blocks of features to raw outputs at the three taps."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: NetworkShape, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.input = nn.Linear(2 * FRAMES_PER_BLOCK * FEATURES, shape.width)
        width = shape.width
        self.layers = nn.ModuleList(nn.Linear(2 * width, width) for _ in shape.dilations)
        self.head = nn.Linear(shape.width, shape.width)
        self.output = nn.Linear(shape.width, len(TAPS) * OUTPUTS)
        self.dropout = nn.Dropout(0.15)
        nn.init.constant_(self.output.bias, 0.0)

    @staticmethod
    def _delayed(x: Tensor, blocks: int) -> Tensor:
        return functional.pad(x, (0, 0, blocks, 0))[:, : x.shape[1]]

    def forward(self, features: Tensor) -> Tensor:
        """``[B, 4 * N, 81]`` features to ``[B, N, 3, 32]`` raw outputs."""
        x = (features - self.mean) / self.deviation
        x = x.reshape(len(x), -1, FRAMES_PER_BLOCK * FEATURES)
        h = functional.relu(self.input(torch.cat([self._delayed(x, 1), x], 2)))
        for layer, dilation in zip(self.layers, self.shape.dilations, strict=True):
            pair = torch.cat([self._delayed(h, dilation), h], 2)
            h = h + functional.relu(layer(self.dropout(pair)))
        h = functional.relu(self.head(self.dropout(h)))
        out: Tensor = self.output(h)
        return out.reshape(*out.shape[:2], len(TAPS), OUTPUTS)

    def export(self) -> dict[str, Tensor]:
        """The tensors of the streaming model: the normalisation folded into the first layer."""
        repeat = 2 * FRAMES_PER_BLOCK
        scale = 1.0 / self.deviation.repeat(repeat)
        shift = self.mean.repeat(repeat) * scale
        weight = self.input.weight.detach()
        tensors = {
            "input.weight": weight * scale,
            "input.bias": self.input.bias.detach() - weight @ shift,
        }
        for i, layer in enumerate(self.layers):
            tensors |= {f"layers.{i}.{k}": v for k, v in layer.state_dict().items()}
        for name in ("head", "output"):
            tensors |= {f"{name}.{k}": v for k, v in getattr(self, name).state_dict().items()}
        return tensors


def split(raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Raw outputs to curves (not negative, with a small slope below), viseme logits, gate logit."""
    curves = functional.leaky_relu(raw[..., : len(CURVES)], 0.05)
    return curves, raw[..., len(CURVES) : -1], raw[..., -1]


def lip_matrix() -> Tensor:
    """``[16, 2]``: inner-lip opening and width that each curve gives through the rig."""
    basis = FaceRig.load().expression_basis
    lips = np.stack([basis[:, 14, 1] - basis[:, 13, 1], basis[:, 308, 0] - basis[:, 78, 0]], 1)
    return torch.from_numpy((curve_matrix() @ lips).astype(np.float32))
