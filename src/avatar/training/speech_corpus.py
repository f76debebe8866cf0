"""All the material of the voice: who speaks in it, who is kept out, and what is no voice at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from avatar.config import SAMPLE_RATE
from avatar.training.noises import noise
from avatar.training.speech_data import (
    HELD_OUT,
    Track,
    learn_articulation,
    normalise_people,
    read_facegood,
    read_measured,
    read_synthetic,
    shard_paths,
    still_track,
)

SYNTHETIC_NOISES = 400
_NOISE_SECONDS = 8.0
_SILENCES = 20


@dataclass(frozen=True)
class Sources:
    """Folders of material, and people to keep out besides those that always are."""

    measured: Path
    synthetic: Path
    facegood: Path
    music: Path
    alignments: Path | None
    without: tuple[str, ...]


SPEAKING = ("GRID", "liveportrait_d20")
"""Filmed people whose sound is their own speech. Others have music, silence, another's voice, or a
sound that ``avatar train prepare`` finds to fit their lips nowhere."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """People to learn from and people to be tested on."""

    train: list[dict[str, list[Track]]]
    noises: list[Track]
    held_out: dict[str, list[Track]]


def load_corpus(sources: Sources, seed: int) -> Corpus:
    """Read all tracks and part the people."""
    tracks = [read_measured(path, sources.alignments) for path in shard_paths(sources.measured)]
    people = normalise_people(
        t for t in tracks if t is not None and t.identity.startswith(SPEAKING)
    )
    apart = HELD_OUT | set(sources.without)
    held_out = {name: own for name, own in people.items() if name in apart}
    train = {name: own for name, own in people.items() if name not in apart}
    free = {name: own for name, own in train.items() if not name.startswith("GRID")}
    if "facegood" not in apart:
        free |= normalise_people(read_facegood(path) for path in shard_paths(sources.facegood))
    articulation = learn_articulation(train)
    voices = (read_synthetic(path, articulation) for path in shard_paths(sources.synthetic))
    spoken = normalise_people(voice for voice in voices if voice.identity not in apart)
    rng = np.random.default_rng(seed)
    noises = [
        still_track(f"noise{i}", noise(rng, _NOISE_SECONDS, rng.uniform(-55, -20)))
        for i in range(SYNTHETIC_NOISES)
    ]
    for path in sorted(sources.music.glob("*.flac")):
        sound = soundfile.read(path, dtype="float32")[0]
        noises.append(still_track(path.stem, sound * np.float32(10 ** rng.uniform(-1.5, 0))))
    quiet = np.zeros(int(_NOISE_SECONDS * SAMPLE_RATE), np.float32)
    silence = still_track("silence", quiet)
    grid = {name: own for name, own in train.items() if name.startswith("GRID")}
    calm = {t.identity: [t] for t in noises} | {f"silence{i}": [silence] for i in range(_SILENCES)}
    return Corpus([grid, free, spoken, calm], noises, held_out)
