"""The stream: one clock, no future, no memory of the chunks, bounded for ever."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import ConfigError, InputError
from avatar.face import FaceRig
from avatar.motion import AudioToFace, MotionStream
from avatar.training.noises import music
from avatar.types import ARKIT_NAMES, FloatArray, Motion

JAW = ARKIT_NAMES.index("jawOpen")
MOUTH = [i for i, n in enumerate(ARKIT_NAMES) if n.startswith(("mouth", "jaw"))]
MODEL = AudioToFace.load()


@pytest.fixture(scope="module")
def speech(repository: Path) -> FloatArray:
    """The greeting of the examples at 16 kHz."""
    samples, rate = soundfile.read(repository / "examples" / "hello.wav", dtype="float32")
    return np.asarray(soxr.resample(samples, rate, 16000), np.float32)


def offline(samples: FloatArray, fps: float = 25.0, seed: int = 0) -> Motion:
    return joined(MotionStream(MODEL, fps=fps, seed=seed), [samples])


def joined(stream: MotionStream, chunks: list[FloatArray]) -> Motion:
    parts = [*(stream.push(chunk) for chunk in chunks), stream.flush()]
    names = ("expression", "rotation", "translation", "gaze", "visemes")
    return Motion(
        **{n: np.concatenate([getattr(p, n) for p in parts]) for n in names}, fps=stream.fps
    )


def equal(a: Motion, b: Motion) -> bool:
    names = ("expression", "rotation", "translation", "gaze", "visemes")
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in names)


@settings(max_examples=12, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 32000), max_size=10),
    fps=st.sampled_from([1.0, 7.0, 23.976, 25.0, 29.97, 30.0, 50.0, 60.0, 120.0]),
)
def test_streamed_is_offline_to_the_bit(speech: FloatArray, cuts: list[int], fps: float) -> None:
    samples = speech[:32000]
    edges = [0, *sorted(cuts), len(samples)]
    chunks = [samples[a:b] for a, b in itertools.pairwise(edges)]
    assert equal(joined(MotionStream(MODEL, fps=fps), chunks), offline(samples, fps))


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 20000), fps=st.floats(1, 120), chunk=st.integers(100, 5000))
def test_an_utterance_has_as_many_frames_as_its_sound(count: int, fps: float, chunk: int) -> None:
    stream = MotionStream(MODEL, fps=fps)
    sound = np.zeros(count, np.float32)
    for _ in range(2):
        motion = joined(stream, [sound[i : i + chunk] for i in range(0, count, chunk)])
        assert len(motion) == max(1, round(count / 16000 * fps))


@pytest.mark.parametrize("fps", [24.0, 25.0, 30.0, 60.0, 120.0])
@pytest.mark.parametrize("moment", [0.5, 1.013, 1.49])
def test_sound_after_the_lookahead_changes_nothing(
    speech: FloatArray, fps: float, moment: float
) -> None:
    stream = MotionStream(MODEL, fps=fps)
    assert stream.lookahead_seconds <= 0.08
    changed = speech[:32000].copy()
    cut = int((moment + stream.lookahead_seconds) * 16000)
    changed[cut:] = np.random.default_rng(0).uniform(-1, 1, len(changed) - cut)
    frames = int(moment * fps) + 1
    assert equal(offline(changed, fps)[:frames], offline(speech[:32000], fps)[:frames])


def test_a_frame_leaves_as_soon_as_its_lookahead_is_heard(speech: FloatArray) -> None:
    stream = MotionStream(MODEL, fps=25)
    given_out = 0
    for i in range(0, 32000, 160):
        given_out += len(stream.push(speech[i : i + 160]))
        due = max(0, (i + 160 - 1280) // 640 + 1) if i + 160 >= 1280 else 0
        assert given_out == due


def lip_motion(motion: Motion) -> float:
    """How far the inner lips part, as a share of the height of the face."""
    rig = FaceRig.load()
    opening = rig.expression_basis[:, 14, 1] - rig.expression_basis[:, 13, 1]
    height = float(np.ptp(rig.mean[:, 1]))
    return float(np.abs(motion.expression @ opening).max() / height)


def no_voice(kind: str) -> FloatArray:
    rng = np.random.default_rng(11)
    seconds = 10
    if kind == "digital silence":
        return np.zeros(seconds * 16000, np.float32)
    if kind == "music":
        sound = music(rng, seconds * 16000)
        return (sound / sound.std() * 0.05).astype(np.float32)
    level = {"room tone": 10 ** (-60 / 20), "fan": 10 ** (-40 / 20)}[kind]
    pink = np.cumsum(rng.standard_normal(seconds * 16000))
    pink = pink - np.convolve(pink, np.ones(400) / 400, "same")
    return (pink / pink.std() * level).astype(np.float32)


@pytest.mark.parametrize("kind", ["digital silence", "room tone", "fan", "music"])
def test_without_a_voice_the_mouth_stays_closed(kind: str) -> None:
    assert lip_motion(offline(no_voice(kind))) < 0.01


def test_digital_silence_moves_nothing_of_the_mouth_at_all() -> None:
    motion = offline(no_voice("digital silence"))
    assert not motion.expression[:, MOUTH].any()
    assert (motion.visemes[:, 0] == 1).all()


def test_speech_opens_the_mouth_and_its_end_closes_it(speech: FloatArray) -> None:
    quiet = np.zeros(16000, np.float32)
    motion = offline(np.concatenate([quiet, speech[:48000], quiet]))
    jaw = motion.expression[:, JAW]
    assert jaw[25:95].max() > 0.2
    assert jaw[25:95].std() > 0.05
    assert jaw[:20].max() < 0.02
    assert jaw[-10:].max() < 0.02


def test_everything_stays_in_its_range(speech: FloatArray) -> None:
    motion = offline(speech, fps=60)
    assert motion.expression.min() >= 0
    assert motion.expression.max() <= 1
    assert np.allclose(motion.visemes.sum(1), 1, atol=1e-5)
    assert motion.visemes.min() >= 0
    assert np.allclose(np.linalg.norm(motion.rotation, axis=1), 1, atol=1e-5)


def test_the_seed_moves_eyes_and_head_but_not_the_mouth(speech: FloatArray) -> None:
    a, b = offline(speech, seed=1), offline(speech, seed=2)
    assert np.array_equal(a.expression[:, MOUTH], b.expression[:, MOUTH])
    assert not np.array_equal(a.rotation, b.rotation)
    assert equal(a, offline(speech, seed=1))


def test_life_goes_on_without_a_jump_between_utterances(speech: FloatArray) -> None:
    stream = MotionStream(MODEL, fps=25, seed=3)
    first = joined(stream, [speech[:20000]])
    between = stream.idle(10)
    second = joined(stream, [speech[:20000]])
    turns = np.concatenate([m.rotation for m in (first, between, second)])
    assert np.degrees(2 * np.abs(np.diff(turns[:, 1:], axis=0))).max() < 1.0
    mouth = np.concatenate([m.expression[:, MOUTH] for m in (first, between, second)])
    within = np.abs(np.diff(first.expression[:, MOUTH], axis=0)).max()
    assert np.abs(np.diff(mouth, axis=0)).max() <= within + 0.1
    assert between.expression[-1, MOUTH].max() < 0.01


def test_after_an_interruption_the_old_sound_is_forgotten(speech: FloatArray) -> None:
    stream = MotionStream(MODEL, fps=25)
    shown = stream.push(speech[:30000])
    stream.interrupt()
    after = stream.idle(25)
    assert after.expression[-1, MOUTH].max() < 0.001
    before, next_one = shown.expression[-1, MOUTH], after.expression[0, MOUTH]
    assert np.abs(next_one - before).max() <= 0.5 * before.max() + 0.01
    assert len(joined(stream, [speech[:16000]])) == 25


def test_idle_frames_are_refused_within_an_utterance(speech: FloatArray) -> None:
    stream = MotionStream(MODEL)
    stream.push(speech[:100])
    with pytest.raises(InputError, match="flush"):
        stream.idle(1)


@pytest.mark.parametrize("fps", [0.0, 0.5, 121.0, float("nan")])
def test_impossible_frame_rates_are_refused(fps: float) -> None:
    with pytest.raises(ConfigError, match="1 to 120"):
        MotionStream(MODEL, fps=fps)


def test_memory_does_not_grow_with_the_stream() -> None:
    stream = MotionStream(MODEL, fps=25)
    chunk = (0.05 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
    for _ in range(30):
        stream.push(chunk)
    before = len(pickle.dumps(stream))
    for _ in range(570):
        stream.push(chunk)
    assert len(pickle.dumps(stream)) <= before + 500
