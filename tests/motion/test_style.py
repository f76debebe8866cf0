"""What a style may be, and what it does to a face that speaks."""

from __future__ import annotations

import itertools
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

import avatar
from avatar.errors import ConfigError
from avatar.face import FaceRig
from avatar.face.lips import lip_gaps
from avatar.motion import (
    CURVES,
    EMOTIONS,
    NEUTRAL,
    AudioToFace,
    MotionStream,
    Retargeter,
    Style,
    blend,
    curve_matrix,
)  # fmt: skip
from avatar.motion.blend import Look, express
from avatar.motion.idle import Life
from avatar.types import ARKIT_NAMES, FloatArray, Landmarks, Motion

MODEL = AudioToFace.load()
MOUTH = [i for i, n in enumerate(ARKIT_NAMES) if n.startswith(("mouth", "jaw"))]
CALM = Life(0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0))
FIELDS = ("expression", "rotation", "translation", "gaze", "visemes")

emotions = st.dictionaries(st.sampled_from(sorted(EMOTIONS)), st.floats(0, 1), max_size=4)
styles = st.builds(
    Style,
    emotion=emotions,
    intensity=st.floats(0, 2),
    blink_rate=st.floats(0, 3),
    head_motion=st.floats(0, 3),
    gaze=st.none() | st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
    gain=st.dictionaries(st.sampled_from(ARKIT_NAMES), st.floats(0, 4), max_size=3),
    offset=st.dictionaries(st.sampled_from(ARKIT_NAMES), st.floats(-1, 1), max_size=3),
)


@cache
def speech() -> FloatArray:
    """Two seconds of the greeting of the examples at 16 kHz."""
    path = Path(__file__).resolve().parents[2] / "examples" / "hello.wav"
    samples, rate = soundfile.read(path, dtype="float32")
    return np.asarray(soxr.resample(samples, rate, 16000), np.float32)[:32000]


@cache
def nobody() -> Retargeter:
    rig = FaceRig.load()
    return Retargeter(rig, Landmarks(rig.mean), np.zeros(52, np.float32))


def at(name: str) -> int:
    return ARKIT_NAMES.index(name)


def joined(parts: list[Motion]) -> Motion:
    arrays = {n: np.concatenate([getattr(p, n) for p in parts]) for n in FIELDS}
    return Motion(**arrays, fps=parts[0].fps)


def said(style: Style, samples: FloatArray | None = None, fps: float = 25.0) -> Motion:
    stream = MotionStream(MODEL, fps=fps, style=style)
    return joined([stream.push(speech() if samples is None else samples), stream.flush()])


def expression(style: Style, **curves: float) -> FloatArray:
    """The face of a style while the voice sets ``curves``."""
    driven = np.zeros(len(CURVES), np.float32)
    for name, value in curves.items():
        driven[CURVES.index(name)] = value
    out = np.zeros(len(ARKIT_NAMES), np.float32)
    express(driven, CALM, Look.of(style), out)
    return out


def lip_gap(weights: FloatArray) -> float:
    """The widest gap of the lips of the rig's face, in distances between the eyes."""
    still = np.eye(1, 4, dtype=np.float32)[0]
    points = nobody().landmarks(weights, still, np.zeros(3, np.float32), np.zeros(2, np.float32))
    return float(lip_gaps(points)[:, 1].max())


def test_a_style_is_public_and_compares_by_value() -> None:
    assert avatar.Style is Style
    assert Style() == NEUTRAL
    assert Style(emotion={"happy": 0.5}) == Style(emotion={"joy": 0.5})
    assert pickle.loads(pickle.dumps(Style(gain={"jawOpen": 2}))) == Style(gain={"jawOpen": 2})


