"""Phone times of GRID clips by forced alignment with pocketsphinx.

    python -m avatar.training.grid_alignment MEASURED OUT

A GRID file name spells its sentence (``bbaf2n`` is "bin blue at f two now"). Each shard of the
folder whose name ends so gets an npz of the same name in ``OUT``: ``start``, ``end`` (seconds) and
ARPAbet ``phone``. Clips that cannot be aligned are left out and counted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from avatar.training.forced_alignment import Aligner
from avatar.training.speech_data import shard_paths

_WORDS: tuple[dict[str, str], ...] = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvwxyz"},
    {"z": "zero", "1": "one", "2": "two", "3": "three", "4": "four"}
    | {"5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine"},
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)


def sentence(code: str) -> str | None:
    """The words of a GRID file name, or None where it is not one.

    >>> sentence("bbaf2n")
    'bin blue at f two now'
    """
    if len(code) != len(_WORDS):
        return None
    found = [words.get(c) for c, words in zip(code, _WORDS, strict=True)]
    return None if None in found else " ".join(word for word in found if word)


def main() -> None:
    parser = argparse.ArgumentParser(description="Align GRID clips with their sentences.")
    parser.add_argument("measured", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    align, failed = Aligner(), 0
    for path in shard_paths(options.measured):
        text = sentence(path.stem.rsplit("_", 1)[-1])
        if text is None:
            continue
        phones = align(np.load(path)["audio"], text)
        if phones is None:
            failed += 1
            continue
        start, end, names = zip(*phones, strict=True)
        np.savez(options.out / path.name, start=start, end=end, phone=names)
    print(f"{failed} clips could not be aligned")


if __name__ == "__main__":
    main()
