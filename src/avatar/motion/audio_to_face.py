"""The network that hears speech and moves the mouth, run as a stream.

One step takes four feature frames (40 ms of sound) and gives the mouth at 80, 60 and 40 ms before
the end of that sound: the first two are its 50 outputs a second, the third only carries
interpolation to the next step. Sound later than 80 ms after a moment therefore cannot change it.

Two towers of dilated layers hear the same sound: a large one says how the mouth moves, a small one
whether there is a voice at all. A step always has the same shapes, one stream at a time, so that
the results are the same bits however the sound arrives and whoever else speaks.
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
from avatar.motion.curves import CURVES, NOT_PARTED, OPENS, PARTED, PRESSED
from avatar.ops import Dense, Tower
from avatar.speech import BAND_FLOOR, FEATURES, FRAMES_PER_BLOCK, SAMPLES_PER_BLOCK
from avatar.types import VISEME_NAMES, FloatArray
from avatar.weights import load_weights

KNOTS = 3
"""Outputs of a step, 20 ms apart."""
LOOKAHEAD_SAMPLES = 2 * SAMPLES_PER_BLOCK
LOOKAHEAD_SECONDS = LOOKAHEAD_SAMPLES / SAMPLE_RATE
_MOUTH_OUTPUTS = len(CURVES) + len(VISEME_NAMES)
_FORMAT = 2
GATE_FROM, GATE_SPAN = 0.5, 0.4
_ZERO, _ONE, _LEAST_LOGIT = np.float32(0.0), np.float32(1.0), np.float32(-30.0)


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
    """What the network remembers of one stream."""

    inputs: FloatArray  # [2 * 324], the last block and the new one
    mouth: FloatArray  # of its tower
    gate: FloatArray
    steps: int = 0

    def copy(self) -> AudioToFaceState:
        return AudioToFaceState(self.inputs.copy(), self.mouth.copy(), self.gate.copy(), self.steps)


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
        dilations = tuple(int(d) for d in config["dilations"])
        width, gate_width = int(config["width"]), int(config["gate_width"])
        layers = _layers(tensors, _shapes(width, gate_width, len(dilations)))
        self._mouth, self._gate = (
            Tower(
                layers[f"{name}.input"],
                [layers[f"{name}.layers.{i}"] for i in range(len(dilations))],
                dilations,
            )
            for name in ("mouth", "gate")
        )
        self._head = Dense(*layers["head"], rectified=True)
        self._output, self._gate_output = Dense(*layers["output"]), Dense(*layers["gate_output"])
        self._silence = self._after_silence(sum(dilations) + 1)

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

    def _after_silence(self, steps: int) -> AudioToFaceState:
        inputs = np.full(2 * FRAMES_PER_BLOCK * FEATURES, BAND_FLOOR, np.float32)
        state = AudioToFaceState(inputs, self._mouth.start(), self._gate.start())
        silence = np.full((FRAMES_PER_BLOCK, FEATURES), BAND_FLOOR, np.float32)
        for _ in range(steps):
            self.step(silence, state)
        return state

    def step(self, features: FloatArray, state: AudioToFaceState) -> MouthBlock:
        """Hear 40 ms more.

        Args:
            features: ``[4, 81]`` of ``LogMelStream``.
            state: of this stream; changed in place.
        """
        block = FRAMES_PER_BLOCK * FEATURES
        state.inputs[:block] = state.inputs[block:]
        state.inputs[block:] = features.reshape(-1)
        h = self._mouth(state.inputs, state.mouth, state.steps)
        voiced = self._gate(state.inputs, state.gate, state.steps)
        state.steps += 1
        raw = self._output(self._head(h)).reshape(KNOTS, _MOUTH_OUTPUTS)
        return _mouth(raw, self._gate_output(voiced))


def _shapes(width: int, gate_width: int, depth: int) -> dict[str, tuple[int, int]]:
    """``[out, in]`` of each layer."""
    block = FRAMES_PER_BLOCK * FEATURES
    shapes = {}
    for name, own in (("mouth", width), ("gate", gate_width)):
        shapes[f"{name}.input"] = (own, 2 * block)
        shapes |= {f"{name}.layers.{i}": (own, 2 * own) for i in range(depth)}
    return shapes | {
        "head": (width, width),
        "output": (KNOTS * _MOUTH_OUTPUTS, width),
        "gate_output": (KNOTS, gate_width),
    }


def _layers(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Weight and bias of each layer of ``shapes``.

    Raises:
        WeightsError: there are others, or of other shapes.
    """
    wanted = {f"{name}.{part}" for name in shapes for part in ("weight", "bias")}
    if set(tensors) != wanted:
        odd = sorted(wanted.symmetric_difference(tensors))
        raise WeightsError(f"audio_to_face weights do not fit the model: {', '.join(odd)}")
    for name, shape in shapes.items():
        found = tuple(tensors[f"{name}.weight"].shape)
        if found != shape:
            raise WeightsError(
                f"audio_to_face weights: {name}.weight must be {list(shape)}, got {list(found)}"
            )
    return {name: (tensors[f"{name}.weight"], tensors[f"{name}.bias"]) for name in shapes}


def _mouth(raw: FloatArray, voiced: FloatArray) -> MouthBlock:
    """Raw outputs ``[3, 31]``, curves and viseme logits, and speech logits ``[3]``."""
    gate = _ONE / (_ONE + np.exp(-np.maximum(voiced, _LEAST_LOGIT)))
    open_by = (gate - np.float32(GATE_FROM)) / np.float32(GATE_SPAN)
    speech: FloatArray = np.minimum(np.maximum(open_by, _ZERO), _ONE)
    logits = raw[:, len(CURVES) :]
    visemes = np.exp(logits - logits.max(1, keepdims=True))
    visemes /= visemes.sum(1, keepdims=True)
    curves = np.maximum(raw[:, : len(CURVES)], _ZERO) * (_ONE - visemes[:, PRESSED, None] * OPENS)
    curves += np.maximum(_ONE - visemes @ NOT_PARTED, _ZERO)[:, None] * PARTED
    heard = speech[:, None]
    curves = np.minimum(curves, _ONE) * heard
    visemes *= heard
    visemes[:, 0] += _ONE - speech
    return MouthBlock(curves, visemes, speech)
