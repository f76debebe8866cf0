"""``MotionStream``: sound in, the motion of the whole face out, on the clock of the sound.

Frame ``i`` of an utterance shows the face at sample ``i * 16000 / fps`` of it. It is made from the
block of sound that ends 40 to 80 ms later and never changes afterwards, so a stream gives the same
bits for any chunking. Between and after utterances the idle life goes on without a jump.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from avatar.config import SAMPLE_RATE
from avatar.errors import ConfigError, InputError
from avatar.motion.audio_to_face import (
    KNOTS,
    LOOKAHEAD_SECONDS,
    AudioToFace,
    MouthBlock,
)
from avatar.motion.curves import CURVES, curve_matrix
from avatar.motion.idle import IdleLife, Prosody
from avatar.speech import BANDS, FRAMES_PER_BLOCK, SAMPLES_PER_BLOCK, LogMelStream
from avatar.types import VISEME_NAMES, FloatArray, Motion

_KNOT_SAMPLES = SAMPLES_PER_BLOCK // (KNOTS - 1)
_HANDOVER_SECONDS = 0.08
_SILENCE = np.zeros(SAMPLES_PER_BLOCK, np.float32)
_STILL = MouthBlock(
    curves=np.zeros((KNOTS, len(CURVES)), np.float32),
    visemes=np.eye(1, len(VISEME_NAMES), dtype=np.float32).repeat(KNOTS, 0),
    speech=np.zeros(KNOTS, np.float32),
)


@dataclass(frozen=True, eq=False)
class _Instant:
    """What the voice says about one frame."""

    curves: FloatArray
    visemes: FloatArray
    accent: float
    speech: float


class MotionStream:
    """The moving face of one stream of speech.

    Args:
        model: the network, shared between streams.
        fps: frames a second, 1 to 120.
        seed: of blinks, glances and head motion.

    Raises:
        ConfigError: ``fps`` outside 1 to 120.

    >>> stream = MotionStream(AudioToFace.load(), fps=25, seed=0)
    >>> first = stream.push(np.zeros(16000, np.float32))
    >>> len(first) + len(stream.flush())
    25
    """

    def __init__(self, model: AudioToFace, *, fps: float = 25.0, seed: int = 0) -> None:
        if not 1 <= fps <= 120:
            raise ConfigError(f"fps must be within 1 to 120, got {fps}")
        self.fps = float(fps)
        self.lookahead_seconds = LOOKAHEAD_SECONDS
        self._model = model
        self._to_arkit = curve_matrix()
        self._life = IdleLife(seed)
        self._prosody = Prosody()
        self._features = LogMelStream()
        self._frames = 0  # given out, in all utterances and pauses
        self._quiet_samples = 0.0
        self._shown = _Instant(_STILL.curves[0], _STILL.visemes[0], 0.0, 0.0)
        self._begin_utterance()

    def _begin_utterance(self) -> None:
        """Forget the sound; remember the mouth as shown, to leave it smoothly."""
        self._features.reset()
        self._state = self._model.start()
        self._received = 0
        self._blocks = 0
        self._made = 0  # frames of this utterance, given out or waiting
        self._given = 0
        self._waiting: deque[_Instant] = deque()
        self._left = self._shown

    def push(self, samples: FloatArray) -> Motion:
        """Add sound to the utterance.

        Args:
            samples: ``[N]`` float32 at 16 kHz, any N.

        Returns:
            The frames that became ready, perhaps none.

        Raises:
            AudioError: not mono float32.
        """
        features = self._features.push(samples)
        self._received += len(samples)
        self._hear(features)
        return self._give(round(self._received / SAMPLE_RATE * self.fps))

    def flush(self) -> Motion:
        """End the utterance.

        Returns:
            The rest of its frames; ``round(N / 16000 * fps)`` in all, at least one.
        """
        total = max(1, round(self._received / SAMPLE_RATE * self.fps))
        while self._made < total:
            self._hear(self._features.push(_SILENCE))
        motion = self._give(total)
        self._begin_utterance()
        return motion

    def interrupt(self) -> None:
        """Drop the utterance with all frames not given out; the mouth closes over the next ones."""
        self._begin_utterance()

    def idle(self, frames: int) -> Motion:
        """``frames`` frames of the face between utterances: alive, its mouth calm.

        Raises:
            InputError: an utterance is under way; end it with ``flush`` or ``interrupt``.
        """
        if self._received:
            raise InputError("the face speaks; end the utterance with flush() or interrupt() first")
        self._left = self._shown
        instants = []
        for i in range(frames):
            self._quiet_samples += SAMPLE_RATE / self.fps
            while self._quiet_samples >= SAMPLES_PER_BLOCK:
                self._prosody.hear(0.0, 0.0)
                self._quiet_samples -= SAMPLES_PER_BLOCK
            accent, speech = self._prosody.accent, self._prosody.speech
            instants.append(self._instant(_STILL, 0.0, i, accent, speech))
        motion = self._motion(instants)
        self._left = self._shown
        return motion

    def _hear(self, features: FloatArray) -> None:
        """Run the network over new features and make the frames that it decides."""
        for start in range(0, len(features), FRAMES_PER_BLOCK):
            block = features[start : start + FRAMES_PER_BLOCK]
            mouth = self._model.step(block, self._state)
            was = self._prosody.accent, self._prosody.speech
            self._prosody.hear(float(block[:, BANDS].mean()), float(mouth.speech[-1]))
            origin = (self._blocks - 1) * SAMPLES_PER_BLOCK
            self._blocks += 1
            while (at := self._made * SAMPLE_RATE / self.fps - origin) < SAMPLES_PER_BLOCK:
                share = at / SAMPLES_PER_BLOCK
                accent = was[0] + (self._prosody.accent - was[0]) * share
                speech = was[1] + (self._prosody.speech - was[1]) * share
                knot = at / _KNOT_SAMPLES
                self._waiting.append(self._instant(mouth, knot, self._made, accent, speech))
                self._made += 1

    def _instant(
        self, mouth: MouthBlock, knot: float, index: int, accent: float, speech: float
    ) -> _Instant:
        """The mouth at a fractional knot, eased from how it was left ``index`` frames ago."""
        below = min(int(knot), KNOTS - 2)
        share = np.float32(knot - below)
        curves = mouth.curves[below] + (mouth.curves[below + 1] - mouth.curves[below]) * share
        visemes = mouth.visemes[below] + (mouth.visemes[below + 1] - mouth.visemes[below]) * share
        left = np.float32(math.exp(-(index + 1) / self.fps / _HANDOVER_SECONDS))
        curves = curves + (self._left.curves - curves) * left
        visemes = visemes + (self._left.visemes - visemes) * left
        return _Instant(curves, visemes, accent, speech)

    def _give(self, allowed: int) -> Motion:
        instants = []
        while self._waiting and self._given < allowed:
            instants.append(self._waiting.popleft())
            self._given += 1
        return self._motion(instants)

    def _motion(self, instants: list[_Instant]) -> Motion:
        """The whole face of the frames that go out now."""
        frames = len(instants)
        motion = Motion.still(frames, self.fps)
        for i, instant in enumerate(instants):
            expression, rotation, translation, gaze = self._life.at(
                self._frames / self.fps, accent=instant.accent, speech=instant.speech
            )
            motion.expression[i] = expression + instant.curves @ self._to_arkit
            motion.rotation[i] = rotation
            motion.translation[i] = translation
            motion.gaze[i] = gaze
            motion.visemes[i] = instant.visemes
            self._frames += 1
        if instants:
            self._shown = instants[-1]
        return motion
