"""Instrumental music with recorded instruments, for teaching the network what is not a voice.

    python -m avatar.training.instruments FOLDER [--pieces 150] [--seed 0]
        [--soundfont /usr/share/sounds/sf2/FluidR3_GM.sf2]

Random pieces are written as MIDI and played by Debian's ``fluidsynth`` with FluidR3 (MIT licence).
Choirs and the like are left out: they are voices.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from avatar.config import SAMPLE_RATE
from avatar.types import FloatArray

_SECONDS = 10
_TICKS = 96
_DRUMS = 9
_VOICES = frozenset({52, 53, 54, 85, 91})
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9, 12, 14))

_Event = tuple[int, bytes]


def _length(value: int) -> bytes:
    """A MIDI variable-length number."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | (value & 0x7F))
    return bytes(reversed(out))


def _part(rng: np.random.Generator, channel: int, root: int, beats: int) -> list[_Event]:
    """One instrument: long chords, a line of notes, or drums."""
    events: list[_Event] = []
    if channel != _DRUMS:
        program = int(rng.choice([p for p in range(120) if p not in _VOICES]))
        events.append((0, bytes([0xC0 | channel, program])))
    scale = _SCALES[int(rng.integers(len(_SCALES)))]
    octave = int(rng.integers(-1, 3)) * 12
    chords = rng.random() < 0.4
    step = int(rng.choice([1, 2, 4] if chords else [0.25, 0.5, 1]) * _TICKS)
    for at in range(0, beats * _TICKS, max(step, 1)):
        if rng.random() < 0.25:
            continue
        loud = int(rng.integers(50, 127))
        degree = int(rng.integers(7))
        if channel == _DRUMS:
            notes = [int(rng.choice([35, 36, 38, 40, 42, 44, 46, 49, 51, 54, 56, 70]))]
        else:
            steps = (0, 2, 4) if chords else (0,)
            notes = [root + octave + scale[(degree + k) % 7] for k in steps]
        for note in notes:
            end = at + int(step * rng.uniform(0.4, 1.2))
            events.append((at, bytes([0x90 | channel, note, loud])))
            events.append((end, bytes([0x80 | channel, note, 0])))
    return events


def midi_piece(rng: np.random.Generator) -> bytes:
    """A random piece of one to five instruments as a MIDI file."""
    tempo = int(60e6 / rng.uniform(60, 170))
    beats = int(_SECONDS * 1e6 / tempo) + 1
    root = int(rng.integers(48, 60))
    events: list[_Event] = [(0, b"\xff\x51\x03" + tempo.to_bytes(3, "big"))]
    for channel in range(int(rng.integers(1, 5))):
        events += _part(rng, channel, root, beats)
    if rng.random() < 0.5:
        events += _part(rng, _DRUMS, root, beats)
    events.sort(key=lambda event: event[0])
    track, now = b"", 0
    for at, message in events:
        track += _length(at - now) + message
        now = at
    track += _length(0) + b"\xff\x2f\x00"
    header = b"MThd" + (6).to_bytes(4, "big") + bytes([0, 0, 0, 1, 0, _TICKS])
    return header + b"MTrk" + len(track).to_bytes(4, "big") + track


def play(piece: bytes, soundfont: Path) -> FloatArray:
    """The sound of a MIDI file, ``[N]`` at 16 kHz, mono, peak 0.5."""
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder) / "piece.mid", Path(folder) / "piece.wav"
        score.write_bytes(piece)
        command = ["fluidsynth", "-ni", "-q", "-r", str(SAMPLE_RATE), "-F", str(sound)]
        subprocess.run([*command, str(soundfont), str(score)], check=True, capture_output=True)
        samples, _ = soundfile.read(sound, dtype="float32", always_2d=True)
    mono = samples.mean(1)[: (_SECONDS + 2) * SAMPLE_RATE]
    return np.asarray(mono * (0.5 / (np.abs(mono).max() + 1e-9)), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description="Render random instrumental music.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pieces", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--soundfont", type=Path, default=Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    for i in range(options.pieces):
        sound = play(midi_piece(rng), options.soundfont)
        soundfile.write(options.folder / f"music_{i:04d}.flac", sound, SAMPLE_RATE)


if __name__ == "__main__":
    main()
