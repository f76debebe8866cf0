"""Phone times of GRID clips by forced alignment with pocketsphinx.

    python -m avatar.training.grid_alignment MEASURED OUT

A GRID file name spells its sentence (``bbaf2n`` is "bin blue at f two now"). Each shard of the
folder whose name ends so gets an npz of the same name in ``OUT``: ``start``, ``end`` (seconds) and
ARPAbet ``phone``. Clips that cannot be aligned are left out and counted.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from avatar.config import SAMPLE_RATE
from avatar.errors import DependencyError
from avatar.training.speech_data import shard_paths
from avatar.types import FloatArray

_WORDS: tuple[dict[str, str], ...] = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvwxyz"},
    {"z": "zero", "1": "one", "2": "two", "3": "three", "4": "four"}
    | {"5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine"},
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
_FRAME_SECONDS = 0.01


def sentence(code: str) -> str | None:
    """The words of a GRID file name, or None where it is not one.

    >>> sentence("bbaf2n")
    'bin blue at f two now'
    """
    if len(code) != len(_WORDS):
        return None
    found = [words.get(c) for c, words in zip(code, _WORDS, strict=True)]
    return None if None in found else " ".join(word for word in found if word)


def _decoder() -> Any:
    try:
        from pocketsphinx import Decoder  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise DependencyError(
            "forced alignment needs pocketsphinx: pip install pocketsphinx"
        ) from error
    return Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")


def align(decoder: Any, audio: FloatArray, text: str) -> list[tuple[float, float, str]]:
    """(start seconds, end seconds, phone) of ``text`` spoken in ``audio``.

    Raises:
        RuntimeError: the sound does not match the words; the decoder is spent.
    """
    pcm = (audio * (0.7 * 32767 / np.abs(audio).max())).astype("<i2").tobytes()
    decoder.set_align_text(text)
    for second_pass in (False, True):
        if second_pass:
            decoder.set_alignment()
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
    return [
        (
            phone.start * _FRAME_SECONDS,
            (phone.start + phone.duration) * _FRAME_SECONDS,
            str(phone.name),
        )
        for word in decoder.get_alignment()
        for phone in word
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Align GRID clips with their sentences.")
    parser.add_argument("measured", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    decoder, failed = _decoder(), 0
    for path in shard_paths(options.measured):
        text = sentence(path.stem.rsplit("_", 1)[-1])
        if text is None:
            continue
        try:
            phones = align(decoder, np.load(path)["audio"], text)
        except RuntimeError:
            decoder, failed = _decoder(), failed + 1
            continue
        start, end, names = zip(*phones, strict=True)
        np.savez(options.out / path.name, start=start, end=end, phone=names)
    print(f"{failed} clips could not be aligned")


if __name__ == "__main__":
    main()
