"""How well the network's lips follow the measured ones, and where in time they fit best."""

from __future__ import annotations

import numpy as np
import torch

from avatar.motion.audio_to_face import GATE_FROM, GATE_SPAN
from avatar.speech import FRAMES_PER_BLOCK
from avatar.training.audio_to_face_network import AudioToFaceNetwork, split
from avatar.training.speech_batches import TAPS, batch_features
from avatar.training.speech_data import Track, lip_matrix, shifted
from avatar.types import FloatArray

_FURTHEST_STEPS = 40
_CORRECTED_STEPS = 10
_SURE, _BETTER = 0.5, 0.02


@torch.no_grad()
def predict(network: AudioToFaceNetwork, powers: FloatArray) -> FloatArray:
    """``[T, 80]`` powers to ``[T]`` inner-lip opening, 100 times a second like the tracks."""
    blocks = len(powers) // FRAMES_PER_BLOCK
    features = batch_features(powers[None, : blocks * FRAMES_PER_BLOCK])
    curves, _, gate = split(network(torch.from_numpy(features)))
    opened = ((torch.sigmoid(gate) - GATE_FROM) / GATE_SPAN).clamp(0, 1)
    opening = (curves.clamp(0, 1) @ torch.from_numpy(lip_matrix()))[..., 0] * opened
    made = opening[0, :, :2].reshape(-1).numpy()
    times = 2 * np.arange(len(made)) + FRAMES_PER_BLOCK - TAPS[0]
    opened_at = np.interp(np.arange(len(powers)), times, made)
    return np.asarray(opened_at, np.float32)


def correlation_by_lag(made: FloatArray, track: Track, furthest: int) -> FloatArray:
    """``[2 * furthest + 1]`` correlations with the measured opening, shifted by 10 ms each."""
    inner = slice(furthest, len(made) - furthest)
    target = track.lips[:, 0]
    lags = range(-furthest, furthest + 1)
    found = [np.corrcoef(made[inner], np.roll(target, -k)[inner])[0, 1] for k in lags]
    return np.array(found, np.float32)


def evaluate(
    network: AudioToFaceNetwork, people: dict[str, list[Track]]
) -> dict[str, dict[str, float]]:
    """By person: the median over clips of the correlation of the inner-lip opening.

    ``lag0`` as filmed, ``best`` at the best lag within 400 ms, ``lag`` that lag in milliseconds.
    """
    scores = {}
    learning = network.training
    network.eval()
    for name, own in people.items():
        plain, best, lags = [], [], []
        for track in own:
            made = predict(network, track.powers)
            plain.append(correlation_by_lag(made, track, 0)[0])
            around = correlation_by_lag(made, track, _FURTHEST_STEPS)
            best.append(around.max())
            lags.append(10.0 * (int(around.argmax()) - _FURTHEST_STEPS))
        scores[name] = {
            "lag0": round(float(np.median(plain)), 3),
            "best": round(float(np.median(best)), 3),
            "lag": float(np.median(lags)),
        }
    network.train(learning)
    return scores


def synchronise(network: AudioToFaceNetwork, people: dict[str, list[Track]]) -> None:
    """Shift the motion of each clip to where the network hears it, within 100 ms.

    The median shift of all clips is left out, so that they keep their place on the whole.
    """
    network.eval()
    found: dict[tuple[str, int], int] = {}
    for name, own in people.items():
        for i, track in enumerate(own):
            if track.kind == "measured":
                around = correlation_by_lag(predict(network, track.powers), track, _CORRECTED_STEPS)
                if around.max() > max(_SURE, around[_CORRECTED_STEPS] + _BETTER):
                    found[name, i] = int(around.argmax()) - _CORRECTED_STEPS
                else:
                    found[name, i] = 0
    middle = int(np.median(list(found.values())))
    for (name, i), lag in found.items():
        people[name][i] = shifted(people[name][i], lag - middle)
    network.train()
