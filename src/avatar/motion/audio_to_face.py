"""The network that hears speech and moves the mouth, run as a stream.

One step takes four feature frames (40 ms of sound) and gives the mouth at 80, 60 and 40 ms before
the end of that sound: the first two are its 50 outputs a second, the third only carries
interpolation to the next step. Sound later than 80 ms after a moment therefore cannot change it.

Two towers of dilated layers hear the same sound: a large one says how the mouth moves, a small one
whether there is a voice at all. Their weights do not fit into a core's cache, so most of a lonely
step is reading them: ``AudioToFace.hear`` takes steps of many streams together. A step gives the
same bits however the sound arrives and whoever else speaks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from avatar.config import SAMPLE_RATE
from avatar.errors import WeightsError
from avatar.motion.curves import CURVES, NOT_PARTED, OPENS, PARTED, PRESSED
from avatar.ops import Mouth, Tower
from avatar.speech import (
    BAND_FLOOR,
    BANDS,
    FEATURES,
    FRAMES_PER_BLOCK,
    SAMPLES_PER_BLOCK,
    LogMelStream,
    take_features,
)
from avatar.types import VISEME_NAMES, FloatArray
from avatar.weights import load_weights

KNOTS = 3
"""Outputs of a step, 20 ms apart."""
LOOKAHEAD_SAMPLES = 2 * SAMPLES_PER_BLOCK
LOOKAHEAD_SECONDS = LOOKAHEAD_SAMPLES / SAMPLE_RATE
_MOUTH_OUTPUTS = len(CURVES) + len(VISEME_NAMES)
_FORMAT = 2
GATE_FROM, GATE_SPAN = 0.5, 0.4
_BLOCK = FRAMES_PER_BLOCK * FEATURES
_MOST_STEPS = 256
"""In one go; more would not share the weights any better."""


@dataclass(frozen=True, eq=False)
class MouthBlocks:
    """The mouth over some steps, at knots 20 ms apart.

    Attributes:
        shape: ``[R, 3, 16 + 15]``: the curves, in the order of ``CURVES``, each in [0, 1] and zero
            where there is no voice; then the visemes, which sum to 1.
        speech: ``[R, 3]`` in [0, 1], whether there is a voice.
    """

    shape: FloatArray
    speech: FloatArray

    @property
    def curves(self) -> FloatArray:
        """``[R, 3, 16]``."""
        return self.shape[..., : len(CURVES)]

    @property
    def visemes(self) -> FloatArray:
        """``[R, 3, 15]``."""
        return self.shape[..., len(CURVES) :]


@dataclass(eq=False)
class AudioToFaceState:
    """What the network remembers of one stream."""

    last: FloatArray  # [4 * 81], the last block
    mouth: FloatArray  # of its tower
    gate: FloatArray
    steps: int = 0

    def copy(self) -> AudioToFaceState:
        return AudioToFaceState(self.last.copy(), self.mouth.copy(), self.gate.copy(), self.steps)


class Heard(NamedTuple):
    """What 40 ms of sound say.

    Attributes:
        mouth: ``[3, 16 + 15]``, curves and visemes at knots 20 ms apart.
        speech: whether there is a voice at the last knot, 0 to 1.
        loudness: mean power of the sound in bels relative to the running level.
    """

    mouth: FloatArray
    speech: float
    loudness: float


class Ear:
    """The sound of one stream: what came of it, what the network remembers, what it heard.

    Attributes:
        heard: results of ``AudioToFace.hear`` that nobody took yet, in order.
    """

    def __init__(self, state: AudioToFaceState) -> None:
        self.heard: deque[Heard] = deque()
        self._state = state
        self._features = LogMelStream()

    def listen(self, samples: FloatArray) -> None:
        """Add sound, ``[N]`` float32 at 16 kHz.

        Raises:
            AudioError: not mono float32.
        """
        self._features.listen(samples)

    @property
    def waiting(self) -> int:
        """Blocks of 40 ms that came and were not heard."""
        return self._features.waiting


class AudioToFace:
    """The model; it never changes after loading and may serve any number of streams.

    >>> model = AudioToFace.load()
    >>> ears = [model.ear(), model.ear()]
    >>> for ear in ears:
    ...     ear.listen(np.zeros(1600, np.float32))
    >>> model.hear(ears)
    >>> [len(ear.heard) for ear in ears]
    [2, 2]
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
                [layers[last] for last in tail],
            )
            for name, tail in (("mouth", ("head", "output")), ("gate", ("gate_output",)))
        )
        self._closing = Mouth(
            opens=OPENS, parted=PARTED, not_parted=NOT_PARTED, pressed=PRESSED,
            gate=(GATE_FROM, GATE_SPAN),
        )  # fmt: skip
        self._silence = self._after_silence(sum(dilations) + 1)

    @classmethod
    def load(cls, folder: Path | str | None = None) -> AudioToFace:
        """The model this package ships, or one trained into ``folder``.

        Raises:
            WeightsError: missing, damaged, or of another version.
        """
        return cls(*load_weights("audio_to_face", folder=folder))

    def _after_silence(self, steps: int) -> AudioToFaceState:
        last = np.full(_BLOCK, BAND_FLOOR, np.float32)
        state = AudioToFaceState(last, self._mouth.start(), self._gate.start())
        silence = np.full((steps, FRAMES_PER_BLOCK, FEATURES), BAND_FLOOR, np.float32)
        self.step(silence, [state] * steps)
        return state

    def ear(self) -> Ear:
        """For a stream that has heard only silence."""
        return Ear(self.start())

    def hear(self, ears: Sequence[Ear]) -> None:
        """Hear all that waits in ``ears``, which are of this model and each named once.

        The weights are read once for all of them; what an ear hears depends on its own sound alone.
        """
        share = max(1, _MOST_STEPS // max(1, len(ears)))
        while any(blocks := [min(ear.waiting, share) for ear in ears]):
            self._hear(ears, blocks)

    def _hear(self, ears: Sequence[Ear], blocks: Sequence[int]) -> None:
        """Hear so many blocks of each ear."""
        features = take_features([ear._features for ear in ears], blocks)
        states = [ear._state for ear, count in zip(ears, blocks, strict=True) for _ in range(count)]
        made = self.step(features, states)
        speech = made.speech[:, -1].tolist()
        loudness = [sum(powers) / len(powers) for powers in features[:, :, BANDS].tolist()]
        results = map(Heard, made.shape, speech, loudness)
        for ear, count in zip(ears, blocks, strict=True):
            ear.heard.extend(islice(results, count))

    def start(self) -> AudioToFaceState:
        """The state of a stream that has heard only silence."""
        return self._silence.copy()

    def step(
        self,
        features: FloatArray,  # [R, 4, 81] of ``LogMelStream``
        states: Sequence[AudioToFaceState],
    ) -> MouthBlocks:
        """Hear 40 ms more of some streams.

        Args:
            features: a row for each step.
            states: of the stream of each row; changed. A stream may have several rows, one after
                the other.
        """
        blocks = features.reshape(len(states), _BLOCK)
        inputs = np.empty((len(states), 2 * _BLOCK), np.float32)
        inputs[:, _BLOCK:] = blocks
        steps = []
        for row, state in enumerate(states):
            inputs[row, :_BLOCK] = state.last
            state.last = blocks[row].copy()
            steps.append(state.steps)
            state.steps += 1
        raw = self._mouth(inputs, [state.mouth for state in states], steps)
        voiced = self._gate(inputs, [state.gate for state in states], steps)
        shape, speech = self._closing(raw.reshape(-1, _MOUTH_OUTPUTS), voiced.reshape(-1))
        return MouthBlocks(shape.reshape(-1, KNOTS, _MOUTH_OUTPUTS), speech.reshape(-1, KNOTS))


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
