"""A session on the clock: every frame at its time, idle where nothing is said, never out of step.

The clock is a number that the tests move, so hours pass in seconds and nothing sleeps.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import skimage.data

from avatar import Avatar, Frame, Session, Style
from avatar.config import SessionConfig
from avatar.engine import Engine
from avatar.errors import ConfigError
from avatar.generator import Generator, Portrait
from avatar.session import Likeness
from avatar.types import FloatArray, ImageArray

RATE = 16_000
FPS = 25.0
SLOT = round(RATE / FPS)


@pytest.fixture(scope="module")
def person() -> Avatar:
    return Avatar.from_image(skimage.data.astronaut()[:300, 80:380])


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Live:
    """A realtime session without pixels, its clock, and what it has shown."""

    def __init__(self, person: Avatar, *, engine: Engine | None = None, **settings: Any) -> None:
        settings = {"idle": True, "pacing": "realtime", "pixels": False, **settings}
        self.engine = person.engine if engine is None else engine
        face = person.identity.photos[0].face
        likeness = Likeness.of(person.engine.rig, face)
        if settings["pixels"]:
            small = person.session(size=96)._likeness.portrait
            assert small is not None
            likeness = Likeness(likeness.retargeter, small)
        self.clock = Hand()
        self.begin = self.clock.now
        self.session = Session(
            self.engine, likeness, config=SessionConfig(**settings), clock=self.clock
        )
        self.frames: list[Frame] = []
        self.shown: list[float] = []

    def play(self, seconds: float) -> list[Frame]:
        """Let so much time pass; the frames that came."""
        end = self.clock.now + seconds
        before = len(self.frames)
        while (due := self.session.next_due_seconds()) is not None and due <= end:
            self.clock.now = max(self.clock.now, due)
            frame = self.engine.step([self.session])[0]
            assert frame is not None
            self.shown.append(self.clock.now - self.begin)
            self.frames.append(frame)
        self.clock.now = max(self.clock.now, end)
        return self.frames[before:]

    def speak(self, samples: FloatArray, chunk: int = 160) -> None:
        """Push sound at the speed it is spoken."""
        for begin in range(0, len(samples), chunk):
            self.session.push_audio(samples[begin : begin + chunk])
            self.play(chunk / RATE)


def voice(seconds: float, seed: int = 0) -> FloatArray:
    """A buzz with syllables, nowhere silent for a whole frame."""
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = 120 + 10 * np.sin(2 * np.pi * 0.7 * t + seed)
    buzz = sum(np.sin(2 * np.pi * k * np.cumsum(pitch) / RATE) / k for k in range(1, 20))
    return (0.2 * buzz * (0.2 + np.clip(np.sin(2 * np.pi * 4 * t), 0, 1))).astype(np.float32)


def joined(frames: list[Frame]) -> FloatArray:
    return np.concatenate([np.zeros(0, np.float32), *(frame.audio.samples for frame in frames)])


def spoken(frames: list[Frame]) -> FloatArray:
    return joined([frame for frame in frames if not frame.idle])


def assert_on_the_grid(live: Live) -> None:
    """Each frame has its place in time, its length, and leaves then and not later."""
    for n, frame in enumerate(live.frames):
        assert frame.index == n
        assert frame.pts_seconds == pytest.approx(n / FPS)
        assert len(frame.audio.samples) == SLOT
    np.testing.assert_allclose(live.shown, [f.pts_seconds for f in live.frames], atol=1e-9)


# ── idle ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_face_with_nothing_to_say_lives(person: Avatar) -> None:
    live = Live(person)
    frames = live.play(20.0)
    assert len(frames) == 20 * FPS + 1
    assert_on_the_grid(live)
    assert all(frame.idle and not frame.audio.samples.any() for frame in frames)
    assert max(frame.blendshapes["jawOpen"] for frame in frames) < 0.05
    assert max(frame.blendshapes["eyeBlinkLeft"] for frame in frames) > 0.7
    turns = np.stack([frame.rotation for frame in frames])
    assert np.ptp(turns[:, 1:], axis=0).max() > 0.002
    assert np.ptp(np.stack([frame.landmarks.points for frame in frames]), axis=0).max() > 1


def test_time_runs_from_the_first_look_not_from_before(person: Avatar) -> None:
    live = Live(person)
    live.clock.now += 60
    live.begin = live.clock.now
    live.play(0.2)
    assert_on_the_grid(live)


def test_speech_begins_with_the_next_frame_and_loses_no_sample(person: Avatar) -> None:
    live = Live(person)
    live.play(0.513)
    sound = voice(0.73)
    live.session.push_audio(sound)
    live.session.flush()
    live.play(1.5)
    assert_on_the_grid(live)
    first = next(n for n, frame in enumerate(live.frames) if not frame.idle)
    assert first == 13
    heard = spoken(live.frames)
    np.testing.assert_array_equal(heard[: len(sound)], sound)
    assert not heard[len(sound) :].any()
    assert len(heard) - len(sound) < SLOT


def test_speech_at_the_speed_of_speech_is_shown_within_the_stated_delay(person: Avatar) -> None:
    live = Live(person)
    live.play(0.31)
    begun = live.clock.now - live.begin
    live.speak(voice(1.0))
    first = next(n for n, frame in enumerate(live.frames) if not frame.idle)
    delay = live.session.algorithmic_delay_seconds
    assert delay <= 0.08
    assert begun + delay <= live.shown[first] <= begun + delay + 1 / FPS + 0.011
    assert_on_the_grid(live)
    assert not any(frame.idle for frame in live.frames[first:])


def test_the_face_speaks_in_a_live_session_as_in_a_clip(person: Avatar) -> None:
    sound = voice(0.6)
    live = Live(person, seed=4)
    live.session.push_audio(sound)
    live.session.flush()
    live.play(1.0)
    with person.session(pixels=False, seed=4) as session:
        session.push_audio(sound)
        session.flush()
        offline = list(session)
    for a, b in zip(live.frames, offline, strict=False):
        np.testing.assert_array_equal(a.landmarks.points, b.landmarks.points)
        np.testing.assert_array_equal(a.audio.samples, b.audio.samples)


def test_joins_between_silence_and_speech_are_smooth(person: Avatar) -> None:
    live = Live(person)
    live.play(1.0)
    live.session.push_audio(voice(1.0))
    live.session.flush()
    live.play(2.5)
    points = np.stack([frame.landmarks.points for frame in live.frames])
    speed = np.abs(np.diff(points, axis=0)).max((1, 2))
    turns = [
        n for n in range(1, len(live.frames)) if live.frames[n].idle != live.frames[n - 1].idle
    ]
    assert len(turns) == 2
    speaking = speed[turns[0] : turns[1] - 1].max()
    assert all(speed[n - 1] <= 1.5 * speaking for n in turns)


def test_utterances_follow_each_other_and_the_clock_never_slips(person: Avatar) -> None:
    rng = np.random.default_rng(0)
    live = Live(person)
    said = []
    for k in range(30):
        live.play(float(rng.uniform(0, 0.3)))
        said.append(voice(float(rng.uniform(0.02, 0.5)), seed=k))
        live.session.push_audio(said[-1])
        live.session.flush()
    live.play(20)
    assert_on_the_grid(live)
    for k, sound in enumerate(said):
        heard = joined([f for f in live.frames if f.utterance_id == k and not f.idle])
        np.testing.assert_array_equal(heard[: len(sound)], sound)
        assert not heard[len(sound) :].any()


# ── sound that comes too late ────────────────────────────────────────────────────────────────────


def test_late_sound_is_waited_for_and_none_is_lost(person: Avatar) -> None:
    sound = voice(1.2)
    live = Live(person)
    live.speak(sound[:8_000])
    live.play(0.1)
    live.speak(sound[8_000:])
    live.session.flush()
    live.play(1.0)
    assert_on_the_grid(live)
    assert live.session.metrics().underruns == 1
    np.testing.assert_array_equal(spoken(live.frames)[: len(sound)], sound)
    assert {f.utterance_id for f in live.frames} == {0}


def test_a_face_that_waits_holds_still_first_and_then_listens(person: Avatar) -> None:
    live = Live(person)
    live.session.push_audio(voice(0.5))
    live.play(3.0)
    assert_on_the_grid(live)
    idle = [n for n, frame in enumerate(live.frames) if frame.idle]
    points = np.stack([frame.landmarks.points for frame in live.frames])
    held = [n for n in idle if np.array_equal(points[n], points[n - 1])]
    assert len(held) == 0.2 * FPS
    assert held[0] == idle[0]
    np.testing.assert_array_equal(spoken(live.frames)[:8_000], voice(0.5))
    assert live.frames[-1].blendshapes["jawOpen"] < 0.05


def test_an_utterance_goes_on_after_a_long_gap(person: Avatar) -> None:
    sound = voice(1.0)
    live = Live(person)
    live.session.push_audio(sound[:6_000])
    live.play(2.0)
    live.session.push_audio(sound[6_000:])
    live.session.flush()
    live.play(2.0)
    assert_on_the_grid(live)
    heard = spoken(live.frames)
    np.testing.assert_array_equal(heard[:6_000], sound[:6_000])
    again = -(-6_000 // SLOT) * SLOT
    np.testing.assert_array_equal(heard[again : again + 10_000], sound[6_000:])
    assert {f.utterance_id for f in live.frames} == {0}
    assert live.session.utterance_id == 1


def test_a_reader_that_comes_late_gets_everything_in_order(person: Avatar) -> None:
    live = Live(person)
    live.session.push_audio(voice(0.4))
    live.session.flush()
    live.play(0.1)
    live.clock.now += 0.5
    live.play(0.0)
    for n, frame in enumerate(live.frames):
        assert frame.pts_seconds == pytest.approx(n / FPS)
    assert len(live.frames) == 16
    assert live.session.metrics().late_frames > 0


# ── interrupt ────────────────────────────────────────────────────────────────────────────────────


def test_after_an_interrupt_the_next_frame_is_already_silent(person: Avatar) -> None:
    live = Live(person)
    live.session.push_audio(voice(5.0))
    live.session.flush()
    live.session.push_audio(voice(5.0))
    live.play(1.0)
    shown = len(live.frames)
    live.session.interrupt()
    live.play(2.0)
    assert_on_the_grid(live)
    after = live.frames[shown:]
    assert all(frame.idle and not frame.audio.samples.any() for frame in after)
    assert live.session.utterance_id == 2
    assert live.session.metrics().buffered_seconds == 0
    live.session.push_audio(voice(0.2))
    live.session.flush()
    assert {f.utterance_id for f in live.play(0.5) if not f.idle} == {2}


def test_after_an_interrupt_the_face_eases_from_where_it_was(person: Avatar) -> None:
    def farthest_step(frames: list[Frame]) -> float:
        points = np.stack([frame.landmarks.points for frame in frames])
        return float(np.abs(np.diff(points, axis=0)).max())

    live = Live(person)
    live.session.push_audio(voice(8.0))
    live.session.flush()
    speaking = live.play(1.0)
    live.session.interrupt()
    easing = live.play(0.6)
    assert farthest_step([speaking[-1], *easing]) <= 1.5 * farthest_step(speaking)
    assert easing[-1].blendshapes["jawOpen"] < 0.05


def test_an_interrupt_drops_the_frame_that_is_being_drawn(person: Avatar) -> None:
    live = Live(person)
    live.session.push_audio(voice(2.0))
    live.play(0.5)
    live.clock.now += 1 / FPS
    request = live.session.next_request()
    assert request is not None
    live.session.interrupt()
    assert not live.session.accept(request, None)
    live.play(0.5)
    # The frame that takes its place is late by as much as the drawing took, and no other.
    assert [f.index for f in live.frames] == list(range(len(live.frames)))
    assert [f.pts_seconds for f in live.frames] == pytest.approx(
        [n / FPS for n in range(len(live.frames))]
    )


def test_an_interrupt_with_nothing_to_say_changes_nothing(person: Avatar) -> None:
    disturbed, calm = Live(person), Live(person)
    for _ in range(5):
        disturbed.play(0.3)
        disturbed.session.interrupt()
        calm.play(0.3)
    assert disturbed.session.utterance_id == 0
    for a, b in zip(disturbed.frames, calm.frames, strict=True):
        np.testing.assert_array_equal(a.landmarks.points, b.landmarks.points)


# ── without idle frames, and ahead of time ───────────────────────────────────────────────────────


def test_without_idle_frames_there_is_nothing_until_there_is_speech(person: Avatar) -> None:
    live = Live(person, idle=False)
    assert live.session.next_due_seconds() is None
    live.play(1.0)
    assert live.frames == []
    sound = voice(0.5)
    live.session.push_audio(sound)
    live.session.flush()
    live.play(3.0)
    np.testing.assert_array_equal(joined(live.frames), sound)
    np.testing.assert_allclose(np.diff(live.shown), 1 / FPS, atol=1e-9)
    assert live.shown[0] == pytest.approx(1.0)


def test_without_idle_frames_late_sound_moves_the_clock_and_nothing_else(person: Avatar) -> None:
    sound = voice(1.0)
    live = Live(person, idle=False)
    live.speak(sound[:8_000])
    live.play(0.7)
    live.speak(sound[8_000:])
    live.session.flush()
    live.play(1.0)
    np.testing.assert_array_equal(joined(live.frames), sound)
    steps = np.diff(live.shown)
    assert (steps > 1 / FPS - 1e-9).all()
    assert (steps > 0.5).sum() == 1


@pytest.mark.parametrize("idle", [False, True])
def test_speech_may_run_ahead_of_its_time_but_no_further_than_allowed(
    person: Avatar, idle: bool
) -> None:
    live = Live(person, idle=idle, ahead_seconds=0.4)
    live.session.push_audio(voice(2.0))
    live.session.flush()
    live.play(3.0)
    early = [f.pts_seconds - shown for f, shown in zip(live.frames, live.shown, strict=True)]
    assert max(early) == pytest.approx(0.4, abs=1e-6)
    assert all(e <= 1e-6 for e, f in zip(early, live.frames, strict=True) if f.idle)
    assert min(early) > -1e-6


# ── when time is too short to draw ───────────────────────────────────────────────────────────────


class SlowGenerator(Generator):
    """Draws nothing, but takes its time for it."""

    def __init__(self, clock: Hand) -> None:
        self.clock = clock
        self.seconds = 0.0
        self.drawn: list[tuple[int, ...]] = []

    def render(self, portrait: Portrait, landmarks: FloatArray) -> ImageArray:
        self.clock.now += self.seconds * portrait.photo[..., 0].size / 96**2
        self.drawn.append(portrait.photo.shape)
        return np.full(portrait.photo.shape, len(self.drawn) % 256, np.uint8)


class SlowEngine(Engine):
    """An engine with a generator of its own."""

    slow: SlowGenerator

    @property
    def generator(self) -> Generator:
        return self.slow


@pytest.fixture
def slow(person: Avatar) -> Live:
    """A session with pixels whose pictures take as long as a test says."""
    engine = SlowEngine()
    live = Live(person, engine=engine, pixels=True)
    engine.slow = SlowGenerator(live.clock)
    return live


def draw_seconds(live: Live, seconds: float) -> None:
    assert isinstance(live.engine, SlowEngine)
    live.engine.slow.seconds = seconds


def test_in_time_everything_is_drawn_in_full(slow: Live) -> None:
    draw_seconds(slow, 0.03)
    frames = slow.play(3.0)
    assert {frame.quality for frame in frames} == {1.0}
    metrics = slow.session.metrics()
    assert (metrics.repeated_pictures, metrics.late_frames) == (0, 0)


@pytest.mark.parametrize("seconds", [0.05, 0.11, 0.3])
def test_too_little_time_lowers_the_quality_and_never_the_pace(slow: Live, seconds: float) -> None:
    draw_seconds(slow, seconds)
    frames = slow.play(20.0)
    assert len(frames) == pytest.approx(20 * FPS, abs=2 + seconds * FPS)
    assert [f.pts_seconds for f in frames] == pytest.approx([n / FPS for n in range(len(frames))])
    late = [shown - f.pts_seconds for f, shown in zip(frames, slow.shown, strict=True)]
    assert max(late) <= seconds + 2 / FPS
    assert min(frame.quality for frame in frames) < 1
    assert slow.session.metrics().quality < 1
    assert slow.session.metrics().repeated_pictures > 0


def test_quality_comes_back_with_time(slow: Live) -> None:
    draw_seconds(slow, 0.1)
    slow.play(6.0)
    draw_seconds(slow, 0.005)
    assert slow.play(60.0)[-1].quality == 1.0


def test_tries_for_more_quality_become_rare_where_they_fail(slow: Live) -> None:
    draw_seconds(slow, 0.06)
    slow.play(120.0)
    qualities = [frame.quality for frame in slow.play(120.0)]
    assert sum(quality == 1.0 for quality in qualities) < 0.1 * len(qualities)


def test_a_smaller_picture_comes_in_the_size_asked_for(person: Avatar) -> None:
    live = Live(person, engine=SlowEngine())
    likeness = person.session(size=400)._likeness
    engine = SlowEngine()
    engine.slow = SlowGenerator(live.clock)
    engine.slow.seconds = 0.003
    config = SessionConfig(idle=True, pacing="realtime")
    live.engine, live.session = engine, Session(engine, likeness, config=config, clock=live.clock)
    frames = live.play(5.0)
    assert {frame.image.shape for frame in frames if frame.image is not None} == {(400, 400, 3)}
    assert (200, 200, 3) in engine.slow.drawn
    assert 0.75 in {frame.quality for frame in frames}


def test_a_face_that_holds_still_is_not_drawn_again(slow: Live) -> None:
    slow.session.push_audio(voice(0.4))
    slow.play(0.5)
    assert isinstance(slow.engine, SlowEngine)
    held = [frame for frame in slow.frames if frame.idle]
    assert len(slow.engine.slow.drawn) == len(slow.frames) - len(held)
    assert slow.session.metrics().repeated_pictures == len(held)
    pictures = [frame.image for frame in held]
    assert pictures[0] is not None
    pictures[0][:] = 0  # a reader may draw on its own frame
    assert pictures[1] is not None
    assert pictures[1].any()


# ── without pixels, bounds ───────────────────────────────────────────────────────────────────────


def test_without_pixels_nothing_of_the_generator_is_touched(person: Avatar) -> None:
    class NoGenerator(Engine):
        @property
        def generator(self) -> Generator:
            raise AssertionError("loaded")

    alone = Avatar(person.identity, engine=NoGenerator())
    with alone.session(pixels=False, size=64) as session, person.session(size=64) as drawn:
        for each in (session, drawn):
            each.push_audio(voice(0.2))
            each.flush()
        for bare, full in zip(session, drawn, strict=True):
            assert bare.image is None
            np.testing.assert_array_equal(bare.landmarks.points, full.landmarks.points)


def test_memory_does_not_grow_with_time(person: Avatar) -> None:
    def size_of(thing: object, seen: set[int]) -> int:
        """Bytes in arrays and items in containers below ``thing``, but for the shared models."""
        if id(thing) in seen or isinstance(thing, Engine | Likeness | type):
            return 0
        seen.add(id(thing))
        if isinstance(thing, np.ndarray):
            return thing.nbytes
        children = list(vars(thing).values()) if hasattr(thing, "__dict__") else []
        if isinstance(thing, dict):
            children += list(thing.values())
        elif hasattr(thing, "__iter__") and not isinstance(thing, str | Session):
            children += list(thing)
        return len(children) + sum(size_of(child, seen) for child in children)

    live = Live(person)
    sizes = []
    for k in range(60):
        live.session.push_audio(voice(0.3, seed=k))
        live.session.flush()
        live.play(1.0)
        live.frames.clear()
        sizes.append(size_of(live.session, set()))
    assert max(sizes[10:]) <= max(sizes[:10]) + 1_000


SETTINGS: list[Callable[[Avatar], object]] = [
    lambda person: person.session(pacing="fast"),
    lambda person: person.session(ahead_seconds=-1),
    lambda person: person.session(style="happy"),  # type: ignore[arg-type]
    lambda person: person.session().set_style({"joy": 1}),  # type: ignore[arg-type]
    lambda person: person.session().pause(-1),
]


@pytest.mark.parametrize("wrong", SETTINGS)
def test_impossible_settings_are_refused(person: Avatar, wrong: Callable[[Avatar], object]) -> None:
    with pytest.raises(ConfigError):
        wrong(person)


def test_a_style_may_be_set_at_any_time(person: Avatar) -> None:
    live = Live(person)
    live.play(1.0)
    live.session.set_style(Style(gaze=(0.2, 0.0)))
    before = live.frames[-1]
    after = live.play(1.0)[-1]
    assert np.abs(after.landmarks.points[468:] - before.landmarks.points[468:]).max() > 1


# ── many at once ─────────────────────────────────────────────────────────────────────────────────


def lively(live: Live, turn: int, rng: np.random.Generator) -> None:
    """Something that happens in a session between two frames, or nothing."""
    act = int(rng.integers(8))
    if act < 4:
        live.session.push_audio(voice(float(rng.uniform(0.01, 0.4)), seed=turn))
    elif act == 4:
        live.session.interrupt()
    elif act == 5:
        live.session.flush()
    elif act == 6:
        live.session.set_style(Style(emotion={"joy": float(rng.random())}), now=turn % 2 == 0)


@pytest.mark.parametrize(
    "settings",
    [{}, {"ahead_seconds": 0.2}, {"idle": False}, {"idle": False, "pacing": "burst"}],
)
def test_sessions_that_hear_together_show_what_each_shows_alone(
    person: Avatar, settings: dict[str, Any]
) -> None:
    count = 7
    crowd, alone = (
        [Live(person, seed=k, sample_rate=RATE, **settings) for k in range(count)] for _ in "ab"
    )
    shown: list[list[Frame]] = [[] for _ in range(count)]
    for turn in range(60):
        for k in range(count):
            for lives in (crowd, alone):
                lively(lives[k], turn, np.random.default_rng((turn, k)))
                lives[k].clock.now += (0.04, 0.03, 0.05)[(turn + k) % 3]
        for frames, frame in zip(
            shown, person.engine.step([live.session for live in crowd]), strict=True
        ):
            frames += [] if frame is None else [frame]
        for live in alone:
            frame = person.engine.step([live.session])[0]
            live.frames += [] if frame is None else [frame]
    for frames, live in zip(shown, alone, strict=True):
        assert len(frames) == len(live.frames) >= 20
        for a, b in zip(frames, live.frames, strict=True):
            assert (a.index, a.pts_seconds, a.idle) == (b.index, b.pts_seconds, b.idle)
            np.testing.assert_array_equal(a.audio.samples, b.audio.samples)
            np.testing.assert_array_equal(a.expression, b.expression)
            np.testing.assert_array_equal(a.rotation, b.rotation)
            np.testing.assert_array_equal(a.landmarks.points, b.landmarks.points)


def test_frames_asked_for_late_are_those_asked_for_in_time(
    person: Avatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what several of them need is heard in one go."""
    heard = []
    hear = person.engine.audio_to_face.hear
    monkeypatch.setattr(
        person.engine.audio_to_face, "hear", lambda ears: (heard.append(len(ears)), hear(ears))
    )
    shown = {}
    for every in (1, 5):
        live = Live(person, seed=3)
        heard.clear()
        live.play(0.0)
        live.session.push_audio(voice(1.5))
        live.session.flush()
        for visit in range(1, 1 + 60 // every):
            live.clock.now = live.begin + visit * every / FPS + 1e-6
            for _ in range(every):
                live.frames += [f for f in person.engine.step([live.session]) if f is not None]
        shown[every] = live.frames, len(heard)
    (in_time, calls), (late, fewer_calls) = shown[1], shown[5]
    assert fewer_calls <= calls / 3
    assert len(late) == len(in_time) == 61
    for a, b in zip(in_time, late, strict=True):
        assert (a.index, a.pts_seconds, a.idle) == (b.index, b.pts_seconds, b.idle)
        np.testing.assert_array_equal(a.audio.samples, b.audio.samples)
        np.testing.assert_array_equal(a.expression, b.expression)
        np.testing.assert_array_equal(a.rotation, b.rotation)


def test_a_session_named_twice_hears_once(person: Avatar) -> None:
    frames = []
    for times in (1, 2):
        with person.session(pixels=False) as session:
            session.push_audio(voice(1.0))
            session.flush()
            shown = []
            while any(stepped := person.engine.step([session] * times)):
                shown += [frame for frame in stepped if frame is not None]
        frames.append(np.stack([frame.expression for frame in shown]))
    np.testing.assert_array_equal(*frames)


def test_a_session_in_use_is_not_waited_for(person: Avatar) -> None:
    with person.session(pixels=False) as session:
        session.push_audio(voice(1.0))
        with ThreadPoolExecutor(1) as other:
            ear = other.submit(session.begin_to_hear).result()
            assert ear is not None
            assert session.begin_to_hear() is None
            person.engine.hear([session])
            assert ear.waiting
            other.submit(session.end_hearing).result()
        person.engine.hear([session])
        assert not ear.waiting
        assert len(list(session)) >= 20


def test_landmarks_are_worked_out_of_the_frame_as_it_was_made(person: Avatar) -> None:
    frames = []
    for spoil in (False, True):
        with person.session(pixels=False) as session:
            session.push_audio(voice(1.0))
            frame = list(session)[10]
        if spoil:
            frame.expression[:] = 1.0
            frame.rotation[:] = 0.0
        frames.append(frame)
    np.testing.assert_array_equal(frames[0].landmarks.points, frames[1].landmarks.points)
    copied = pickle.loads(pickle.dumps(frames[0].landmarks))
    np.testing.assert_array_equal(copied.points, frames[0].landmarks.points)
    assert len(pickle.dumps(frames[0].landmarks)) < 10_000
