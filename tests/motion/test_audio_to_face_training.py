"""The material of the voice: labels, augmentation, and the way clips are read and put in time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import InputError
from avatar.motion import CURVES
from avatar.speech import log_mel, mel_powers
from avatar.training import speech_corpus
from avatar.training.audio_to_face import TERMS, SpeechLoss
from avatar.training.coarticulation import Articulation, coarticulate
from avatar.training.grid_alignment import sentence
from avatar.training.lip_sync import correlation_by_lag
from avatar.training.noises import music, noise
from avatar.training.phonemes import arpabet_visemes, ipa_visemes
from avatar.training.speech_batches import SpeechBatches, batch_features
from avatar.training.speech_data import (
    HELD_OUT,
    Track,
    learn_articulation,
    lip_matrix,
    normalise_people,
    read_measured,
    shard_paths,
    shifted,
    speech_activity,
    still_track,
)
from avatar.types import VISEME_NAMES, FloatArray

JAW = CURVES.index("jawOpen")
PP, AA = VISEME_NAMES.index("PP"), VISEME_NAMES.index("aa")


def names(visemes: list[int]) -> list[str]:
    return [VISEME_NAMES[i] for i in visemes]


def test_phonemes_become_the_mouth_shapes_they_are() -> None:
    assert names(ipa_visemes("ˈb")) == ["PP"]
    assert names(ipa_visemes("aʊ")) == ["aa", "ou"]
    assert names(ipa_visemes("tɕ")) == ["DD", "CH"]
    assert names(ipa_visemes("ː")) == ["sil"]
    assert names(arpabet_visemes("OY1")) == ["oh", "ih"]
    assert names(arpabet_visemes("SIL")) == ["sil"]


def test_lips_meet_on_b_between_open_vowels() -> None:
    times = np.arange(60, dtype=np.float32) / 100
    phones = [(0.0, 0.2, AA), (0.2, 0.28, PP), (0.28, 0.5, AA)]
    curves, visemes = coarticulate(phones, times)
    assert curves[10, JAW] > 0.3
    assert curves[24, JAW] < 0.25 * curves[10, JAW]
    assert visemes[24].argmax() == PP
    assert np.allclose(visemes.sum(1), 1)


def test_lips_round_before_the_round_vowel_sounds() -> None:
    times = np.arange(60, dtype=np.float32) / 100
    phones = [(0.0, 0.3, VISEME_NAMES.index("SS")), (0.3, 0.5, VISEME_NAMES.index("ou"))]
    curves, _ = coarticulate(phones, times)
    pucker = curves[:, CURVES.index("mouthPucker")]
    assert pucker[25] > 0.2 * pucker[40] > 0.05


def spoken(rng: np.random.Generator, seconds: float) -> list[tuple[float, float, int]]:
    """Random sounds of 80 to 160 ms each."""
    phones, at = [], 0.0
    while at < seconds:
        end = at + float(rng.uniform(0.08, 0.16))
        phones.append((at, end, int(rng.integers(len(VISEME_NAMES)))))
        at = end
    return phones


def hum(steps: int) -> FloatArray:
    """Band powers of a steady tone."""
    return np.full((steps, 80), 1e-4, np.float32)


def test_shapes_of_sounds_are_learnt_from_people_and_hold_for_what_they_did_not_say() -> None:
    rng = np.random.default_rng(4)
    times = np.arange(400, dtype=np.float32) / 100
    said = [spoken(rng, 4.0) for _ in range(25)]
    moved = [coarticulate(phones, times)[0] for phones in said]
    filmed = [np.concatenate([m, 0.3 * m[:, :1], m[:, 1:2]], 1) for m in moved]
    examples = [(p, hum(400), f) for p, f in zip(said[:24], filmed[:24], strict=True)]
    learnt = Articulation.fit(examples, [1.0] * 24, lip_matrix())
    curves, lips = learnt(said[24], hum(400))
    shut = coarticulate(said[24], times)[1][:, PP] > 0.1
    assert np.corrcoef(curves[~shut, JAW], moved[24][~shut, JAW])[0, 1] > 0.97
    assert np.corrcoef(lips[~shut, 0], filmed[24][~shut, -2])[0, 1] > 0.97


def test_learnt_lips_meet_on_b_even_where_nobody_was_seen_to_close_them() -> None:
    phones = [(0.0, 0.4, AA), (0.4, 0.5, PP), (0.5, 0.9, AA)]
    never = np.full((90, len(CURVES) + 2), 0.2, np.float32)
    learnt = Articulation.fit([(phones, hum(90), never)] * 20, [1.0] * 20, lip_matrix())
    curves, lips = learnt(phones, hum(90))
    assert curves[45, JAW] < 0.1 * curves[15, JAW]
    assert lips[45, 0] < 0.1 * lips[15, 0]


def test_a_sound_that_nobody_said_has_the_shape_of_the_table() -> None:
    silence = [(0.0, 0.9, VISEME_NAMES.index("sil"))]
    still = np.zeros((90, len(CURVES) + 2), np.float32)
    learnt = Articulation.fit([(silence, hum(90), still)] * 20, [1.0] * 20, lip_matrix())
    opening = {
        name: learnt([(0.0, 0.9, VISEME_NAMES.index(name))], hum(90))[1][45, 0]
        for name in ("aa", "ih", "SS")
    }
    assert opening["aa"] > 1.2 * opening["ih"] > 1.2 * opening["SS"] > 0


def test_who_opens_further_when_louder_is_learnt() -> None:
    phones = [(0.0, 0.9, AA)]
    loud = hum(90) * np.linspace(0.1, 1.0, 90, dtype=np.float32)[:, None] ** 2
    opened = np.repeat(np.linspace(0.02, 0.2, 90, dtype=np.float32)[:, None], len(CURVES) + 2, 1)
    learnt = Articulation.fit([(phones, loud, opened)] * 20, [1.0] * 20, lip_matrix())
    lips = learnt(phones, loud[::-1])[1][:, 0]
    assert lips[10] > 2 * lips[80]


def test_articulation_needs_somebody_with_phone_times() -> None:
    silent = still_track("someone", np.zeros(16_000, np.float32))
    with pytest.raises(InputError, match="grid_alignment"):
        learn_articulation({"someone": [silent]})


def test_batched_features_are_those_of_the_stream() -> None:
    rng = np.random.default_rng(0)
    sounds = [noise(rng, 2.0, level) for level in (-50.0, -15.0)]
    together = batch_features(np.stack([mel_powers(s) for s in sounds]))
    for one, sound in zip(together, sounds, strict=True):
        assert np.allclose(one, log_mel(sound), atol=1e-3)


def test_augmented_windows_keep_sound_and_motion_together() -> None:
    """A track whose jaw opens exactly with its loudness is still so after every distortion."""
    rng = np.random.default_rng(1)
    track = still_track("someone", noise(rng, 8.0, -30))
    opening = np.repeat(rng.random(16), 50)[: len(track.powers)].astype(np.float32)
    curves = np.zeros((len(opening), len(CURVES)), np.float32)
    curves[:, JAW] = opening
    powers = (track.powers.mean(0) * (opening[:, None] ** 2 + 1e-4)).astype(np.float32)
    loud = Track("someone", "measured", powers, curves, track.lips, track.visemes, track.speech + 1)
    batches = SpeechBatches([{"someone": [loud]}], [1.0], [track], seed=0)
    batch = batches.draw(8)
    heard = batch.features[:, 3::4, -1]
    found = []
    for energy, jaw in zip(heard, batch.curves[:, :, 0, JAW], strict=True):
        both = np.isfinite(jaw[2:])
        found.append(np.corrcoef(energy[:-2][both], jaw[2:][both])[0, 1])
    assert np.median(found) > 0.6


def test_batches_are_the_same_for_the_same_seed() -> None:
    track = still_track("room", noise(np.random.default_rng(2), 5.0, -40))
    first, second = (
        SpeechBatches([{"room": [track]}], [1.0], [track], seed=9).draw(3) for _ in range(2)
    )
    assert np.array_equal(first.features, second.features)


@pytest.mark.parametrize("kind", [music, lambda rng, n: noise(rng, n / 16000, -30)])
def test_noises_are_finite_and_audible(kind: object) -> None:
    for seed in range(4):
        sound = kind(np.random.default_rng(seed), 32000)  # type: ignore[operator]
        assert sound.shape == (32000,)
        assert np.isfinite(sound).all()
        assert sound.std() > 1e-3


def write_shard(path: Path, *, scale: float, identity: str) -> FloatArray:
    """A face whose lips part with the loudness of its sound; gives the opening in pixels."""
    rng = np.random.default_rng(3)
    seconds, fps = 4, 25
    openness = np.clip(np.sin(np.arange(seconds * fps) * 0.7), 0, 1)
    audio = np.repeat(openness, 640) * rng.standard_normal(seconds * 16000) * 0.1
    landmarks = np.zeros((seconds * fps, 478, 3), np.float32)
    landmarks[:, 33, 0], landmarks[:, 263, 0] = -50 * scale, 50 * scale
    landmarks[:, 78, 0], landmarks[:, 308, 0] = -25 * scale, 25 * scale
    landmarks[:, 14, 1] = 12 * scale * openness
    blendshapes = np.zeros((seconds * fps, 52), np.float32)
    blendshapes[:, 25] = 0.1 + 0.3 * openness  # jawOpen, after MediaPipe's leading _neutral
    np.savez(
        path, landmarks=landmarks, blendshapes=blendshapes, audio=audio.astype(np.float32),
        pts=np.arange(seconds * fps, dtype=np.float32) / fps, audio_start=np.float32(0),
        identity=identity,
    )  # fmt: skip
    return landmarks[:, 14, 1]


def test_people_are_read_relative_to_their_rest_and_to_a_common_opening(tmp_path: Path) -> None:
    for name, scale in (("near", 3.0), ("far", 0.7)):
        write_shard(tmp_path / f"{name}.npz", scale=scale, identity=name)
    tracks = [read_measured(path) for path in shard_paths(tmp_path)]
    people = normalise_people(t for t in tracks if t is not None)
    near, far = people["near"][0], people["far"][0]
    assert np.allclose(near.lips, far.lips, atol=1e-4)
    assert np.percentile(near.lips[:, 0], 95) == pytest.approx(0.15, abs=0.01)
    assert near.curves[:, JAW].min() == pytest.approx(0, abs=0.01)
    assert np.corrcoef(near.curves[:, JAW], near.lips[:, 0])[0, 1] > 0.99
    assert 0.3 < near.speech.mean() <= 1


def test_a_shard_without_sound_or_face_is_left_out(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.npz", scale=1, identity="a")
    data = dict(np.load(tmp_path / "a.npz"))
    np.savez(tmp_path / "mute.npz", **{**data, "audio": np.zeros(0, np.float32)})
    lost = data["landmarks"].copy()
    lost[::2] = np.nan
    np.savez(tmp_path / "lost.npz", **{**data, "landmarks": lost})
    assert read_measured(tmp_path / "mute.npz") is None
    assert read_measured(tmp_path / "lost.npz") is None
    with pytest.raises(InputError, match=r"no \.npz"):
        shard_paths(tmp_path / "nothing")


def test_the_lag_of_a_clip_is_found_and_taken_back(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.npz", scale=1, identity="a")
    track = read_measured(tmp_path / "a.npz")
    assert track is not None
    truth = track.lips[:, 0].copy()
    late = shifted(track, -6)
    assert int(correlation_by_lag(truth, late, 20).argmax()) - 20 == 6
    assert int(correlation_by_lag(truth, shifted(late, 6), 20).argmax()) == 20


def test_activity_is_where_the_sound_is() -> None:
    rng = np.random.default_rng(0)
    sound = rng.standard_normal(48000).astype(np.float32) * 1e-4
    sound[16000:32000] *= 1000
    active = speech_activity(mel_powers(sound))
    assert active[110:190].all()
    assert not active[:80].any()
    assert not active[220:].any()


def test_people_kept_apart_are_named() -> None:
    assert {"GRID_s31", "GRID_s2", "GRID_x5", "GRID_x6"} <= HELD_OUT


def test_voices_kept_apart_are_not_learnt_from_even_in_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech_corpus, "SYNTHETIC_NOISES", 1)
    folders = [tmp_path / name for name in ("measured", "phones", "said", "facegood", "music")]
    measured, phones, said, facegood, music = folders
    for folder in folders:
        folder.mkdir()
    write_shard(measured / "one.npz", scale=1, identity="GRID_one")
    np.savez(phones / "one.npz", start=[0.0, 1.0], end=[1.0, 4.0], phone=["aa", "b"])
    for identity in ("tts_someone", "tts_flite_rms"):
        np.savez(
            said / f"{identity}.npz", audio=np.zeros(16_000, np.float32), identity=identity,
            phone_start=[0.0], phone_end=[1.0], phone_viseme=[AA],
        )  # fmt: skip
    sources = speech_corpus.Sources(measured, said, facegood, music, phones, ("facegood",))
    corpus = speech_corpus.load_corpus(sources, seed=0)
    assert [set(group) for group in corpus.train[:3]] == [{"GRID_one"}, set(), {"tts_someone"}]


def test_a_term_of_the_loss_can_be_left_out() -> None:
    track = still_track("room", noise(np.random.default_rng(2), 5.0, -40))
    batch = SpeechBatches([{"room": [track]}], [1.0], [track], seed=9).draw(2)
    raw = torch.zeros(2, batch.curves.shape[1], 3, len(CURVES) + len(VISEME_NAMES) + 1)
    deviation = torch.ones(len(CURVES))
    whole = SpeechLoss(deviation)(raw, batch)
    assert set(whole) == set(TERMS)
    assert set(SpeechLoss(deviation, frozenset({"speed"}))(raw, batch)) == set(TERMS) - {"speed"}


def test_the_name_of_a_grid_clip_spells_its_sentence() -> None:
    assert sentence("bbaf2n") == "bin blue at f two now"
    assert sentence("swwzzp") == "set white with z zero please"
    assert sentence("d20") is None
    assert sentence("xxaf2n") is None
