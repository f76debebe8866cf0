"""A session: streamed is offline, one clock, nothing lost, nothing left over."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import skimage.data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatar import Audio, Avatar, Frame, Session
from avatar.engine import Engine
from avatar.errors import AudioError, ConfigError, SessionClosedError
from avatar.types import FloatArray

SIZE = 96


@pytest.fixture(scope="module")
def person() -> Avatar:
    return Avatar.from_image(skimage.data.astronaut()[:300, 80:380])


def voice(seconds: float, sample_rate: int = 16_000, seed: int = 0) -> FloatArray:
    """A buzz with syllables: loud and soft four times a second."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch = 120 + 10 * np.sin(2 * np.pi * 0.7 * t + seed)
    buzz = sum(np.sin(2 * np.pi * k * np.cumsum(pitch) / sample_rate) / k for k in range(1, 20))
    return (0.2 * buzz * np.clip(np.sin(2 * np.pi * 4 * t), 0, 1)).astype(np.float32)


def assert_same(left: list[Frame], right: list[Frame]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert (a.index, a.pts_seconds, a.utterance_id) == (b.index, b.pts_seconds, b.utterance_id)
        np.testing.assert_array_equal(a.audio.samples, b.audio.samples)
        np.testing.assert_array_equal(a.landmarks.points, b.landmarks.points)
        np.testing.assert_array_equal(a.expression, b.expression)
        np.testing.assert_array_equal(a.visemes, b.visemes)
        np.testing.assert_array_equal(a.image, b.image)


def joined(frames: list[Frame]) -> FloatArray:
    return np.concatenate([frame.audio.samples for frame in frames])


def say(session: Session, samples: FloatArray) -> list[Frame]:
    session.push_audio(samples)
    session.flush()
    return list(session)


_OFFLINE: dict[int, list[Frame]] = {}


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cuts=st.lists(st.integers(0, 1_000_000), max_size=12),
    rate=st.sampled_from([16_000, 22_050]),
    read_between=st.booleans(),
)
def test_streamed_frames_are_the_offline_frames(
    person: Avatar, cuts: list[int], rate: int, read_between: bool
) -> None:
    samples = voice(0.37, rate)
    if rate not in _OFFLINE:
        _OFFLINE[rate] = list(person.speak((samples, rate), size=SIZE, seed=5))
    edges = sorted({0, len(samples), *(cut % len(samples) for cut in cuts)})
    frames = []
    with person.session(size=SIZE, seed=5, sample_rate=rate) as session:
        for begin, end in itertools.pairwise(edges):
            session.push_audio(samples[begin:end])
            if read_between:
                frames += list(session)
        session.flush()
        frames += list(session)
    assert_same(frames, _OFFLINE[rate])


@pytest.mark.parametrize("fps", [1, 10, 23.976, 25, 60])
@pytest.mark.parametrize("samples", [1, 100, 4_321, 24_000])
def test_the_sound_of_the_frames_joins_to_what_went_in(
    person: Avatar, fps: float, samples: int
) -> None:
    sound = voice(1.5)[:samples]
    frames = []
    with person.session(fps=fps, size=64) as session:
        for begin in range(0, samples, 999):
            session.push_audio(sound[begin : begin + 999])
            frames += list(session)
        session.flush()
        frames += list(session)
    np.testing.assert_array_equal(joined(frames), sound)
    assert len(frames) == max(1, round(samples / 16_000 * fps))
    starts = np.cumsum([0, *(len(frame.audio.samples) for frame in frames)])[:-1]
    assert [frame.pts_seconds for frame in frames] == [s / 16_000 for s in starts]
    assert max(abs(f.pts_seconds - f.index / fps) for f in frames) <= 0.5 / 16_000


def test_frames_come_while_the_sound_comes_and_not_later(person: Avatar) -> None:
    sound = voice(1.0)
    with person.session(size=64) as session:
        session.push_audio(sound[:8_000])
        early = list(session)
        assert list(session) == []
    # Half a second holds 12.5 frames; a lookahead of 80 ms may hold back two or three of them.
    assert len(early) >= 9


def test_utterances_follow_each_other_on_one_clock(person: Avatar) -> None:
    first, second = voice(0.3), voice(0.25, seed=1)
    with person.session(size=64) as session:
        frames = say(session, first) + say(session, second)
    assert [f.index for f in frames] == list(range(len(frames)))
    assert sorted({f.utterance_id for f in frames}) == [0, 1]
    np.testing.assert_array_equal(joined(frames), np.concatenate([first, second]))
    later = next(f for f in frames if f.utterance_id == 1)
    assert later.pts_seconds == len(first) / 16_000


def test_unread_frames_of_an_utterance_wait_for_their_reader(person: Avatar) -> None:
    first, second = voice(0.3), voice(0.25, seed=1)
    with person.session(size=64) as read_at_once:
        expected = say(read_at_once, first) + say(read_at_once, second)
    with person.session(size=64) as read_late:
        read_late.push_audio(first)
        read_late.flush()
        assert_same(say(read_late, second), expected)


def test_flush_without_sound_gives_nothing(person: Avatar) -> None:
    with person.session(size=64) as session:
        session.flush()
        session.push_audio(np.zeros(0, np.float32))
        session.flush()
        assert list(session) == []
        assert say(session, voice(0.1))[0].utterance_id == 0


def test_a_bad_chunk_is_refused_and_the_session_goes_on(person: Avatar) -> None:
    sound = voice(0.3)
    bad = sound[:100].copy()
    bad[7] = np.nan
    with person.session(size=64) as session:
        session.push_audio(sound[:2_000])
        for chunk in (bad, bad[:, None], sound[:10] * 30_000, np.zeros(5, np.int64), b"\0\0"):
            with pytest.raises(AudioError):
                session.push_audio(chunk)
        session.push_audio(sound[2_000:])
        session.flush()
        frames = list(session)
    assert_same(frames, list(person.speak((sound, 16_000), size=64)))


