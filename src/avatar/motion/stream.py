"""``MotionStream``: sound in, the motion of the whole face out, on the clock of the sound.

Frame ``i`` of an utterance shows the face at sample ``i * 16000 / fps`` of it. It is made from the
block of sound that ends 40 to 80 ms later and never changes afterwards, so a stream gives the same
bits for any chunking. Between and after utterances the idle life goes on without a jump.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from avatar.config import SAMPLE_RATE
from avatar.errors import ConfigError, InputError
from avatar.motion.audio_to_face import (
    KNOTS,
    LOOKAHEAD_SECONDS,
    AudioToFace,
    Ear,
    Heard,
)
from avatar.motion.blend import StyleBlend, express
from avatar.motion.curves import CURVES
from avatar.motion.idle import SILENCE, IdleLife, Prosody, Voice
from avatar.motion.style import NEUTRAL, Style
from avatar.speech import SAMPLES_PER_BLOCK
from avatar.types import ARKIT_NAMES, VISEME_NAMES, FloatArray, Motion

_KNOT_SAMPLES = SAMPLES_PER_BLOCK // (KNOTS - 1)
_HANDOVER_SECONDS = 0.08
_HANDOVER_ENDS = 12.0 * _HANDOVER_SECONDS
_SILENCE = np.zeros(SAMPLES_PER_BLOCK, np.float32)
_CURVES = len(CURVES)
_STILL = np.zeros((KNOTS, _CURVES + len(VISEME_NAMES)), np.float32)
_STILL[:, _CURVES] = 1.0


class _Instant(NamedTuple):
    """What the voice says about one frame."""

    mouth: FloatArray  # [16 + 15], curves and visemes
    voice: Voice


class MotionStream:
    """The moving face of one stream of speech.

    Args:
        model: the network, shared between streams.
        fps: frames a second, 1 to 120.
        seed: of blinks, glances and head motion.
        style: how it speaks.

    Attributes:
        ear: where the sound of the utterance goes.
        style: may be set at any time. It holds from the next frame not yet given out, eased over
            0.2 s: the same changes at the same samples give the same bits for any chunking.

    Raises:
        ConfigError: ``fps`` outside 1 to 120.

    >>> stream = MotionStream(AudioToFace.load(), fps=25, seed=0)
    >>> first = stream.push(np.zeros(16000, np.float32))
    >>> len(first) + len(stream.flush())
    25
    """

    def __init__(
        self, model: AudioToFace, *, fps: float = 25.0, seed: int = 0, style: Style = NEUTRAL
    ) -> None:
        if not 1 <= fps <= 120:
            raise ConfigError(f"fps must be within 1 to 120, got {fps}")
        self.fps = float(fps)
        self.lookahead_seconds = LOOKAHEAD_SECONDS
        self._model = model
        self._blend = StyleBlend(style, self.fps)
        self._life = IdleLife(seed)
        self._prosody = Prosody()
        self._frames = 0  # given out, in all utterances and pauses
        self._quiet_samples = 0.0
        self._shown = _Instant(_STILL[0], SILENCE)
        self._nothing = Motion.still(0, self.fps)
        self._begin_utterance()

    @property
    def style(self) -> Style:
        return self._blend.style

    @style.setter
    def style(self, style: Style) -> None:
        self._blend.change(style)

    def _begin_utterance(self) -> None:
        """Forget the sound; remember the mouth as shown, to leave it smoothly."""
        self.ear: Ear = self._model.ear()
        self._received = 0
        self._blocks = 0
        self._made = 0  # frames of this utterance, given out or waiting
        self._given = 0
        self._waiting: deque[_Instant] = deque()
        self._left = self._shown.mouth

    def push(self, samples: FloatArray) -> Motion:
        """Add sound to the utterance.

        Args:
            samples: ``[N]`` float32 at 16 kHz, any N.

        Returns:
            The frames that became ready, perhaps none.

        Raises:
            AudioError: not mono float32.
        """
        self.listen(samples)
        return self.ready()

    def listen(self, samples: FloatArray) -> None:
        """Add sound to the utterance; ``ready`` gives the frames.

        Between the two the ``ear`` may hear together with those of other streams
        (``AudioToFace.hear``).

        Raises:
            AudioError: not mono float32.
        """
        self.ear.listen(samples)
        self._received += len(samples)

    def ready(self) -> Motion:
        """The frames that became ready, perhaps none."""
        self._hear()
        return self._give(round(self._received / SAMPLE_RATE * self.fps))

    def flush(self) -> Motion:
        """End the utterance.

        Returns:
            The rest of its frames; ``round(N / 16000 * fps)`` in all, at least one.
        """
        total = max(1, round(self._received / SAMPLE_RATE * self.fps))
        while self._made < total:
            self.ear.listen(_SILENCE)
            self._hear()
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
        self._left = self._shown.mouth
        instants = []
        for i in range(frames):
            self._quiet_samples += SAMPLE_RATE / self.fps
            while self._quiet_samples >= SAMPLES_PER_BLOCK:
                self._prosody.hear(0.0, 0.0)
                self._quiet_samples -= SAMPLES_PER_BLOCK
            instants.append(self._instant(_STILL, 0.0, i, self._prosody.voice))
        motion = self._motion(instants)
        self._left = self._shown.mouth
        return motion

    def _hear(self) -> None:
        """Make the frames that the sound decides; what nobody let the ear hear, it hears now."""
        if self.ear.waiting:
            self._model.hear([self.ear])
        while self.ear.heard:
            self._understand(self.ear.heard.popleft())

    def _understand(self, heard: Heard) -> None:
        before = self._prosody.voice
        self._prosody.hear(heard.loudness, heard.speech)
        origin = (self._blocks - 1) * SAMPLES_PER_BLOCK
        self._blocks += 1
        while (at := self._made * SAMPLE_RATE / self.fps - origin) < SAMPLES_PER_BLOCK:
            voice = before.towards(self._prosody.voice, at / SAMPLES_PER_BLOCK)
            instant = self._instant(heard.mouth, at / _KNOT_SAMPLES, self._made, voice)
            self._waiting.append(instant)
            self._made += 1

    def _instant(self, mouth: FloatArray, knot: float, index: int, voice: Voice) -> _Instant:
        """The mouth at a fractional knot, eased from how it was left ``index`` frames ago."""
        below = min(int(knot), KNOTS - 2)
        now = mouth[below]
        if knot != below:
            now = now + (mouth[below + 1] - now) * np.float32(knot - below)
        since = (index + 1) / self.fps
        if since < _HANDOVER_ENDS:
            now = now + (self._left - now) * np.float32(math.exp(-since / _HANDOVER_SECONDS))
        return _Instant(now, voice)

    def _give(self, allowed: int) -> Motion:
        instants = []
        while self._waiting and self._given < allowed:
            instants.append(self._waiting.popleft())
            self._given += 1
        return self._motion(instants) if instants else self._nothing

    def _motion(self, instants: list[_Instant]) -> Motion:
        """The whole face of the frames that go out now."""
        expression = np.empty((len(instants), len(ARKIT_NAMES)), np.float32)
        visemes = np.empty((len(instants), len(VISEME_NAMES)), np.float32)
        poses = np.empty((len(instants), 4 + 3 + 2), np.float32)
        for i, instant in enumerate(instants):
            look = self._blend.advance()
            life = self._life.at(
                self._frames / self.fps,
                instant.voice,
                blink_rate=look.blink_rate,
                head_motion=look.head_motion,
                breath=look.breath,
            )
            gaze = express(instant.mouth[:_CURVES], life, look, expression[i])
            poses[i] = (*_quaternion(*life.turn), *life.shift, *gaze)
            visemes[i] = instant.mouth[_CURVES:]
            self._frames += 1
        if instants:
            self._shown = instants[-1]
        return Motion(expression, poses[:, :4], poses[:, 4:7], poses[:, 7:], visemes, self.fps)


def _quaternion(x: float, y: float, z: float) -> tuple[float, float, float, float]:
    """The unit quaternion wxyz of a turn: an axis times radians."""
    angle = math.sqrt(x * x + y * y + z * z)
    share = math.sin(angle / 2) / angle if angle > 1e-9 else 0.5
    return math.cos(angle / 2), x * share, y * share, z * share