def test_the_ten_emotions_are_those_of_the_protocol() -> None:
    assert sorted(EMOTIONS) == [
        "amazement", "anger", "cheekiness", "disgust", "fear", "grief", "joy", "outofbreath",
        "pain", "sadness",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"emotion": {"joi": 1.0}}, "did you mean 'joy'"),
        ({"emotion": {"joy": 1.5}}, "within 0 to 1, got 1.5"),
        ({"emotion": {"joy": 0.1, "happy": 0.2}}, "'joy' twice"),
        ({"emotion": ["joy"]}, "must be a mapping"),
        ({"intensity": 2.1}, "intensity must be within 0 to 2"),
        ({"intensity": float("nan")}, "got nan"),
        ({"blink_rate": -0.1}, "blink_rate must be within 0 to 3"),
        ({"head_motion": "much"}, "head_motion must be a number"),
        ({"gaze": (0.1,)}, r"gaze must be None or \(right, down\)"),
        ({"gaze": (3.0, 0.0)}, "within -0.698"),
        ({"gain": {"mouthSmileLeff": 1.0}}, "did you mean 'mouthSmileLeft'"),
        ({"gain": {"jawOpen": 5.0}}, "within 0 to 4"),
        ({"offset": {"jawOpen": -1.5}}, "within -1 to 1"),
    ],
)
def test_impossible_styles_are_refused_with_the_way_out(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Style(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(EMOTIONS))
def test_an_emotion_shows_in_silence_with_the_lips_together_and_still(name: str) -> None:
    style = Style(emotion={name: 1.0}, blink_rate=0)
    silence = said(style, np.zeros(16000, np.float32))
    face = expression(style)
    assert face.max() > 0.3
    assert lip_gap(face) < 0.02
    mouth = silence.expression[:, MOUTH]
    assert (mouth == mouth[0]).all()
    assert (silence.visemes[:, 0] == 1).all()


def test_emotions_differ_from_each_other_and_blend() -> None:
    faces = {name: expression(Style(emotion={name: 1.0})) for name in EMOTIONS}
    for a, b in itertools.combinations(faces.values(), 2):
        assert np.abs(a - b).max() > 0.2
    half = expression(Style(emotion={"joy": 0.5}))
    assert np.allclose(half, 0.5 * faces["joy"], atol=1e-6)
    both = expression(Style(emotion={"joy": 0.4, "amazement": 0.4}))
    assert both[at("mouthSmileLeft")] > 0.2
    assert both[at("browInnerUp")] > 0.2


@settings(max_examples=60, deadline=None)
@given(emotion=emotions, intensity=st.floats(0, 2), jaw=st.floats(0, 0.6), press=st.floats(0, 1))
def test_lips_that_speech_closes_are_closed_under_any_style(
    emotion: dict[str, float], intensity: float, jaw: float, press: float
) -> None:
    style = Style(emotion=emotion, intensity=intensity)
    closed = expression(style, jawOpen=jaw, mouthClose=jaw, mouthPress=press)
    assert lip_gap(closed) < 0.025


@pytest.mark.parametrize("name", [None, *sorted(EMOTIONS)])
def test_intensity_scales_how_far_speech_opens_the_mouth(name: str | None) -> None:
    emotion = {} if name is None else {name: 1.0}
    gaps = [
        lip_gap(expression(Style(emotion=emotion, intensity=i), jawOpen=0.3, mouthLowerDown=0.1))
        for i in (0.0, 0.5, 1.0, 1.5, 2.0)
    ]
    assert gaps[0] < 0.02
    assert (np.diff(gaps) > 0.02).all()


def test_rounded_lips_are_rounded_by_a_happy_face_too() -> None:
    joy = Style(emotion={"joy": 1.0})
    smile = at("mouthSmileLeft")
    assert expression(joy, mouthPucker=0.8)[smile] < 0.6 * expression(joy)[smile]


def test_a_blink_closes_sad_eyes_and_wide_ones() -> None:
    for name in ("sadness", "amazement"):
        out = np.zeros(52, np.float32)
        look = Look.of(Style(emotion={name: 1.0}))
        express(np.zeros(len(CURVES), np.float32), CALM._replace(blink=1.0), look, out)
        assert out[at("eyeBlinkLeft")] == pytest.approx(1.0)
        assert out[at("eyeWideLeft")] == 0


def test_gain_then_offset_then_the_limits() -> None:
    style = Style(gain={"jawOpen": 2.0}, offset={"jawOpen": 0.1, "mouthSmile": -0.5})
    assert expression(style, jawOpen=0.3)[at("jawOpen")] == pytest.approx(0.7)
    assert expression(style, jawOpen=0.6)[at("jawOpen")] == 1.0
    assert expression(style, mouthSmile=0.2)[at("mouthSmileRight")] == 0.0


def test_held_gaze_holds_and_both_accounts_of_it_agree() -> None:
    held = said(Style(gaze=(0.2, -0.1)))
    assert np.allclose(held.gaze, (0.2, -0.1), atol=1e-6)
    assert np.allclose(held.expression[:, at("eyeLookOutLeft")], 0.2 / 0.715, atol=1e-5)
    assert np.allclose(held.expression[:, at("eyeLookInRight")], 0.2 / 0.51, atol=1e-5)
    assert np.allclose(held.expression[:, at("eyeLookUpLeft")], 0.1 / 0.457, atol=1e-5)
    assert not held.expression[:, at("eyeLookDownLeft")].any()
    alive = said(Style())
    mirrored = np.array([avatar.motion.gaze_of(e) for e in alive.expression])
    assert np.allclose(mirrored, alive.gaze, atol=1e-5)
    assert np.ptp(alive.gaze, axis=0).max() > 0.01


def test_what_a_style_does_not_name_it_does_not_change() -> None:
    plain, styled = said(Style()), said(Style(gain={"browInnerUp": 2.0}))
    rest = [i for i in range(52) if i != at("browInnerUp")]
    assert np.array_equal(plain.expression[:, rest], styled.expression[:, rest])
    assert np.array_equal(plain.rotation, styled.rotation)
    assert np.array_equal(said(Style(emotion={"joy": 0.9})).visemes, plain.visemes)


@settings(max_examples=12, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 32000), styles), max_size=3),
    cuts=st.lists(st.integers(0, 32000), max_size=8),
    fps=st.sampled_from([23.976, 25.0, 60.0]),
)
def test_style_changes_at_the_same_samples_give_the_same_bits_for_any_chunking(
    changes: list[tuple[int, Style]], cuts: list[int], fps: float
) -> None:
    changes = sorted(changes, key=lambda change: change[0])

    def run(edges: list[int]) -> Motion:
        stream = MotionStream(MODEL, fps=fps)
        parts, done = [], 0
        for at_sample, style in [*changes, (32000, None)]:
            for edge in [*(e for e in edges if done < e < at_sample), at_sample]:
                parts.append(stream.push(speech()[done:edge]))
                done = edge
            if style is not None:
                stream.style = style
        return joined([*parts, stream.flush()])

    once, chunked = run([]), run(sorted(cuts))
    for name in FIELDS:
        assert np.array_equal(getattr(once, name), getattr(chunked, name))
    assert once.expression.min() >= 0
    assert once.expression.max() <= 1


