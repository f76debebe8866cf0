"""What the mouth does where nobody speaks, and what a second of lip sync costs.

``stillness`` gives, for 10 s each of digital silence, room tone and music without voice, how the
inner lips move as shares of the height of the face: ``highest`` opening, ``motion`` (its standard
deviation) and the share of time ``open`` by more than a hundredth of the face. Room tone is noise
that falls by 6 dB an octave with a mains hum, at several levels below full scale.

``speed`` runs the product's stream of motion, and the retargeting beside it, and divides the length
of the sound by the processor time of all threads: how many times real time one core would do.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from avatar.config import SAMPLE_RATE
from avatar.errors import InputError
from avatar.evaluation.lipsync_recordings import mean_face, mouth_from_landmarks, move
from avatar.evaluation.lipsync_scores import ARTICULATION, motion_of
from avatar.media import load_audio
from avatar.motion import AudioToFace
from avatar.types import FloatArray

SILENCE_SECONDS = 10.0
ROOM_LEVELS_DB = (-70, -60, -50, -40, -30)
MUSIC_SUFFIXES = frozenset({".flac", ".ogg", ".opus", ".mp3", ".wav"})
MUSIC_AT_MOST = 40
_FIGURES = ("highest", "motion", "open")
_OPEN = 0.01
_FPS = 25.0
_LEAST_SPEED_SECONDS = 8.0


def room_tone(level_db: float, *, seconds: float = SILENCE_SECONDS, seed: int = 0) -> FloatArray:
    """Noise of a quiet room, ``[N]`` at 16 kHz, its root mean square ``level_db`` below 1."""
    rng = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum / np.maximum(frequencies, 60.0), count)
    hum = sum(np.sin(2 * np.pi * 50 * k * np.arange(count) / SAMPLE_RATE) / k**2 for k in (1, 2, 3))
    sound = noise / noise.std() + 0.3 * np.asarray(hum)
    return np.asarray(sound / sound.std() * 10 ** (level_db / 20), np.float32)


def stillness(model: AudioToFace, music: Iterable[Path] = ()) -> dict[str, Any]:
    """The figures described above, by kind of sound; music as the median and the worst piece."""
    count = round(SILENCE_SECONDS * SAMPLE_RATE)
    report: dict[str, Any] = {"digital_silence": lip_motion(model, np.zeros(count, np.float32))}
    for level in ROOM_LEVELS_DB:
        report[f"room_tone_{-level}_db_below_full_scale"] = lip_motion(model, room_tone(level))
    pieces = {}
    for path in sorted(music):
        sound = load_audio(path, sample_rate=SAMPLE_RATE).samples[:count]
        pieces[path.stem] = lip_motion(model, sound)
    if pieces:
        columns = {key: [row[key] for row in pieces.values()] for key in _FIGURES}
        report["music"] = {
            "pieces": len(pieces),
            "median": {key: round(float(np.median(own)), 5) for key, own in columns.items()},
            "worst": {key: max(own) for key, own in columns.items()},
            "worst_piece": max(pieces, key=lambda name: pieces[name]["highest"]),
        }
    return report


def lip_motion(model: AudioToFace, sound: FloatArray) -> dict[str, float]:
    """How the inner lips of the mean face move to a sound, as shares of the height of the face."""
    motion = motion_of(model, sound, fps=_FPS)
    landmarks = move(mean_face(), motion, articulation=ARTICULATION)
    times = np.arange(len(motion), dtype=np.float32) / np.float32(_FPS)
    opening = mouth_from_landmarks(times, landmarks).opening
    return {
        "highest": round(float(opening.max()), 5),
        "motion": round(float(opening.std()), 5),
        "open": round(float((opening > _OPEN).mean()), 5),
    }


def music_files(folder: Path) -> list[Path]:
    """At most 40 pieces of the music below a folder, evenly spread over it.

    Raises:
        InputError: there is none.
    """
    found = [p for p in folder.rglob("*") if p.suffix.lower() in MUSIC_SUFFIXES and p.is_file()]
    if not found:
        kinds = ", ".join(sorted(MUSIC_SUFFIXES))
        raise InputError(f"{folder} holds no music; name a folder of {kinds} files")
    places = np.linspace(0, len(found) - 1, min(len(found), MUSIC_AT_MOST))
    return [sorted(found)[round(place)] for place in places]


def speed(model: AudioToFace, sound: FloatArray) -> dict[str, Any]:
    """How fast motion and landmarks are made on this machine.

    Args:
        model: what is measured.
        sound: ``[N]`` at 16 kHz, of speech; repeated to 8 s if it is shorter.
    """
    if not len(sound):
        raise InputError("no sound to measure the speed with")
    sound = np.tile(sound, int(np.ceil(_LEAST_SPEED_SECONDS * SAMPLE_RATE / len(sound))))
    seconds = len(sound) / SAMPLE_RATE
    motion = motion_of(model, sound[:SAMPLE_RATE])
    move(mean_face(), motion)
    stream = _processor_seconds(lambda: motion_of(model, sound, fps=_FPS))
    motion = motion_of(model, sound, fps=_FPS)
    moved = _processor_seconds(lambda: move(mean_face(), motion, articulation=ARTICULATION))
    return {
        "processor": processor_name(),
        "sound_seconds": round(seconds, 1),
        "frames_per_second": _FPS,
        "motion_times_real_time_on_one_core": round(seconds / stream, 1),
        "motion_and_landmarks_times_real_time_on_one_core": round(seconds / (stream + moved), 1),
    }


def _processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of all threads, the best of three."""
    taken = []
    for _ in range(3):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def processor_name() -> str:
    """What the system calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
