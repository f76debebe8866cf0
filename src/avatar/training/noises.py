"""Sounds without a voice: rooms, hums, clicks and instrumental music, made from a seed."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

from avatar.config import SAMPLE_RATE
from avatar.types import FloatArray

_Generator = np.random.Generator


def _coloured(rng: _Generator, samples: int) -> FloatArray:
    """Noise whose spectrum falls by 0 to 12 dB an octave, slowly swelling."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequencies = np.maximum(np.arange(len(spectrum)), 20 * samples / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum * frequencies ** -rng.uniform(0.0, 2.0), samples)
    knots = rng.uniform(0.3, 1.0, samples // SAMPLE_RATE + 2)
    swell = np.interp(np.arange(samples) / SAMPLE_RATE, np.arange(len(knots)), knots)
    return np.asarray(noise / (noise.std() + 1e-9) * swell, np.float32)


def _hum(rng: _Generator, samples: int) -> FloatArray:
    t = np.arange(samples) / SAMPLE_RATE
    base = rng.choice([50.0, 60.0, 100.0, 120.0, rng.uniform(80, 400)])
    parts = [rng.random() / k * np.sin(2 * np.pi * base * k * t) for k in range(1, 12)]
    return np.asarray(sum(parts), np.float32) + 0.1 * _coloured(rng, samples)


def _clicks(rng: _Generator, samples: int) -> FloatArray:
    """Keys, steps, doors: short bursts at random times, each with its own resonance."""
    out = 0.003 * _coloured(rng, samples)
    for _ in range(int(rng.integers(2, 8) * samples / SAMPLE_RATE)):
        length = int(rng.uniform(0.005, 0.12) * SAMPLE_RATE)
        at = int(rng.integers(0, max(samples - length, 1)))
        low = rng.uniform(60, 3000)
        high = min(low * rng.uniform(1.5, 6), 7900)
        band = butter(2, [low, high], "band", fs=SAMPLE_RATE, output="sos")
        decay = np.exp(-np.arange(length) / (length * rng.uniform(0.1, 0.4)))
        burst = sosfilt(band, rng.standard_normal(length) * decay) * rng.uniform(0.1, 1.0)
        out[at : at + length] += burst[: len(out) - at].astype(np.float32)
    return out


def _note(rng: _Generator, pitch: float, samples: int, brightness: float) -> FloatArray:
    """One note: harmonics that fall off, an attack and a decay, vibrato and a little detuning."""
    t = np.arange(samples) / SAMPLE_RATE
    vibrato = rng.uniform(0, 0.006) * np.sin(2 * np.pi * rng.uniform(3, 7) * t)
    phase = 2 * np.pi * pitch * (t + np.cumsum(vibrato) / SAMPLE_RATE)
    out = np.zeros(samples)
    for k in range(1, int(min(20, 7500 / pitch)) + 1):
        out += rng.uniform(0.4, 1) * k**-brightness * np.sin(k * phase + rng.uniform(0, 6.28))
    attack, decay = rng.uniform(0.003, 0.15), rng.uniform(0.15, 3.0)
    return np.asarray(out * np.minimum(t / attack, 1) * np.exp(-t / decay), np.float32)


def _drum(rng: _Generator, kind: int) -> FloatArray:
    samples = int(0.25 * SAMPLE_RATE)
    t = np.arange(samples) / SAMPLE_RATE
    if kind == 0:
        sweep = np.cumsum(50 + 120 * np.exp(-t * 30)) / SAMPLE_RATE
        return np.asarray(1.5 * np.sin(2 * np.pi * sweep) * np.exp(-t * 12), np.float32)
    hiss = rng.standard_normal(samples) * np.exp(-t * rng.uniform(15, 70))
    if kind == 1:
        return np.asarray(0.7 * hiss + np.sin(2 * np.pi * 190 * t) * np.exp(-t * 25), np.float32)
    return np.asarray(0.4 * lfilter([1, -0.95], [1], hiss), np.float32)


def music(rng: _Generator, samples: int) -> FloatArray:
    """A chord progression, a bass, a melody and drums, each present or not."""
    out = np.zeros(samples + 4 * SAMPLE_RATE, np.float32)
    beat = int(SAMPLE_RATE * 60 / rng.uniform(60, 160))
    root = 110 * 2 ** (rng.integers(0, 12) / 12)
    scale = np.array([0, 2, 4, 5, 7, 9, 11] if rng.random() < 0.5 else [0, 2, 3, 5, 7, 8, 10])
    chords, bass, melody, drums = rng.random(4) < (0.75, 0.5, 0.6, 0.6)
    chords = chords or not (bass or melody or drums)
    brightness = rng.uniform(0.6, 2.0, 3)

    def pitch(degree: int, octave: float) -> float:
        return float(root * 2 ** (scale[degree % 7] / 12 + octave))

    degree = 0
    for index, at in enumerate(range(0, samples, beat)):
        if index % 4 == 0:
            degree = int(rng.integers(7))
        if chords and index % 4 == 0:
            for step in (0, 2, 4):
                note = _note(rng, pitch(degree + step, 1), beat * 4, brightness[0])
                out[at : at + len(note)] += 0.3 * note[: len(out) - at]
        if bass:
            note = _note(rng, pitch(degree, -1), beat, brightness[1])
            out[at : at + len(note)] += 0.5 * note
        for half in range(2):
            where = at + half * beat // 2
            if melody and rng.random() < 0.7:
                high = pitch(int(rng.integers(7)), int(rng.integers(1, 4)))
                note = _note(rng, high, beat, brightness[2])
                out[where : where + len(note)] += 0.35 * note
            if drums and rng.random() < 0.8:
                hit = _drum(rng, int(rng.integers(3)))
                out[where : where + len(hit)] += 0.5 * hit
    return out[:samples]


def noise(rng: _Generator, seconds: float, level_db: float) -> FloatArray:
    """Sound without a voice, ``[seconds * 16000]``, at a root mean square of ``level_db``."""
    samples = int(seconds * SAMPLE_RATE)
    kind = rng.random()
    if kind < 0.5:
        sound = music(rng, samples)
    elif kind < 0.75:
        sound = _coloured(rng, samples)
    elif kind < 0.85:
        sound = _hum(rng, samples)
    else:
        sound = _clicks(rng, samples)
    return np.asarray(sound / (sound.std() + 1e-9) * 10 ** (level_db / 20), np.float32)
