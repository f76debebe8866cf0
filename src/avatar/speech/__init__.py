"""From sound to features: a streaming log-mel spectrogram with a running level."""

from avatar.speech.mel import (
    BAND_FLOOR,
    BANDS,
    FEATURES,
    FRAMES_PER_BLOCK,
    HOP_SAMPLES,
    SAMPLES_PER_BLOCK,
    WINDOW_SAMPLES,
    LogMelStream,
    log_mel,
    mel_powers,
    relative_features,
    take_features,
)

__all__ = [
    "BANDS",
    "BAND_FLOOR",
    "FEATURES",
    "FRAMES_PER_BLOCK",
    "HOP_SAMPLES",
    "SAMPLES_PER_BLOCK",
    "WINDOW_SAMPLES",
    "LogMelStream",
    "log_mel",
    "mel_powers",
    "relative_features",
    "take_features",
]
