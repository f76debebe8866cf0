"""The network that hears speech and moves the mouth, run as a stream.

One step takes four feature frames (40 ms of sound) and gives the mouth at 80, 60 and 40 ms before
the end of that sound: the first two are its 50 outputs a second, the third only carries
interpolation to the next step. Sound later than 80 ms after a moment therefore cannot change it.

The step is plain numpy on vectors, always in the same shapes: at this size (0.8 million weights)
the time goes into reading the weights, and the results are the same bits however the sound arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from avatar.config import SAMPLE_RATE
from avatar.errors import WeightsError
from avatar.motion.curves import CURVES
from avatar.speech import BAND_FLOOR, FEATURES, FRAMES_PER_BLOCK, SAMPLES_PER_BLOCK
from avatar.types import VISEME_NAMES, FloatArray
from avatar.weights import load_weights

KNOTS = 3
"""Outputs of a step, 20 ms apart."""
LOOKAHEAD_SAMPLES = 2 * SAMPLES_PER_BLOCK
LOOKAHEAD_SECONDS = LOOKAHEAD_SAMPLES / SAMPLE_RATE
_OUTPUTS = len(CURVES) + len(VISEME_NAMES) + 1
_FORMAT = 1
GATE_FROM, GATE_SPAN = 0.3, 0.4


@dataclass(frozen=True, eq=False)
class MouthBlock:
    """The mouth over one step, at knots 20 ms apart.

    Attributes:
        curves: ``[3, 16]`` in [0, 1], the order of ``CURVES``; zero where there is no voice.
        visemes: ``[3, 15]``, each row sums to 1.
        speech: ``[3]`` in [0, 1], whether there is a voice.
    """

    curves: FloatArray
    visemes: FloatArray
    speech: FloatArray


@dataclass(eq=False)
class AudioToFaceState:
    """What the network remembers of one stream: the last block and a ring for each layer."""

    inputs: FloatArray  # [2 * 324], the last block and the new one
    rings: list[FloatArray]  # [dilation, width] each
    pairs: FloatArray  # [2 * width], what a layer reads: the past, the present
    steps: int = 0

    def copy(self) -> AudioToFaceState:
        return AudioToFaceState(
            self.inputs.copy(), [r.copy() for r in self.rings], self.pairs.copy(), self.steps
        )


class AudioToFace:
    """The model; it never changes after loading and may serve any number of streams.

    >>> model = AudioToFace.load()
    >>> state = model.start()
    >>> model.step(np.zeros((4, 81), np.float32), state).curves.shape
    (3, 16)
    """

    def __init__(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        if config.get("format") != _FORMAT or tuple(config.get("curves", ())) != CURVES:
            raise WeightsError(
                "these audio_to_face weights are of another version; reinstall the package"
            )
        self._dilations = tuple(int(d) for d in config["dilations"])
        self._width = int(config["width"])
        names = ["input", *(f"layers.{i}" for i in range(len(self._dilations))), "head", "output"]
        wanted = {f"{name}.{part}" for name in names for part in ("weight", "bias")}
        if set(tensors) != wanted:
            odd = sorted(wanted.symmetric_difference(tensors))
            raise WeightsError(f"audio_to_face weights do not fit the model: {', '.join(odd)}")
        arrays = {k: np.ascontiguousarray(v.numpy(), np.float32) for k, v in tensors.items()}
        for array in arrays.values():
            array.setflags(write=False)
        self._layers = [(arrays[f"{n}.weight"], arrays[f"{n}.bias"]) for n in names]
        block = FRAMES_PER_BLOCK * FEATURES
        width = self._width
        shapes = [(width, 2 * block), *[(width, 2 * width)] * len(self._dilations), (width, width)]
        shapes.append((KNOTS * _OUTPUTS, width))
        for name, shape, (weight, _) in zip(names, shapes, self._layers, strict=True):
            if weight.shape != shape:
                found = list(weight.shape)
                raise WeightsError(
                    f"audio_to_face weights: {name}.weight must be {list(shape)}, got {found}"
                )
        self._silence = self._after_silence()

    @classmethod
    def load(cls, folder: Path | str | None = None) -> AudioToFace:
        """The model this package ships, or one trained into ``folder``.

        Raises:
            WeightsError: missing, damaged, or of another version.
        """
        return cls(*load_weights("audio_to_face", folder=folder))

    def start(self) -> AudioToFaceState:
        """The state of a stream that has heard only silence."""
        return self._silence.copy()

    def _after_silence(self) -> AudioToFaceState:
        width = self._width
        state = AudioToFaceState(
            inputs=np.full(2 * FRAMES_PER_BLOCK * FEATURES, BAND_FLOOR, np.float32),
            rings=[np.zeros((d, width), np.float32) for d in self._dilations],
            pairs=np.zeros(2 * width, np.float32),
        )
        silence = np.full((FRAMES_PER_BLOCK, FEATURES), BAND_FLOOR, np.float32)
        for _ in range(sum(self._dilations) + 1):
            self.step(silence, state)
        return state

    def step(self, features: FloatArray, state: AudioToFaceState) -> MouthBlock:
        """Hear 40 ms more.

        Args:
            features: ``[4, 81]`` of ``LogMelStream``.
            state: of this stream; changed in place.
        """
        block, width = FRAMES_PER_BLOCK * FEATURES, self._width
        state.inputs[:block] = state.inputs[block:]
        state.inputs[block:] = features.reshape(-1)
        weight, bias = self._layers[0]
        h = np.maximum(weight @ state.inputs + bias, 0.0)
        for (weight, bias), dilation, ring in zip(
            self._layers[1:-2], self._dilations, state.rings, strict=True
        ):
            slot = state.steps % dilation
            state.pairs[:width] = ring[slot]
            state.pairs[width:] = h
            ring[slot] = h
            h = h + np.maximum(weight @ state.pairs + bias, 0.0)
        state.steps += 1
        for weight, bias in self._layers[-2:-1]:
            h = np.maximum(weight @ h + bias, 0.0)
        weight, bias = self._layers[-1]
        return _mouth((weight @ h + bias).reshape(KNOTS, _OUTPUTS))


def _mouth(raw: FloatArray) -> MouthBlock:
    """Raw outputs ``[3, 32]``: curves, viseme logits, speech logit."""
    gate = 1.0 / (1.0 + np.exp(-np.clip(raw[:, -1], -30.0, 30.0)))
    speech = np.clip((gate - GATE_FROM) / GATE_SPAN, 0.0, 1.0).astype(np.float32)
    curves = np.clip(raw[:, : len(CURVES)], 0.0, 1.0) * speech[:, None]
    logits = raw[:, len(CURVES) : -1]
    visemes = np.exp(logits - logits.max(1, keepdims=True))
    visemes *= (speech / visemes.sum(1))[:, None]
    visemes[:, 0] += 1.0 - speech
    return MouthBlock(curves, visemes, speech)
