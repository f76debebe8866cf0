"""When each phone of known English words is spoken, by pocketsphinx."""

from __future__ import annotations

from typing import Any

import numpy as np

from avatar.config import SAMPLE_RATE
from avatar.errors import DependencyError
from avatar.types import FloatArray

_FRAME_SECONDS = 0.01


class Aligner:
    """Aligns words with their sound, one recording after another.

    Raises:
        DependencyError: pocketsphinx is not installed.

    >>> Aligner()(audio, "bin blue at f two now")[0]  # doctest: +SKIP
    (0.0, 0.42, 'SIL')
    """

    def __init__(self) -> None:
        self._decoder = _decoder()

    def knows(self, text: str) -> bool:
        """Whether all words are in the dictionary."""
        return all(self._decoder.lookup_word(word) is not None for word in text.split())

    def __call__(self, audio: FloatArray, text: str) -> list[tuple[float, float, str]] | None:
        """(start seconds, end seconds, ARPAbet phone) of ``text`` spoken in ``audio``.

        None where the sound does not match the words, or one of them is not in the dictionary.
        """
        if not self.knows(text):
            return None
        pcm = (audio * (0.7 * 32767 / np.abs(audio).max())).astype("<i2").tobytes()
        try:
            self._decoder.set_align_text(text)
            for second_pass in (False, True):
                if second_pass:
                    self._decoder.set_alignment()
                self._decoder.start_utt()
                self._decoder.process_raw(pcm, full_utt=True)
                self._decoder.end_utt()
            phones = [phone for word in self._decoder.get_alignment() for phone in word]
        except RuntimeError:
            self._decoder = _decoder()  # the other is spent
            return None
        return [
            (
                phone.start * _FRAME_SECONDS,
                (phone.start + phone.duration) * _FRAME_SECONDS,
                str(phone.name),
            )
            for phone in phones
        ]


def _decoder() -> Any:
    try:
        from pocketsphinx import Decoder  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise DependencyError(
            "forced alignment needs pocketsphinx: pip install pocketsphinx"
        ) from error
    return Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
