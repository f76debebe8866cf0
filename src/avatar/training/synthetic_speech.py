"""Speech made by text-to-speech engines that tell when each phoneme sounds.

    python -m avatar.training.synthetic_speech FOLDER [--seed 0] [--utterances 900] [--held-out]
    python -m avatar.training.synthetic_speech --hello examples/hello.wav

Engines, for training and tests of it only: hibari-tts (a neural voice, aligned with its words by
pocketsphinx, since what its own network says of durations is 30 ms late and as much again unsure),
flite (four recorded voices), espeak-ng through espeakng-loader (formant voices in several
languages) and festival (a recorded voice). With ``--held-out`` other voices of flite and espeak-ng
and that of festival say other sentences; no training hears them, even from the same folder.
Each utterance becomes one npz: ``audio`` (16 kHz), ``phone_start``/``phone_end`` (seconds),
``phone_viseme`` (index into ``VISEME_NAMES``), ``identity`` and ``group``. One folder may be filled
with several seeds.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from avatar.config import SAMPLE_RATE
from avatar.errors import DependencyError
from avatar.training.forced_alignment import Aligner
from avatar.training.phonemes import arpabet_visemes, ipa_visemes, spread_visemes
from avatar.training.texts import (
    HELLO,
    english_sentence,
    foreign_sentence,
    held_out_sentence,
)
from avatar.types import FloatArray

_SHORTEST_PAUSE_SECONDS = 0.1
FLITE_VOICES = ("slt", "awb", "kal16")
ESPEAK_VOICES = (
    ("en-us", "m3"), ("en-us", "f2"), ("en-gb-scotland", "f4"), ("en-029", "m7"), ("fr", "m2"),
    ("it", "m4"), ("cmn", "f5"), ("hi", "m6"), ("ja", "f2"), ("pt-br", "f4"), ("ru", "m1"),
    ("ar", "m3"),
)  # fmt: skip
HELD_OUT_FLITE_VOICE, HELD_OUT_FESTIVAL_VOICE = "rms", "ked_diphone"
HELD_OUT_ESPEAK_VOICES = (("en-gb", "m1"), ("de", "f3"), ("es", "f1"), ("cmn", "m5"))
"""What no training hears, German and Spanish not at all; see ``speech_data.HELD_OUT_VOICES``."""


@dataclass(frozen=True, eq=False)
class Utterance:
    """Speech with the time of each sound.

    Attributes:
        audio: ``[N]`` float32 at 16 kHz.
        phones: (start seconds, end seconds, viseme index), in order, without gaps of speech.
        identity: engine and voice.
    """

    audio: FloatArray
    phones: list[tuple[float, float, int]]
    identity: str


def _without_gaps(phones: list[tuple[float, float, int]]) -> list[tuple[float, float, int]]:
    """Stress marks, spaces and other short pauses become part of the sound before them."""
    kept: list[tuple[float, float, int]] = []
    for start, end, viseme in phones:
        if kept and viseme == 0 and end - start < _SHORTEST_PAUSE_SECONDS:
            kept[-1] = (kept[-1][0], end, kept[-1][2])
        elif end > start:
            kept.append((start, end, viseme))
    return kept


class HibariVoice:
    """hibari-tts, aligned with its words."""

    def __init__(self) -> None:
        try:
            from hibari import Hibari  # type: ignore[import-untyped,unused-ignore]
        except ImportError as error:
            raise DependencyError(
                "synthetic speech needs hibari-tts: pip install hibari-tts"
            ) from error
        self._tts: Any = Hibari()
        self._align = Aligner()

    def say(self, text: str, *, speed: float = 1.0, seed: int = 0) -> Utterance | None:
        """None where the aligner does not know a word, or has to spell out a number."""
        words = " ".join(re.findall(r"[a-z']+", text.lower()))
        if re.search(r"\d", text) or not self._align.knows(words):
            return None
        wave, rate = self.wave(text, speed=speed, seed=seed)
        audio = np.asarray(soxr.resample(wave, rate, SAMPLE_RATE), np.float32)
        aligned = self._align(audio, words)
        if aligned is None:
            return None
        phones = [
            sound
            for start, end, phone in aligned
            for sound in spread_visemes(arpabet_visemes(phone), start, end)
        ]
        return Utterance(audio, _without_gaps(phones), "tts_hibari")

    def wave(self, text: str, *, speed: float = 1.0, seed: int = 0) -> tuple[FloatArray, int]:
        """The sound alone, at the engine's own rate."""
        samples = np.asarray(self._tts(text, speed, seed), np.float32)
        return samples, int(self._tts.sample_rate)


