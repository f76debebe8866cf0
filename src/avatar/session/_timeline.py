"""From sound to slots: what is said, heard and seen in each frame of a session, before pixels.

Everything is counted in samples of the session's own sound, never in wall time. Two rules lay out
the frames:

- **Joined** (a session without idle frames): utterances follow each other without a gap. Frame
  ``i`` of an utterance begins ``round(i * sample_rate / fps)`` samples into it and lasts until the
  next begins; the last takes what is left. The frames of the whole session number
  ``round(seconds * fps)``: an utterance has one more or one fewer where rounding each for itself
  would add up.
- **Gridded** (with idle frames): frame ``n`` of the session begins at sample
  ``round(n * sample_rate / fps)`` of it, whatever it shows. Speech begins with a frame, and
  silence fills its last one.

Motion is made when it is asked for, hardly ahead of what has left: so an interrupt finds the face
where the viewer saw it, and pushing sound costs next to nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from avatar.config import SAMPLE_RATE, SessionConfig
from avatar.media import StreamResampler
from avatar.motion import AudioToFace, Ear, MotionStream, Style
from avatar.types import FloatArray, Motion

HOLD_SECONDS = 0.2
"""How long a face waits for late sound before it goes over to listening."""

_PIECE_SECONDS = 0.04
_NOTHING = np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False)
class Slot:
    """One frame, all but its pixels.

    Attributes:
        motion: of one frame.
        index: of the frame in the session.
        begin: samples of the session before it.
        audio: ``[N]`` from here to the next frame.
        utterance_id: of what is said, or was said last.
        idle: nothing is said.
        known_seconds: clock time at which the last it depends on came in; 0 for an idle frame.
    """

    motion: Motion
    index: int
    begin: int
    audio: FloatArray
    utterance_id: int
    idle: bool
    known_seconds: float = 0.0


@dataclass(eq=False)
class _Sound:
    samples: FloatArray  # not analysed
    utterance_id: int
    seconds: float


@dataclass(frozen=True, eq=False)
class _Restyle:
    style: Style


@dataclass(frozen=True, eq=False)
class _End:
    seconds: float


@dataclass(frozen=True, eq=False)
class _Pause:
    frames: int
    seconds: float


@dataclass(eq=False)
class _Passage:
    """Speech without a gap: an utterance, or a part of one where its sound came late."""

    utterance_id: int
    index: int  # of the session's frame with which it begins
    position: int  # samples of the session before it
    analysed: int = 0  # samples that motion was made from
    frames: int = 0  # that have left


class Timeline:
    """Turns sound, styles and pauses, in the order they came, into slots. Not thread-safe.

    Attributes:
        index: of the next slot.
        position: samples of the session before the next slot.
        underruns: how often sound came too late for its frame.
    """

    def __init__(self, model: AudioToFace, *, config: SessionConfig, style: Style) -> None:
        self._fps, self._rate = config.fps, config.sample_rate
        self._gridded = config.idle
        self._motion = MotionStream(model, fps=config.fps, seed=config.seed, style=style)
        self._to_speech = StreamResampler(self._rate, SAMPLE_RATE)
        self._shown = Motion.still(1, self._fps)
        self._coming: deque[_Sound | _Restyle | _End | _Pause] = deque()
        self._coming_samples = 0
        self._sound: deque[FloatArray] = deque()  # analysed, not given out
        self._pending: deque[Motion] = deque()
        self._listened = False  # motion took sound, and its frames were not asked for
        self._passage: _Passage | None = None
        self._ended = False  # the passage is known to its end
        self._last_id = 0
        self._known = 0.0
        self._held = 0
        self.index = self.position = self.underruns = 0

    @property
    def algorithmic_delay_seconds(self) -> float:
        """How long after its own beginning the sound must have come for a frame to be known."""
        frames = 1 if self._gridded else 2
        voice = max(self._motion.lookahead_seconds, frames / self._fps)
        return voice + self._to_speech.lookahead_seconds

    @property
    def waiting_seconds(self) -> float:
        """Sound that has come and not left."""
        return (self._coming_samples + self._analysed_samples()) / self._rate

    def hear(self, samples: FloatArray, utterance_id: int, seconds: float) -> None:
        """Take sound, ``[N]`` float32, that came at ``seconds`` of the clock."""
        if len(samples):
            self._coming.append(_Sound(samples, utterance_id, seconds))
            self._coming_samples += len(samples)

    def end_utterance(self, seconds: float) -> None:
        """What was heard is all of it."""
        self._coming.append(_End(seconds))

    def pause(self, frames: int, seconds: float) -> None:
        """So many frames in which nothing is said, after the end of an utterance."""
        self._coming.append(_Pause(frames, seconds))

    def restyle(self, style: Style, *, now: bool) -> None:
        """From the sound that comes next on, or from the next frame on."""
        if now:
            self._coming = deque(i for i in self._coming if not isinstance(i, _Restyle))
            self._motion.style = style
        else:
            self._coming.append(_Restyle(style))

    def interrupt(self) -> None:
        """Drop all that has not left."""
        styles = [item.style for item in self._coming if isinstance(item, _Restyle)]
        if styles:
            self._motion.style = styles[-1]
        if self._passage is not None and not self._ended:
            self._motion.interrupt()
            self._to_speech = StreamResampler(self._rate, SAMPLE_RATE)
        for waiting in (self._coming, self._pending, self._sound):
            waiting.clear()
        self._coming_samples = self._held = 0
        self._passage = None

    def take_back(self, slot: Slot) -> None:
        """``slot`` and what left after it were never shown: time goes on from where it began."""
        self.index, self.position = slot.index, slot.begin

    def known_seconds(self) -> float | None:
        """Since when the next slot of speech or of a pause can leave; None where none can."""
        while not self._can_leave():
            if not self._read_on():
                return None
        return self._known

    def unheard(self, slots: int = 1) -> Ear | None:
        """The ear that has to hear for the next slot, its sound waiting; None where none has to.

        Sound for ``slots`` slots waits with it, as far as it has come. ``known_seconds`` lets the
        ear hear by itself: this is for hearing together with others.
        """
        while not self._can_leave():
            if not self._read_on():
                return None
            if self._listened and self._motion.ear.waiting:
                self._analyse_ahead(slots - 1)
                return self._motion.ear
        return None

    def take(self) -> Slot:
        """The next slot of speech or of a pause; only where ``known_seconds`` is not None."""
        motion = self._pending.popleft()
        self._held = 0
        passage = self._passage
        if passage is None:
            return self._slot(motion, self._silence(), idle=True, known=self._known)
        last = self._ended and not self._pending
        audio = self._speech(passage, last)
        passage.frames += 1
        self._last_id = passage.utterance_id
        if last:
            self._passage = None
        return self._slot(motion, audio, idle=False, known=self._known)

    def take_idle(self) -> Slot:
        """A slot where nothing can be said: the face waits for late sound, or listens."""
        if self._passage is not None:
            self._held += 1
            self.underruns += self._held == 1
            if self._held <= HOLD_SECONDS * self._fps:
                return self._slot(self._shown, self._silence(), idle=True)
            self._end_passage(self._passage)
            if self._can_leave():
                return self.take()
        return self._slot(self._motion.idle(1), self._silence(), idle=True)

    def _can_leave(self) -> bool:
        """Whether the first pending motion is known to be the last of its passage, or not to be."""
        if self._listened:
            self._listened = False
            self._foresee(self._motion.ready())
        passage = self._passage
        if not self._pending or passage is None or self._ended:
            return bool(self._pending)
        if self._gridded:
            return self._analysed_samples() >= self._slot_samples()
        return self._joined_frames(passage) >= passage.frames + 2

    def _read_on(self) -> bool:
        """Go one step further in what has come; False where that must wait for more."""
        if not self._coming:
            return False
        item = self._coming[0]
        if isinstance(item, _Sound):
            if self._passage is None and self._gridded and not self._enough_to_begin():
                return False
            self._analyse(item)
            return True
        self._coming.popleft()
        if isinstance(item, _Restyle):
            self._motion.style = item.style
            return True
        self._known = item.seconds
        if isinstance(item, _Pause):
            self._foresee(self._motion.idle(1))
            if item.frames > 1:
                self._coming.appendleft(replace(item, frames=item.frames - 1))
        elif self._passage is not None:
            self._end_passage(self._passage)
        return True

    def _enough_to_begin(self) -> bool:
        """Whether speech that begins now can go on at once.

        Motion cannot idle while it hears speech, so it hears none before that.
        """
        wanted = self.algorithmic_delay_seconds * self._rate
        for item in self._coming:
            if isinstance(item, _Sound):
                wanted -= len(item.samples)
            if wanted <= 0 or isinstance(item, _End):
                return True
        return False

    def _analyse(self, item: _Sound) -> None:
        """Make motion of the next piece of sound."""
        piece = max(1, round(_PIECE_SECONDS * self._rate))
        samples, item.samples = item.samples[:piece], item.samples[piece:]
        if not len(item.samples):
            self._coming.popleft()
        self._coming_samples -= len(samples)
        if self._passage is None:
            self._passage = _Passage(item.utterance_id, self.index, self.position)
            self._ended = False
        self._passage.analysed += len(samples)
        self._sound.append(samples)
        self._known = item.seconds
        self._motion.listen(self._to_speech.push(samples))
        self._listened = True

    def _analyse_ahead(self, slots: int) -> None:
        """Take in the sound of so many slots more, as far as nothing else comes between."""
        left = self._coming_samples - round(slots * self._rate / self._fps)
        while self._coming and self._coming_samples > left:
            if not isinstance(item := self._coming[0], _Sound):
                break
            self._analyse(item)

    def _end_passage(self, passage: _Passage) -> None:
        """Make the rest of its motion, as many frames as its sound fills."""
        self._foresee(self._motion.push(self._to_speech.flush()))
        self._foresee(self._motion.flush())
        if self._gridded:
            frames, left = 0, self._analysed_samples()
            while self._grid(self.index + frames) - self.position < left:
                frames += 1
        else:
            frames = self._joined_frames(passage) - passage.frames
        while len(self._pending) < frames:
            self._foresee(self._motion.idle(1))
        while len(self._pending) > frames:
            self._pending.pop()
        self._ended = True
        if not self._pending:
            self._passage = None

    def _joined_frames(self, passage: _Passage) -> int:
        """Frames of the passage if it ended now: those of its own length, or one off that.

        One off where the frames of the session would otherwise fall behind its sound or run ahead.
        """
        own = frame_count(passage.analysed, self._rate, self._fps)
        through = frame_count(passage.position + passage.analysed, self._rate, self._fps)
        return max(1, min(max(through - passage.index, own - 1), own + 1))

    def _foresee(self, motion: Motion) -> None:
        if len(motion) == 1:
            self._pending.append(motion)
        else:
            self._pending.extend(motion[t : t + 1] for t in range(len(motion)))

    def _slot(self, motion: Motion, audio: FloatArray, *, idle: bool, known: float = 0.0) -> Slot:
        slot = Slot(motion, self.index, self.position, audio, self._last_id, idle, known)
        self.index += 1
        self.position += len(audio)
        self._shown = motion
        return slot

    def _grid(self, index: int) -> int:
        return round(index * self._rate / self._fps)

    def _slot_samples(self) -> int:
        """Of the next slot of the grid."""
        return self._grid(self.index + 1) - self._grid(self.index)

    def _silence(self) -> FloatArray:
        """As long as the next slot of the grid."""
        return np.zeros(self._slot_samples(), np.float32)

    def _speech(self, passage: _Passage, last: bool) -> FloatArray:
        """The sound of the next slot; in the grid, silence fills the last one."""
        if self._gridded:
            sound = self._cut(count := self._slot_samples())
            return sound if len(sound) == count else np.pad(sound, (0, count - len(sound)))
        if last:
            return self._cut(self._analysed_samples())
        begin, end = (self._grid(passage.frames + i) for i in (0, 1))
        return self._cut(end - begin)

    def _analysed_samples(self) -> int:
        """Of sound that motion was made from and that has not left."""
        return sum(len(part) for part in self._sound)

    def _cut(self, count: int) -> FloatArray:
        """Take up to ``count`` samples of the analysed sound."""
        if self._sound and len(self._sound[0]) == count:
            return self._sound.popleft()
        parts: list[FloatArray] = [_NOTHING]
        while count and self._sound:
            first = self._sound.popleft()
            parts.append(first[:count])
            if len(first) > count:
                self._sound.appendleft(first[count:])
            count -= len(parts[-1])
        return np.concatenate(parts)


def frame_count(samples: int, sample_rate: int, fps: float) -> int:
    """How many frames an utterance of so many samples has: counted where speech is analysed."""
    heard = (2 * samples * SAMPLE_RATE + sample_rate) // (2 * sample_rate)
    return max(1, round(heard / SAMPLE_RATE * fps))
