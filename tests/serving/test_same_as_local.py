"""One suite for both: whoever uses an avatar need not know where it is drawn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.conftest import RATE, Running

from avatar import Avatar, Style
from avatar.errors import AudioError, ConfigError, InputError, OutputError, SessionClosedError
from avatar.media import VideoReader
from avatar.serving import RemoteAvatar
from avatar.types import ARKIT_NAMES

LIVE = {"pacing": "realtime", "idle": True, "pixels": False}


@pytest.fixture(scope="module")
def local(avatars: Path) -> Avatar:
    return Avatar.load(avatars / "eileen.avatar")


@pytest.fixture(params=["local", "remote"])
def person(request: pytest.FixtureRequest, local: Avatar, server: Running) -> Iterator[Any]:
    if request.param == "local":
        yield local
        return
    with RemoteAvatar(server.address, "eileen", codec="rgb") as remote:
        yield remote


@pytest.fixture(scope="module")
def expected(local: Avatar, voice: Any) -> list[Any]:
    return list(local.speak((voice, RATE), size=64, seed=3))


def same(left: Any, right: Any) -> None:
    assert (left.index, left.pts_seconds, left.utterance_id) == (
        right.index, right.pts_seconds, right.utterance_id,
    )  # fmt: skip
    for name in ("image", "expression", "visemes", "rotation", "translation"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    np.testing.assert_array_equal(left.landmarks.points, right.landmarks.points)
    np.testing.assert_array_equal(left.audio.samples, right.audio.samples)


def test_speak_gives_the_same_frames(person: Any, expected: list[Any], voice: Any) -> None:
    clip = person.speak((voice, RATE), size=64, seed=3)
    assert len(clip) == clip.info.frames == len(expected)
    assert (clip.info.height, clip.info.width) == expected[0].image.shape[:2]
    for left, right in zip(clip, expected, strict=True):
        same(left, right)


def test_chunks_of_any_length_give_the_same_frames(
    person: Any, expected: list[Any], voice: Any
) -> None:
    frames = []
    with person.session(size=64, seed=3) as session:
        for chunk in np.array_split(voice, 7):
            session.push_audio(chunk)
            frames += list(session)
        assert 0 < len(frames) < len(expected)
        session.flush()
        frames += list(session)
        assert list(session) == []
    for left, right in zip(frames, expected, strict=True):
        same(left, right)


def test_utterances_are_numbered(person: Any, voice: Any) -> None:
    with person.session(pixels=False) as session:
        numbers = []
        for _ in range(3):
            assert session.utterance_id == len(numbers)
            session.push_audio(voice)
            session.flush()
            numbers.append({frame.utterance_id for frame in session})
    assert numbers == [{0}, {1}, {2}]


def test_no_frame_of_an_interrupted_utterance(person: Any, voice: Any) -> None:
    with person.session(pixels=False) as session:
        session.push_audio(voice)
        before = next(iter(session))
        session.interrupt()
        session.push_audio(voice[:8000])
        session.flush()
        after = list(session)
    assert before.utterance_id == 0
    assert {frame.utterance_id for frame in after} == {1}
    assert len(after) in (12, 13)


def test_a_session_without_pixels_has_everything_else(person: Any, voice: Any) -> None:
    with person.session(pixels=False) as session:
        session.push_audio(voice)
        session.flush()
        frames = list(session)
    assert all(frame.image is None for frame in frames)
    assert np.isfinite(frames[0].landmarks.points).all()
    np.testing.assert_array_equal(np.concatenate([f.audio.samples for f in frames]), voice)


def test_a_live_face_goes_on_until_it_is_closed(person: Any, voice: Any) -> None:
    seen = []
    with person.session(**LIVE) as session:
        for frame in session:
            seen.append(frame)
            if len(seen) == 3:
                session.push_audio(voice)
                session.flush()
            if sum(not frame.idle for frame in seen) == 10:
                session.close()
    assert seen[0].idle
    assert [frame.index for frame in seen] == list(range(len(seen)))
    steps = np.diff([frame.pts_seconds for frame in seen])
    np.testing.assert_allclose(steps, 0.04, atol=1e-9)


def test_closing_wakes_whoever_waits(person: Any) -> None:
    session = person.session(pacing="realtime", pixels=False)
    threading.Timer(0.2, session.close).start()
    assert list(session) == []
    assert session.closed


def test_async_iteration(person: Any, voice: Any) -> None:
    async def listen() -> int:
        count = 0
        session = person.session(pixels=False)
        session.push_audio(voice)
        session.flush()
        async for _ in session:
            count += 1
            if count == 30:
                session.close()
        return count

    assert asyncio.run(listen()) == 30


def test_a_style_holds_from_where_it_was_set(person: Any, voice: Any) -> None:
    place = ARKIT_NAMES.index("mouthSmileLeft")
    with person.session(pixels=False) as session:
        session.push_audio(voice)
        session.set_style(Style(emotion={"joy": 1.0}))
        session.push_audio(voice)
        session.flush()
        smiles = [frame.expression[place] for frame in session]
    assert np.mean(smiles[40:]) > np.mean(smiles[:30]) + 0.1


def test_a_pause_is_silent_and_as_long_as_asked(person: Any, voice: Any) -> None:
    with person.session(pixels=False) as session:
        session.push_audio(voice)
        session.pause(0.4)
        frames = list(session)
    assert [frame.idle for frame in frames].count(True) == 10


def test_a_clip_is_saved(person: Any, voice: Any, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    clip = person.speak((voice[:8000], RATE), size=64)
    clip.save(tmp_path / "x.mp4", progress=lambda done, total: steps.append((done, total)))
    assert len(list(VideoReader(tmp_path / "x.mp4"))) == len(clip)
    assert steps[-1] == (len(clip), len(clip))
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


def test_bad_settings_and_bad_sound_are_the_same_errors(person: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fps"):
        person.session(fps=1000)
    with pytest.raises(AudioError):
        person.speak((np.zeros(0, np.float32), RATE))
    with person.session(pixels=False) as session:
        with pytest.raises(AudioError, match="NaN"):
            session.push_audio(np.array([np.nan], np.float32))
        with pytest.raises(AudioError):
            session.push_audio(np.zeros((2, 2), np.float32))
    with pytest.raises(SessionClosedError):
        session.push_audio(np.zeros(3, np.float32))
    with pytest.raises(OutputError):
        person.speak((np.zeros(800, np.float32), RATE)).save(tmp_path / "no" / "x.mp4")


@pytest.mark.parametrize("background", ["#00ff00", "alpha"])
def test_a_background_is_the_same(
    person: Any, local: Avatar, voice: Any, background: str, tmp_path: Path
) -> None:
    sound = (voice[:8000], RATE)
    expected = list(local.speak(sound, size=64, background=background))
    clip = person.speak(sound, size=64, background=background)
    assert clip.info.alpha == (background == "alpha")
    for left, right in zip(clip, expected, strict=True):
        same(left, right)
    clip.save(tmp_path / "clip.webm")
    with VideoReader(tmp_path / "clip.webm") as reader:
        assert len(list(reader)) == len(expected)
    if background == "alpha":
        with pytest.raises((OutputError, InputError), match=r"webm.* mov|\.webm, \.mov"):
            clip.save(tmp_path / "clip.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.webm"]


def test_what_is_no_background_is_refused(person: Any, voice: Any) -> None:
    with pytest.raises(ConfigError, match="background"):
        person.speak((voice, RATE), size=64, background="#12")


def test_a_server_takes_no_image_as_background(server: Running, voice: Any) -> None:
    with (
        RemoteAvatar(server.address, "eileen") as remote,
        pytest.raises(ConfigError, match="takes no image"),
    ):
        remote.speak((voice, RATE), background=np.zeros((4, 4, 3), np.uint8))