def flite_say(text: str, voice: str) -> Utterance:
    """Speak with Debian's flite; ``-psdur`` prints each phone and when it ends."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["flite", "-voice", voice, "-t", text, "-psdur", "-o", str(path)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        samples, rate = soundfile.read(path, dtype="float32")
    phones: list[tuple[float, float, int]] = []
    start = 0.0
    for name, end in re.findall(r"(\w+):([\d.]+)", printed):
        phones += spread_visemes(arpabet_visemes(name), start, float(end))
        start = float(end)
    audio = np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32)
    return Utterance(audio, _without_gaps(phones), f"tts_flite_{voice}")


def festival_say(text: str, voice: str) -> Utterance:
    """Speak with Debian's festival, which writes when each segment ends."""
    with tempfile.TemporaryDirectory() as folder:
        quoted = text.replace('"', "")
        script = f"""(voice_{voice})
            (set! said (utt.synth (Utterance Text "{quoted}")))
            (utt.save.wave said "{folder}/speech.wav" 'riff)
            (utt.save.segs said "{folder}/segments")"""
        subprocess.run(
            ["festival", "--pipe"], input=script, check=True, capture_output=True, text=True
        )
        samples, rate = soundfile.read(f"{folder}/speech.wav", dtype="float32")
        lines = Path(f"{folder}/segments").read_text().splitlines()
    phones: list[tuple[float, float, int]] = []
    start = 0.0
    for line in lines[lines.index("#") + 1 :]:
        end, _, name = line.split()
        phones += spread_visemes(arpabet_visemes(name), start, float(end))
        start = float(end)
    audio = np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32)
    return Utterance(audio, _without_gaps(phones), f"tts_festival_{voice}")


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class EspeakVoices:
    """espeak-ng through ctypes, with IPA phoneme events."""

    _PHONEME_EVENT = 7

    def __init__(self) -> None:
        try:
            import espeakng_loader  # type: ignore[import-untyped,unused-ignore]
        except ImportError as error:
            raise DependencyError(
                "synthetic speech needs espeak-ng: pip install espeakng-loader"
            ) from error
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        synchronous, phoneme_events_ipa = 2, 3
        data = str(Path(espeakng_loader.get_data_path())).encode()
        self._rate = self._library.espeak_Initialize(synchronous, 0, data, phoneme_events_ipa)
        self._samples: list[FloatArray] = []
        self._events: list[tuple[float, str]] = []
        self._callback = _CALLBACK(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, wave: Any, count: int, events: Any) -> int:
        if count > 0:
            samples = np.ctypeslib.as_array(wave, (count,)).astype(np.float32) / 32768
            self._samples.append(np.asarray(samples, np.float32))
        i = 0
        while events[i].type:
            if events[i].type == self._PHONEME_EVENT:
                name = bytes(events[i].string).decode("utf-8", "ignore")
                self._events.append((events[i].audio_position / 1000, name))
            i += 1
        return 0

    def say(self, text: str, voice: str, variant: str, *, speed: float = 1.0) -> Utterance:
        self._samples, self._events = [], []
        self._library.espeak_SetVoiceByName(f"{voice}+{variant}".encode())
        rate_parameter, utf8 = 1, 1
        self._library.espeak_SetParameter(rate_parameter, int(160 * speed), 0)
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, utf8, None, None)
        wave = np.concatenate(self._samples)
        times = [t for t, _ in self._events[1:]] + [len(wave) / self._rate]
        phones: list[tuple[float, float, int]] = []
        for (start, name), end in zip(self._events, times, strict=True):
            phones += spread_visemes(ipa_visemes(name), start, end)
        audio = np.asarray(soxr.resample(wave, self._rate, SAMPLE_RATE), np.float32)
        return Utterance(audio, _without_gaps(phones), f"tts_espeak_{voice}_{variant}")


def utterances(count: int, seed: int) -> Iterator[Utterance]:
    """``count`` utterances: four in ten by hibari, three by flite, three by espeak-ng."""
    rng = np.random.default_rng(seed)
    hibari, espeak = HibariVoice(), EspeakVoices()
    for i in range(count):
        speed = float(rng.uniform(0.8, 1.25))
        if i % 10 < 4:
            while (said := hibari.say(english_sentence(rng), speed=speed, seed=i)) is None:
                pass
            yield said
        elif i % 10 < 7:
            yield flite_say(english_sentence(rng), FLITE_VOICES[i % len(FLITE_VOICES)])
        else:
            voice, variant = ESPEAK_VOICES[int(rng.integers(len(ESPEAK_VOICES)))]
            text = foreign_sentence(rng, voice)
            yield espeak.say(text, voice, variant, speed=speed)


def held_out_utterances(count: int, seed: int) -> Iterator[Utterance]:
    """``count`` utterances of voices and sentences that no training hears: four in ten by festival,
    three by flite, three by espeak-ng.
    """
    rng = np.random.default_rng(seed)
    espeak = EspeakVoices()
    for i in range(count):
        if i % 10 < 4:
            yield festival_say(held_out_sentence(rng), HELD_OUT_FESTIVAL_VOICE)
        elif i % 10 < 7:
            yield flite_say(held_out_sentence(rng), HELD_OUT_FLITE_VOICE)
        else:
            voice, variant = HELD_OUT_ESPEAK_VOICES[i // 10 % len(HELD_OUT_ESPEAK_VOICES)]
            text = held_out_sentence(rng, voice)
            yield espeak.say(text, voice, variant)


def write_hello(path: Path) -> None:
    """The greeting of ``examples/``: hibari's voice, 24 kHz mono, 16-bit PCM, peak at −3 dB."""
    audio, rate = HibariVoice().wave(HELLO, speed=1.25)
    soundfile.write(path, audio * (0.707 / np.abs(audio).max()), rate, subtype="PCM_16")


def main() -> None:
    parser = argparse.ArgumentParser(description="Synthesise speech with phoneme times.")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--utterances", type=int, default=900)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", action="store_true", help="voices that no training hears")
    parser.add_argument("--hello", type=Path, metavar="WAV", help="write the demo's greeting")
    options = parser.parse_args()
    if options.hello:
        write_hello(options.hello)
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        speak, name = (
            (held_out_utterances, "held_out") if options.held_out else (utterances, "synthetic")
        )
        for i, spoken in enumerate(speak(options.utterances, options.seed)):
            starts, ends, visemes = zip(*spoken.phones, strict=True)
            np.savez_compressed(
                options.folder / f"{name}__{options.seed}_{i:05d}.npz",
                audio=spoken.audio, identity=spoken.identity, group="synthetic",
                phone_start=np.array(starts), phone_end=np.array(ends),
                phone_viseme=np.array(visemes),
            )  # fmt: skip


if __name__ == "__main__":
    main()
