"""Whatever is done to a session, in whatever order, what must hold holds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import skimage.data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatar import Avatar, Frame, Session, Style
from avatar.errors import SessionClosedError
from avatar.session import frame_count
from avatar.types import FloatArray

RATE = 16_000
STYLES = (
    Style(),
    Style(emotion={"joy": 0.8}, intensity=1.4),
    Style(emotion={"sadness": 0.5}, head_motion=0.0, gaze=(0.1, 0.0)),
)


@pytest.fixture(scope="module")
def person() -> Avatar:
    return Avatar.from_image(skimage.data.astronaut()[:300, 80:380])


SOUND = np.random.default_rng(0).uniform(-0.3, 0.3, 60_000).astype(np.float32)


@dataclass(frozen=True)
class Push:
    samples: int


@dataclass(frozen=True)
class Restyle:
    style: int


@dataclass(frozen=True)
class Rest:
    frames: int


@dataclass(frozen=True)
class Read:
    frames: int


FLUSH, INTERRUPT = "flush", "interrupt"
Step = Push | Restyle | Rest | Read | str
PUSH = st.builds(Push, st.integers(0, 6_000))
RESTYLE = st.builds(Restyle, st.integers(0, len(STYLES) - 1))
REST = st.builds(Rest, st.integers(0, 8))
READ = st.builds(Read, st.integers(0, 12))

quick = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(session: Session, frames: int | None = None) -> list[Frame]:
    """Up to so many frames that are known now."""
    found: list[Frame] = []
    while frames is None or len(found) < frames:
        request = session.next_request()
        if request is None:
            break
        assert session.accept(request, None)
        found.append(request.frame)
    return found


def run(
    person: Avatar,
    steps: list[Step],
    *,
    cut: Callable[[int], int] | None = None,
    reads: bool = True,
    idle: bool = False,
    rate: int = RATE,
    fps: float = 25.0,
) -> list[Frame]:
    """Do ``steps``, flush, and give all frames; ``cut`` names the length of the next chunk."""
    frames: list[Frame] = []
    at = 0
    with person.session(pixels=False, idle=idle, sample_rate=rate, fps=fps) as session:
        for step in [*steps, FLUSH]:
            if isinstance(step, Push):
                end = at + step.samples
                while at < end:
                    count = end - at if cut is None else min(cut(at), end - at)
                    session.push_audio(SOUND.take(range(at, at + count), mode="wrap"))
                    at += count
                    if cut is not None and reads:
                        frames += read(session, at % 3)
            elif isinstance(step, Restyle):
                session.set_style(STYLES[step.style])
            elif isinstance(step, Rest):
                session.pause(step.frames / fps)
            elif isinstance(step, Read):
                frames += read(session, step.frames) if reads else []
            elif step == FLUSH:
                session.flush()
            else:
                session.interrupt()
        return frames + read(session)


def assert_same(left: list[Frame], right: list[Frame]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert (a.index, a.pts_seconds, a.utterance_id, a.idle) == (
            b.index, b.pts_seconds, b.utterance_id, b.idle,
        )  # fmt: skip
        for name in ("expression", "visemes", "rotation", "translation"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        np.testing.assert_array_equal(a.landmarks.points, b.landmarks.points)
        np.testing.assert_array_equal(a.audio.samples, b.audio.samples)


def assert_one_clock(frames: list[Frame], rate: int) -> None:
    """Frames are numbered in order, and each begins where the sound of the last one ends."""
    assert [frame.index for frame in frames] == list(range(len(frames)))
    begin = 0
    for frame in frames:
        assert frame.pts_seconds == begin / rate
        assert not (frame.idle and frame.audio.samples.any())
        begin += len(frame.audio.samples)


@quick
@given(
    steps=st.lists(PUSH | RESTYLE | REST | READ | st.just(FLUSH), max_size=10),
    chunk=st.integers(1, 3_000),
    idle=st.booleans(),
    rate=st.sampled_from([8_000, 16_000, 22_050, 48_000]),
    fps=st.sampled_from([12.5, 25.0, 29.97, 60.0]),
)
def test_neither_chunking_nor_reading_changes_a_bit(
    person: Avatar, steps: list[Step], chunk: int, idle: bool, rate: int, fps: float
) -> None:
    at_once = run(person, steps, reads=False, idle=idle, rate=rate, fps=fps)
    sizes = np.random.default_rng(chunk)
    piecemeal = run(
        person, steps, cut=lambda at: int(sizes.integers(1, chunk + 1)) + 40,
        idle=idle, rate=rate, fps=fps,
    )  # fmt: skip
    assert_same(piecemeal, at_once)
    assert_one_clock(at_once, rate)


@quick
@given(
    steps=st.lists(PUSH | RESTYLE | REST | READ | st.just(FLUSH) | st.just(INTERRUPT), max_size=14),
    idle=st.booleans(),
    fps=st.sampled_from([10.0, 25.0, 60.0]),
)
def test_interrupts_leave_one_clock_and_nothing_of_what_they_dropped(
    person: Avatar, steps: list[Step], idle: bool, fps: float
) -> None:
    frames: list[Frame] = []
    with person.session(pixels=False, idle=idle, fps=fps) as session:
        at, dropped_below = 0, 0
        for step in [*steps, FLUSH, Read(10_000)]:
            if isinstance(step, Push):
                session.push_audio(SOUND.take(range(at, at + step.samples), mode="wrap"))
                at += step.samples
            elif isinstance(step, Restyle):
                session.set_style(STYLES[step.style], now=step.style == 1)
            elif isinstance(step, Rest):
                session.pause(step.frames / fps)
            elif isinstance(step, Read):
                came = read(session, step.frames)
                assert all(f.idle or f.utterance_id >= dropped_below for f in came)
                frames += came
            elif step == FLUSH:
                session.flush()
            else:
                session.interrupt()
                dropped_below = session.utterance_id
                assert session.metrics().buffered_seconds == 0
        assert session.metrics().buffered_seconds == 0
    assert_one_clock(frames, RATE)


@quick
@given(
    lengths=st.lists(st.integers(1, 9_000), min_size=1, max_size=12),
    fps=st.sampled_from([7.0, 24.0, 25.0, 29.97, 50.0]),
    rate=st.sampled_from([8_000, 16_000, 44_100]),
)
def test_utterances_one_after_another_do_not_drift(
    person: Avatar, lengths: list[int], fps: float, rate: int
) -> None:
    steps: list[Step] = [step for length in lengths for step in (Push(length), FLUSH)]
    frames = run(person, steps, rate=rate, fps=fps)
    np.testing.assert_array_equal(
        np.concatenate([frame.audio.samples for frame in frames]),
        SOUND.take(range(sum(lengths)), mode="wrap"),
    )
    shortest = min(lengths) / rate * fps
    if shortest > 2:
        assert len(frames) == frame_count(sum(lengths), rate, fps)
        assert max(abs(f.pts_seconds - f.index / fps) for f in frames) < 1.01 / fps


@quick
@given(
    pushes=st.lists(st.integers(1, 1_500), min_size=1, max_size=20),
    fps=st.sampled_from([10.0, 25.0, 50.0]),
    rate=st.sampled_from([16_000, 24_000]),
    idle=st.booleans(),
)
def test_a_frame_is_known_after_the_stated_delay(
    person: Avatar, pushes: list[int], fps: float, rate: int, idle: bool
) -> None:
    came, received = 0, 0
    with person.session(pixels=False, fps=fps, sample_rate=rate, idle=idle) as session:
        delay = session.algorithmic_delay_seconds
        for samples in pushes:
            session.push_audio(SOUND[:samples])
            received += samples
            came += len(read(session))
            due = (received / rate - delay) * fps
            assert came >= np.floor(due - 0.01)


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_sound_after_the_stated_delay_cannot_change_a_frame(person: Avatar, rate: int) -> None:
    end = rate // 2
    other = np.concatenate([SOUND[:end], -0.9 * SOUND[end:rate]])
    with person.session(pixels=False, sample_rate=rate) as session:
        delay = session.algorithmic_delay_seconds
    runs = []
    for samples in (SOUND[:rate], other):
        with person.session(pixels=False, sample_rate=rate) as session:
            session.push_audio(samples)
            session.flush()
            runs.append(list(session))
    fixed = int((end / rate - delay) * 25) + 1
    assert fixed >= 10
    for a, b in zip(runs[0][:fixed], runs[1][:fixed], strict=True):
        np.testing.assert_array_equal(a.landmarks.points, b.landmarks.points)


def test_a_style_holds_for_the_sound_pushed_after_it(person: Avatar) -> None:
    steps: list[Step] = [Push(8_000), Restyle(1), Push(8_000)]
    changed, plain = run(person, steps), run(person, [Push(8_000), Push(8_000)])
    differs = [
        not np.array_equal(a.landmarks.points, b.landmarks.points)
        for a, b in zip(changed, plain, strict=True)
    ]
    first = differs.index(True)
    assert 0.5 - 0.08 - 1 / 25 <= changed[first].pts_seconds <= 0.5 + 1 / 25


def test_a_style_for_now_holds_for_the_next_frame(person: Avatar) -> None:
    with person.session(pixels=False) as session:
        session.push_audio(SOUND)
        before = read(session, 10)
        session.set_style(STYLES[1], now=True)
        after = read(session, 10)
    plain = run(person, [Push(len(SOUND))])
    assert_same(before, plain[:10])
    assert not np.array_equal(after[2].landmarks.points, plain[12].landmarks.points)


def test_pauses_are_alive_and_silent(person: Avatar) -> None:
    frames = run(person, [Push(8_000), Rest(40), Push(8_000)])
    idle = [frame for frame in frames if frame.idle]
    assert len(idle) == 40
    assert idle[-1].blendshapes["jawOpen"] < 0.05
    assert {frame.utterance_id for frame in idle} == {0}
    points = np.stack([frame.landmarks.points for frame in idle])
    assert np.abs(np.diff(points, axis=0)).max() > 0


# ── threads and event loops ──────────────────────────────────────────────────────────────────────


def test_a_reader_in_another_thread_gets_everything_until_close(person: Avatar) -> None:
    frames: list[Frame] = []
    with person.session(pixels=False, pacing="realtime", fps=100) as session:
        reader = threading.Thread(target=lambda: frames.extend(session))
        reader.start()
        for begin in range(0, 3_200, 160):
            session.push_audio(SOUND[begin : begin + 160])
        session.flush()
        while session.metrics().frames < 20:
            threading.Event().wait(0.01)
        session.close()
        reader.join(20)
    assert not reader.is_alive()
    assert_one_clock(frames, RATE)
    np.testing.assert_array_equal(
        np.concatenate([frame.audio.samples for frame in frames]), SOUND[:3_200]
    )


@pytest.mark.parametrize("pacing", ["burst", "realtime"])
@pytest.mark.parametrize("pixels", [False, True])
def test_async_reading_waits_for_sound_and_ends_at_close(
    person: Avatar, pacing: str, pixels: bool
) -> None:
    async def talk() -> list[Frame]:
        frames: list[Frame] = []
        with person.session(pixels=pixels, size=64, pacing=pacing, fps=50) as session:

            async def listen() -> None:
                async for frame in session:
                    frames.append(frame)
                    if len(frames) == 20:
                        session.close()

            reader = asyncio.create_task(listen())
            for sound in (SOUND[:3_200], SOUND[3_200:6_400]):
                await asyncio.sleep(0.01)
                session.push_audio(sound)
                session.flush()
            await asyncio.wait_for(reader, 30)
        return frames

    frames = asyncio.run(talk())
    assert_one_clock(frames, RATE)
    assert [frame.utterance_id for frame in frames] == [0] * 10 + [1] * 10
    assert all((frame.image is not None) == pixels for frame in frames)


def test_async_reading_of_a_closed_session_says_so(person: Avatar) -> None:
    session = person.session(pixels=False)
    session.close()
    with pytest.raises(SessionClosedError):
        aiter(session)


def test_barge_in_while_frames_are_drawn(person: Avatar) -> None:
    """Sound, interrupts and drawing in three threads: the clock stays one, old words stay away."""
    frames: list[tuple[int, Frame]] = []
    floor = [0]
    done = threading.Event()
    with person.session(size=64, idle=True, pacing="realtime", fps=50) as session:

        def look() -> None:
            for frame in session:
                frames.append((floor[0], frame))

        reader = threading.Thread(target=look)
        reader.start()
        for _ in range(8):
            session.push_audio(SOUND[:16_000])
            done.wait(0.08)
            session.interrupt()
            floor[0] = session.utterance_id
            done.wait(0.03)
        session.close()
        reader.join(20)
    assert not reader.is_alive()
    assert_one_clock([frame for _, frame in frames], RATE)
    for n, (oldest, frame) in enumerate(frames):
        # One frame may have been handed over while the interrupt was on its way.
        was = frames[n - 1][0] if n else 0
        assert frame.idle or frame.utterance_id >= min(oldest, was)


def test_sound_is_given_at_the_rate_and_as_float(person: Avatar) -> None:
    samples: FloatArray = SOUND[:1_600]
    frames = run(person, [Push(len(samples))])
    assert {(f.audio.sample_rate, f.audio.samples.dtype.name) for f in frames} == {
        (RATE, "float32")
    }
