"""The network as it runs is the network that was trained; its weights are checked; it is small."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import WeightsError
from avatar.motion import CURVES, AudioToFace, Ear, curve_matrix
from avatar.motion.audio_to_face import GATE_FROM, GATE_SPAN, LOOKAHEAD_SECONDS
from avatar.ops import _native
from avatar.speech import FEATURES
from avatar.training.audio_to_face_network import AudioToFaceNetwork, NetworkShape, split
from avatar.types import ARKIT_NAMES, VISEME_NAMES, FloatArray
from avatar.weights import load_weights, save_weights


def features(blocks: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-6, 0, (4 * blocks, FEATURES)).astype(np.float32)


def network() -> AudioToFaceNetwork:
    torch.manual_seed(3)
    shape = NetworkShape(width=32, dilations=(1, 2, 4), gate_width=8)
    mean, deviation = torch.full((FEATURES,), -2.0), torch.full((FEATURES,), 1.5)
    return AudioToFaceNetwork(shape, mean, deviation).eval()


def exported(net: AudioToFaceNetwork) -> AudioToFace:
    config = {"format": 2, "curves": CURVES, **asdict(net.shape)}
    return AudioToFace(net.export(), config)


def rounded(net: AudioToFaceNetwork) -> AudioToFaceNetwork:
    """The network with the weights that it ships with."""
    same = AudioToFaceNetwork(net.shape, torch.zeros(FEATURES), torch.ones(FEATURES)).eval()
    same.load_state_dict(net.export(), strict=False)
    return same


def test_streamed_steps_equal_the_network_as_trained() -> None:
    net, sound = network(), features(40)
    with torch.no_grad():
        curves, visemes, gate = split(rounded(net)(torch.from_numpy(sound)[None]))
    model = exported(net)
    state = model.start()
    made = model.step(sound.reshape(-1, 4, FEATURES), [state] * 40)
    opened = ((torch.sigmoid(gate[0]) - GATE_FROM) / GATE_SPAN).clamp(0, 1).numpy()
    settled = slice(9, None)  # training pads hidden layers with zeros, a stream starts from silence
    assert np.allclose(made.speech[settled], opened[settled], atol=1e-4)
    expected = curves[0].clamp(0, 1).numpy() * opened[..., None]
    assert np.allclose(made.curves[settled], expected[settled], atol=1e-4)
    shares = torch.softmax(visemes[0], -1).numpy() * opened[..., None]
    shares[..., 0] += 1 - opened
    assert np.allclose(made.visemes[settled], shares[settled], atol=1e-4)


def sounds(count: int, samples: int) -> list[FloatArray]:
    """Noise, each of another loudness."""
    rng = np.random.default_rng(0)
    loudness = np.geomspace(0.01, 0.3, count)[:, None]
    return list((loudness * rng.standard_normal((count, samples))).astype(np.float32))


def heard(ear: Ear) -> list[tuple[bytes, float, float]]:
    return [(mouth.tobytes(), speech, loudness) for mouth, speech, loudness in ear.heard]


@pytest.mark.parametrize(("count", "kernels"), [(2, True), (3, True), (7, False), (19, True)])
def test_an_ear_hears_the_same_bits_in_any_company(
    count: int, kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernels:
        monkeypatch.setattr(_native, "cpu_kernels", lambda: None)
    model = AudioToFace.load()
    alone, together = ([model.ear() for _ in range(count)] for _ in range(2))
    for turn, chunk in enumerate((640, 100, 2000, 1300, 5000)):
        for k, sound in enumerate(sounds(count, chunk)):
            for ears in (alone, together):
                ears[k].listen(sound)
            model.hear([alone[k]])
        # Not always all of them, nor in the same order.
        model.hear(together[turn % 2 :][::-1])
    model.hear(together)
    assert [heard(ear) for ear in together] == [heard(ear) for ear in alone]
    assert len(alone[0].heard) == (640 + 100 + 2000 + 1300 + 5000) // 640


def test_an_ear_hears_the_same_bits_however_much_comes_at_once() -> None:
    model = AudioToFace.load()
    sound = sounds(1, 300 * 640)[0]
    whole, cut = model.ear(), model.ear()
    whole.listen(sound)
    model.hear([whole])
    for begin in range(0, len(sound), 1000):
        cut.listen(sound[begin : begin + 1000])
        model.hear([cut])
    assert heard(whole) == heard(cut)
    assert len(whole.heard) == 300


def test_ears_that_wait_for_nothing_hear_nothing() -> None:
    model = AudioToFace.load()
    ear = model.ear()
    ear.listen(np.zeros(639, np.float32))
    model.hear([])
    model.hear([ear, model.ear()])
    assert not ear.heard


def test_the_shipped_model_is_small_and_says_what_made_it() -> None:
    tensors, config = load_weights("audio_to_face")
    assert sum(t.numel() for t in tensors.values()) <= 3_000_000
    assert LOOKAHEAD_SECONDS <= 0.08
    assert {"data", "command", "sha256", "held_out_correlation"} <= set(config)
    assert all({"name", "licence"} <= set(source) for source in config["data"])


def test_every_curve_moves_its_blendshapes_alike_on_both_sides() -> None:
    matrix = curve_matrix()
    assert matrix.shape == (len(CURVES), len(ARKIT_NAMES))
    assert set(matrix.sum(1).tolist()) == {1.0, 2.0}
    assert matrix.sum(0).max() == 1.0


@pytest.mark.parametrize("damage", ["missing", "cut", "other", "version", "json"])
def test_damaged_weights_are_refused(tmp_path: Path, damage: str) -> None:
    tensors, config = load_weights("audio_to_face")
    if damage == "other":
        tensors.pop("head.bias")
    if damage == "version":
        config["format"] = 0
    path = save_weights("audio_to_face", tensors, config, tmp_path)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "json":
        path.with_suffix(".json").write_text("{")
    with pytest.raises(WeightsError, match="audio_to_face"):
        AudioToFace.load(tmp_path)


def test_saved_weights_come_back(tmp_path: Path) -> None:
    path = save_weights("thing", {"a": torch.arange(4.0)}, {"note": "é"}, tmp_path)
    tensors, config = load_weights("thing", folder=tmp_path)
    assert torch.equal(tensors["a"], torch.arange(4.0))
    assert config["note"] == "é"
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]


def test_the_fifteen_visemes_are_told_for_each_knot() -> None:
    model = AudioToFace.load()
    blocks = model.step(features(1)[None], [model.start()])
    assert blocks.visemes.shape == (1, 3, len(VISEME_NAMES))
