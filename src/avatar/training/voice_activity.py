"""Is there a voice in a sound? Silero's detector (MIT), weights of the ``silero-vad`` package.

The package itself is never imported: it would set torch's threads and load a deprecated format.
Its network is small enough to stand here: each window of 32 ms, with 4 ms of the sound before it,
becomes a spectrum, four convolutions and one step of an LSTM.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from avatar.config import SAMPLE_RATE
from avatar.errors import DependencyError
from avatar.types import FloatArray

WINDOW_SECONDS = 0.032

_WINDOW = int(WINDOW_SECONDS * SAMPLE_RATE)
_BEFORE = 64
_BINS = 129
_AT_ONCE = 2048
_WEIGHTS = Path("data") / "silero_vad_16k.safetensors"


@torch.no_grad()
def voice_probability(
    samples: FloatArray,  # [N] 16 kHz, in [-1, 1]
) -> FloatArray:
    """``[ceil(N / 512)]``: how likely each window of 32 ms holds a voice.

    Raises:
        DependencyError: ``silero-vad`` is not installed, or a release without these weights.
    """
    if not len(samples):
        return np.zeros(0, np.float32)
    weights, recurrent = _network()
    padded = np.pad(samples.astype(np.float32), (_BEFORE, -len(samples) % _WINDOW))
    windows = torch.from_numpy(padded).unfold(0, _WINDOW + _BEFORE, _WINDOW)
    seen = torch.cat([_encode(part, weights) for part in torch.split(windows, _AT_ONCE)])
    heard = recurrent(seen[None])[0][0].relu()
    scores = heard @ weights["final_conv.weight"][0] + weights["final_conv.bias"]
    return np.asarray(scores.sigmoid()[:, 0].numpy(), np.float32)


def _encode(windows: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """``[B, 576]`` samples to ``[B, 128]``."""
    x = F.pad(windows[:, None], (0, 64), mode="reflect")
    waves = F.conv1d(x, weights["stft_conv.weight"], stride=128)
    x = torch.hypot(waves[:, :_BINS], waves[:, _BINS:])
    for number, stride in ((1, 1), (2, 2), (3, 2), (4, 1)):
        weight, bias = (weights[f"conv{number}.{part}"] for part in ("weight", "bias"))
        x = F.conv1d(x, weight, bias, stride=stride, padding=1).relu()
    return x[..., 0]


@cache
def _network() -> tuple[dict[str, Tensor], torch.nn.LSTM]:
    weights = load_file(_weights_path())
    recurrent = torch.nn.LSTM(128, 128, batch_first=True)
    cell = {
        f"{kind}_l0": weights[f"lstm_cell.{kind}"]
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    recurrent.load_state_dict(cell)
    weights["final_conv.weight"] = weights["final_conv.weight"].permute(2, 1, 0)
    return weights, recurrent.eval()


def _weights_path() -> Path:
    found = importlib.util.find_spec("silero_vad")
    path = Path(found.origin).parent / _WEIGHTS if found and found.origin else None
    if path is None or not path.is_file():
        raise DependencyError(
            "finding voices needs the silero-vad package, release 6.2.3; "
            'install it with: pip install "talking-avatar[train]"'
        )
    return path