@settings(max_examples=8, deadline=None)
@given(style=styles, moment=st.floats(0.3, 1.5))
def test_sound_after_the_lookahead_changes_nothing_under_any_style(
    style: Style, moment: float
) -> None:
    cut = int((moment + MotionStream(MODEL).lookahead_seconds) * 16000)
    changed = speech().copy()
    changed[cut:] = np.random.default_rng(0).uniform(-1, 1, len(changed) - cut)
    frames = int(moment * 25) + 1
    a, b = said(style), said(style, changed)
    for name in FIELDS:
        assert np.array_equal(getattr(a, name)[:frames], getattr(b, name)[:frames])


def test_a_new_style_is_eased_in_within_a_quarter_of_a_second() -> None:
    stream = MotionStream(MODEL, fps=50, style=Style(blink_rate=0))
    before = stream.idle(20)
    stream.style = Style(emotion={"joy": 1.0}, gaze=(0.3, 0.2), blink_rate=0)
    after = stream.idle(40)
    smile = np.concatenate([before.expression, after.expression])[:, at("mouthSmileLeft")]
    assert smile[19] == 0
    assert 0 < smile[20] < 0.1
    assert smile[32] == smile[-1] > 0.5
    assert np.diff(smile).max() < 0.12
    assert np.allclose(after.gaze[15], (0.3, 0.2), atol=1e-6)


def test_interrupting_and_idling_join_smoothly_under_a_strong_style() -> None:
    stream = MotionStream(MODEL, fps=25, style=Style(emotion={"anger": 1.0}, intensity=1.5))
    parts = [stream.push(speech()[:20000])]
    fastest = np.abs(np.diff(parts[0].expression[:, MOUTH], axis=0)).max()
    stream.interrupt()
    parts.append(stream.idle(8))
    stream.style = Style(emotion={"joy": 1.0})
    parts.append(stream.idle(12))
    parts.append(stream.push(speech()[:20000]))
    whole = joined(parts)
    steps = np.abs(np.diff(whole.expression[:, MOUTH], axis=0))
    assert steps.max() <= fastest + 0.1
    turns = np.degrees(2 * np.abs(np.diff(whole.rotation[:, 1:], axis=0)))
    assert turns.max() < 40.0 / 25
    assert np.allclose(whole.expression[len(parts[0]) + 19, MOUTH],
                       expression(Style(emotion={"joy": 1.0}))[MOUTH], atol=0.01)  # fmt: skip


def test_head_motion_zero_and_blink_rate_zero_leave_a_still_head_and_open_eyes() -> None:
    motion = said(Style(head_motion=0, blink_rate=0))
    assert (motion.rotation == np.eye(1, 4, dtype=np.float32)).all()
    assert not motion.translation.any()
    assert not motion.expression[:, at("eyeBlinkLeft")].any()


def test_speech_moves_nothing_that_life_moves() -> None:
    """So life can be written over what speech left there."""
    assert not curve_matrix()[:, blend._LIVING].any()
