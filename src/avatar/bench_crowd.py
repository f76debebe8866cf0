"""Many sessions at once, on the real clock or as fast as they can be drawn, and what they say."""

from __future__ import annotations

import gc
import heapq
import itertools
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatar.avatar import Avatar
from avatar.config import SAMPLE_RATE
from avatar.engine import Drawing
from avatar.session import Session
from avatar.types import FloatArray

FPS = 25.0
_LIVE_SECONDS = 4.0
_MOST_SESSIONS = 1_000


def voice(seconds: float) -> FloatArray:
    """A buzz through the resonances of changing vowels, ``[N]`` at 16 kHz: it moves the mouth."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(120 + 15 * np.sin(2 * np.pi * 0.7 * t)) / SAMPLE_RATE
    open_share = 0.5 + 0.5 * np.sin(2 * np.pi * 2.5 * t)
    sound = np.zeros(len(t))
    for k in range(1, 30):
        pitch = 120.0 * k
        for formant, width in ((350 + 450 * open_share, 90.0), (1900 - 800 * open_share, 140.0)):
            sound += np.sin(k * phase) / (1 + ((pitch - formant) / width) ** 2)
    sound *= 0.05 + np.clip(np.sin(2 * np.pi * 2.1 * t), 0, 1)
    sound *= 0.3 / np.abs(sound).max()
    return sound.astype(np.float32)


def live_sessions(person: Avatar, *, guess: float, pixels: bool, size: int = 512) -> int:
    """How many sessions can speak at once on the real clock, none with a late or lesser frame."""
    count = min(max(1, round(1.15 * guess)), _MOST_SESSIONS)
    for _ in range(6):
        if holds(person, count, pixels=pixels, size=size, seconds=_LIVE_SECONDS):
            return count
        if count == 1:
            return 0
        count = max(1, min(count - 1, round(0.85 * count)))
    return 0


def holds(person: Avatar, count: int, *, pixels: bool, size: int, seconds: float) -> bool:
    """Whether ``count`` sessions speak for so long without one late or lesser frame."""
    frames = run_live(person, count, pixels=pixels, size=size, seconds=seconds)
    return all(session.late_frames == 0 and session.least_quality == 1.0 for session in frames)


@dataclass(eq=False)
class LiveResult:
    """What became of one session."""

    frames: int = 0
    late_frames: int = 0
    least_quality: float = 1.0


def run_live(
    person: Avatar, count: int, *, pixels: bool, size: int | None, seconds: float
) -> list[LiveResult]:
    """Let sessions speak in real time, those that are due stepped together; they begin a little
    apart.
    """
    sound = voice(5.0)
    sessions = [
        person.session(size=size, pixels=pixels, idle=True, pacing="realtime", seed=k)
        for k in range(count)
    ]
    results = [LiveResult() for _ in sessions]
    gc.collect()
    gc.freeze()  # looking at all that is loaded for garbage would hold up every session
    timetable = [(time.monotonic() + k / count / FPS, k) for k in range(count)]  # a heap
    spoken = [0] * count
    drawn: dict[int, Drawing] = {}
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        due = []
        while timetable and timetable[0][0] <= now:
            due.append(k := heapq.heappop(timetable)[1])
            if results[k].frames >= spoken[k] - 2 * round(FPS):
                sessions[k].push_audio(sound)
                spoken[k] += round(5 * FPS)
        begun = person.engine.begin([sessions[k] for k in due])
        drawn |= {k: drawing for k, drawing in zip(due, begun, strict=True) if drawing is not None}
        done = [k for k, drawing in drawn.items() if drawing.done()]
        for k in done:
            frame = drawn.pop(k).frame()
            if frame is not None:
                results[k].frames += 1
                results[k].least_quality = min(results[k].least_quality, frame.quality)
        for k in {*due, *done} - drawn.keys():
            heapq.heappush(timetable, (sessions[k].next_due_seconds() or 0.0, k))
        if not due and not done:
            time.sleep(0.0005)
    gc.unfreeze()
    for session, result in zip(sessions, results, strict=True):
        result.late_frames = session.metrics().late_frames
        session.close()
    return results


def memory_per_session(person: Avatar, *, pixels: bool, count: int) -> float:
    """Megabytes that one more live session of the same person needs."""

    def open_one(seed: int) -> Session:
        session = person.session(size=512, pixels=pixels, idle=True, pacing="realtime", seed=seed)
        session.push_audio(voice(0.2))
        person.engine.step([session])
        return session

    first = open_one(0)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        sessions = [first, *(open_one(k + 1) for k in range(count))]
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    for session in sessions:
        session.close()
    return round(held / count / (1 << 20), 3)


def crowd_frame_seconds(person: Avatar, crowd: int) -> float:
    """What a frame without pixels costs where so many sessions are stepped together."""
    frames = 25
    sound = voice(frames / FPS + 1.0)
    sessions = [person.session(pixels=False, seed=k) for k in range(crowd)]
    for session in sessions:
        session.push_audio(sound)
    begun = time.perf_counter()
    for _ in range(frames):
        person.engine.step(sessions)
    return (time.perf_counter() - begun) / frames / crowd


def batched_fps(
    people: Sequence[Avatar], count: int, *, seconds: float, size: int | None = 512
) -> float:
    """Frames a second, from sound to picture, of ``count`` sessions of these people in turn that
    are stepped together as fast as they can be. The next frames are begun before the last are
    there.
    """
    engine = people[0].engine
    chunk = SAMPLE_RATE // round(FPS)
    chunks = itertools.cycle(voice(8.0).reshape(-1, chunk))
    sessions = [people[k % len(people)].session(size=size, seed=k) for k in range(count)]
    waiting: list[Drawing] = []
    frames = 0
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        sound = next(chunks)
        for session in sessions:
            session.push_audio(sound)
        drawings = [drawing for drawing in engine.begin(sessions) if drawing is not None]
        frames += sum(drawing.frame() is not None for drawing in waiting)
        waiting = drawings
    frames += sum(drawing.frame() is not None for drawing in waiting)
    taken = time.perf_counter() - begun
    for session in sessions:
        session.close()
    return frames / taken