def test_a_chunk_of_an_impossible_rate_is_refused_and_the_session_goes_on(person: Avatar) -> None:
    with person.session(size=64) as session:
        session.push_audio(voice(0.1, 8_000), 8_000)
        for rate in (0, -1, 10, 22_050.0):
            with pytest.raises(AudioError, match="rate"):
                session.push_audio(voice(0.1), rate)  # type: ignore[arg-type]
        session.push_audio(voice(0.1, 8_000), 8_000)
        session.flush()
        assert len(joined(list(session))) == 3_200


def test_int16_is_the_same_sound_as_float(person: Avatar) -> None:
    coarse = np.round(voice(0.2) * 32_768).astype(np.int16)
    with person.session(size=64) as whole, person.session(size=64) as real:
        frames = say(whole, coarse)
        assert_same(frames, say(real, coarse.astype(np.float32) / 32_768))


def test_chunks_of_another_rate_are_resampled_and_the_frames_keep_the_session_rate(
    person: Avatar,
) -> None:
    with person.session(size=64, sample_rate=24_000) as session:
        session.push_audio(Audio(voice(0.2, 48_000), 48_000))
        session.push_audio(voice(0.2, 8_000), 8_000)
        session.push_audio(voice(0.2, 24_000))
        session.flush()
        frames = list(session)
    assert {frame.audio.sample_rate for frame in frames} == {24_000}
    assert len(joined(frames)) == round(0.6 * 24_000)
    assert len(frames) == 15


def test_a_chunk_given_away_may_be_overwritten(person: Avatar) -> None:
    sound = voice(0.2)
    buffer = sound.copy()
    with person.session(size=64) as session:
        session.push_audio(buffer)
        buffer[:] = 0
        session.flush()
        np.testing.assert_array_equal(joined(list(session)), sound)


def test_a_closed_session_says_so(person: Avatar) -> None:
    session = person.session(size=64)
    session.push_audio(voice(0.3))
    session.close()
    session.close()
    for use in (session.flush, lambda: session.push_audio(voice(0.1)), lambda: iter(session)):
        with pytest.raises(SessionClosedError, match="closed"):
            use()


def test_closing_while_reading_ends_the_reading(person: Avatar) -> None:
    session = person.session(size=64)
    session.push_audio(voice(0.5))
    session.flush()
    for count, _ in enumerate(session, start=1):
        if count == 2:
            session.close()
    assert count == 2


def test_a_loop_that_was_left_is_taken_up_by_the_next(person: Avatar) -> None:
    with person.session(size=SIZE) as session:
        whole = say(session, voice(0.4))
    with person.session(size=SIZE) as session:
        session.push_audio(voice(0.4))
        session.flush()
        parts = [next(iter(session)), next(iter(session)), *itertools.islice(session, 3), *session]
    assert_same(parts, whole)


def test_every_frame_goes_to_one_of_several_readers(person: Avatar) -> None:
    with person.session(size=SIZE) as session:
        session.push_audio(voice(1.0))
        session.flush()
        with ThreadPoolExecutor(3) as readers:
            read = list(readers.map(lambda _: [f.index for f in session], range(3)))
    assert all(part == sorted(part) for part in read)
    assert sorted(itertools.chain(*read)) == list(range(25))


@pytest.mark.parametrize("pixels", [True, False])
def test_a_cancelled_read_loses_nothing(person: Avatar, pixels: bool) -> None:
    async def read() -> list[Frame]:
        with person.session(size=SIZE if pixels else None, pixels=pixels) as session:
            session.push_audio(voice(0.6))
            session.flush()
            stream, frames = aiter(session), []
            while len(frames) < 15:
                with contextlib.suppress(TimeoutError):
                    frames.append(await asyncio.wait_for(anext(stream), 0.002))
            return frames

    frames = asyncio.run(read())
    assert [frame.index for frame in frames] == list(range(15))
    np.testing.assert_allclose(joined(frames), voice(0.6), atol=1e-6)


def test_the_same_seed_gives_the_same_pixels_and_another_does_not(person: Avatar) -> None:
    sound = (voice(2.0), 16_000)
    one, same = (list(person.speak(sound, fps=5, size=64, seed=3)) for _ in range(2))
    other = list(person.speak(sound, fps=5, size=64, seed=4))
    assert_same(one, same)
    assert any(
        not np.array_equal(a.landmarks.points, b.landmarks.points)
        for a, b in zip(one, other, strict=True)
    )


def test_an_engine_steps_several_sessions_and_none_sees_the_other(person: Avatar) -> None:
    sounds = [voice(0.2), voice(0.3, seed=1)]
    alone = [list(person.speak((sound, 16_000), size=64)) for sound in sounds]
    sessions = [person.session(size=64) for _ in sounds]
    for session, sound in zip(sessions, sounds, strict=True):
        session.push_audio(sound)
        session.flush()
    closed = person.session(size=64)
    closed.push_audio(voice(0.5))
    closed.close()
    together: list[list[Frame]] = [[], []]
    while any(frames := person.engine.step([*sessions, closed])):
        for taken, frame in zip(together, frames[:2], strict=True):
            taken += [] if frame is None else [frame]
    for left, right in zip(together, alone, strict=True):
        assert_same(left, right)


def test_impossible_settings_are_named(person: Avatar) -> None:
    for wrong in ({"fps": 0}, {"fps": 500}, {"size": 3}, {"sample_rate": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            person.session(**wrong)  # type: ignore[arg-type]


def test_the_engine_of_a_process_is_one() -> None:
    assert Engine.default() is Engine.default()
