"""How fast this machine is: latency, frame times by stage, and how many sessions it holds.

Every figure is measured the way it is used: the first frame from sound that comes at the speed of
speech, frames a second from sound to a closed video file, sessions by letting all of them speak at
once on the real clock. Each part has its share of seconds, so the whole takes under a minute on a
slow machine too.
"""

from __future__ import annotations

import gc
import heapq
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import avatar
from avatar.avatar import Avatar
from avatar.config import SAMPLE_RATE
from avatar.engine import Drawing, FrameRequest
from avatar.errors import DependencyError
from avatar.media import ImageSource, VideoWriter
from avatar.ops import native_status
from avatar.session import Session
from avatar.types import Audio, FloatArray, ImageArray

FPS = 25.0
STAGES = ("motion", "draw", "encode", "frame")
_CHUNK = SAMPLE_RATE // 100
_CLIP_SECONDS, _LIVE_SECONDS = 5.0, 4.0
_MOST_SESSIONS = 1_000


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds that 50, 95 and 99 of a hundred frames need at most."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Percentiles:
        return cls(*(round(float(np.percentile(seconds, p)) * 1e3, 3) for p in (50, 95, 99)))


@dataclass(frozen=True)
class Figures:
    """What was measured.

    Attributes:
        machine: processor, threads, versions.
        fps_512, fps_1024: frames a second of a clip of that size, from sound to H.264 in a file.
        real_time_factor_512: seconds needed for a second of a clip at 25 frames a second.
        first_frame_ms: from the beginning of the first sound, which comes at the speed of speech,
            to the first frame at 512 pixels; lookahead included, warmed up.
        first_frame_cold_ms: the same for the first utterance of a process.
        load_seconds: from the start of a process to a session that is ready.
        frame_ms: of each stage of a frame at 512 pixels, each alone.
        sessions_512_at_25fps: live sessions that all speak, none with a late or lesser frame.
        sessions_motion_only: the same without pixels.
        memory_per_session_mb, memory_per_motion_session_mb: what one more session needs.
        peak_rss_mb: most memory this process ever held.
        seconds_taken: by the measuring.
    """

    machine: dict[str, str | int]
    fps_512: float
    fps_1024: float
    real_time_factor_512: float
    first_frame_ms: float
    first_frame_cold_ms: float
    load_seconds: float
    frame_ms: dict[str, Percentiles]
    sessions_512_at_25fps: int
    sessions_motion_only: int
    memory_per_session_mb: float
    memory_per_motion_session_mb: float
    peak_rss_mb: float
    seconds_taken: float

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)


def measure(
    photo: ImageSource | None = None, *, progress: Callable[[str], None] = lambda part: None
) -> Figures:
    """Measure this machine; takes under a minute.

    Args:
        photo: of the person to draw; by default the astronaut that comes with scikit-image.
        progress: called with the name of each part before it begins.

    Raises:
        ImageError, FaceError: the photo cannot be used.
        DependencyError: no photo was given, and scikit-image is not installed.
    """
    begun = time.perf_counter()
    progress("reading the photo")
    person = Avatar.from_image(example_portrait() if photo is None else photo)
    progress("first frame")
    warm = statistics.median(first_frame_seconds(person) for _ in range(5))
    load, cold = _cold_seconds(person)
    progress("stages of a frame")
    stages = stage_seconds(person, 512, seconds=_CLIP_SECONDS)
    progress("clips")
    fps = {size: clip_fps(person, size, seconds=_CLIP_SECONDS) for size in (512, 1024)}
    progress("live sessions")
    drawing = live_sessions(person, guess=fps[512] / FPS, pixels=True)
    progress("live sessions without pixels")
    moving = live_sessions(person, guess=0.8 / FPS / crowd_frame_seconds(person, 50), pixels=False)
    return Figures(
        machine=machine(),
        fps_512=round(fps[512], 1),
        fps_1024=round(fps[1024], 1),
        real_time_factor_512=round(FPS / fps[512], 3),
        first_frame_ms=round(warm * 1e3, 1),
        first_frame_cold_ms=round(cold * 1e3, 1),
        load_seconds=round(load, 2),
        frame_ms={name: Percentiles.of(stages[name]) for name in STAGES},
        sessions_512_at_25fps=drawing,
        sessions_motion_only=moving,
        memory_per_session_mb=memory_per_session(person, pixels=True, count=8),
        memory_per_motion_session_mb=memory_per_session(person, pixels=False, count=100),
        peak_rss_mb=round(_peak_megabytes(), 1),
        seconds_taken=round(time.perf_counter() - begun, 1),
    )


def example_portrait() -> ImageArray:
    """Head and shoulders of the astronaut Eileen Collins, 1024², in the public domain (NASA)."""
    try:
        import skimage.data
    except ImportError as error:
        raise DependencyError(
            "the example photo needs scikit-image; install it, or name a photo: avatar bench PHOTO"
        ) from error
    from PIL import Image

    photo: ImageArray = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    crop = Image.fromarray(photo).crop((40, 0, 424, 384))
    return np.asarray(crop.resize((1024, 1024), Image.Resampling.LANCZOS))


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


def first_frame_seconds(person: Avatar, *, size: int = 512) -> float:
    """From the beginning of the first sound to the first frame; the sound takes its time."""
    sound = voice(1.0)
    with person.session(size=size) as session:
        begun = time.perf_counter()
        for end in range(_CHUNK, len(sound), _CHUNK):
            _sleep_until(begun + end / SAMPLE_RATE)
            session.push_audio(sound[end - _CHUNK : end])
            if next(iter(session), None) is not None:
                return time.perf_counter() - begun
    raise AssertionError("a second of sound gives a frame")


class _Timed:
    """A session that notes how long its motion takes."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.seconds = 0.0

    def begin_to_hear(self) -> None:
        """It hears in ``next_request``, so that the time of that counts."""

    def end_hearing(self) -> None:
        return

    def next_request(self) -> FrameRequest | None:
        begun = time.perf_counter()
        request = self.session.next_request()
        self.seconds = time.perf_counter() - begun
        return request

    def accept(self, request: FrameRequest, image: ImageArray | None) -> bool:
        return self.session.accept(request, image)


def stage_seconds(person: Avatar, size: int, *, seconds: float) -> dict[str, list[float]]:
    """Of each frame the seconds of each stage, one after the other on one core."""
    taken: dict[str, list[float]] = {name: [] for name in STAGES}
    sound = voice(10.0)
    deadline = time.perf_counter() + seconds
    with tempfile.TemporaryDirectory() as folder, _writer(Path(folder), person, size) as writer:
        while time.perf_counter() < deadline:
            with person.session(size=size) as session:
                session.push_audio(sound)
                session.flush()
                timed = _Timed(session)
                while time.perf_counter() < deadline:
                    begun = time.perf_counter()
                    frame = person.engine.step([timed])[0]
                    drawn = time.perf_counter()
                    if frame is None or frame.image is None:
                        break
                    writer.write(frame.image, frame.audio.samples)
                    ended = time.perf_counter()
                    draw = drawn - begun - timed.seconds
                    steps = (timed.seconds, draw, ended - drawn, ended - begun)
                    for name, step in zip(STAGES, steps, strict=True):
                        taken[name].append(step)
    return taken


def clip_fps(person: Avatar, size: int, *, seconds: float) -> float:
    """Frames a second of a clip, from sound to a closed file, over about so many seconds."""
    clip = person.speak(Audio(voice(20.0), SAMPLE_RATE), fps=FPS, size=size)
    frames = 0
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        with _writer(Path(folder), person, size) as writer:
            while time.perf_counter() - begun < seconds:
                for frame in clip:
                    assert frame.image is not None
                    writer.write(frame.image, frame.audio.samples)
                    frames += 1
                    if time.perf_counter() - begun >= seconds:
                        break
        return frames / (time.perf_counter() - begun)


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


def machine() -> dict[str, str | int]:
    """What the figures hold for."""
    kernels = native_status()
    return {
        "processor": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "kernels": kernels.isa if kernels.built else "plain torch",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "avatar": avatar.__version__,
    }


def _writer(folder: Path, person: Avatar, size: int) -> VideoWriter:
    height, width = person.identity.photos[0].image.shape[:2]
    scale = size / max(height, width)
    return VideoWriter(
        folder / "clip.mp4",
        width=max(1, round(width * scale)),
        height=max(1, round(height * scale)),
        fps=FPS,
        sample_rate=SAMPLE_RATE,
    )


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


_COLD = """
import sys, time
begun = time.perf_counter()
from avatar import Avatar
person = Avatar.load(sys.argv[1])
person.session(size=512).close()
loaded = time.perf_counter() - begun
from avatar.bench import first_frame_seconds
print(loaded, first_frame_seconds(person))
"""


def _cold_seconds(person: Avatar) -> tuple[float, float]:
    """In a new process: until a session is ready, and the first frame of the first utterance."""
    with tempfile.TemporaryDirectory() as folder:
        path = person.save(Path(folder) / "person.avatar")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _COLD, str(path)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    load, first = done.stdout.split()
    return float(load), float(first)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.perf_counter()))


def _peak_megabytes() -> float:
    """The most this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


def in_words(figures: Figures) -> list[str]:
    """What the figures mean, a line each."""
    f = figures
    clip = f"A clip at 512 pixels is made at {f.fps_512:g} frames a second: "
    clip += f"a minute of speech takes {60 * f.real_time_factor_512:.0f} s."
    if f.sessions_512_at_25fps:
        live = f"This machine holds {f.sessions_512_at_25fps} live session(s) at 512 pixels and "
        live += "25 frames a second, all speaking at once, without a late frame."
    else:
        live = "One live session at 512 pixels is more than this machine can draw in time: it will "
        live += "draw smaller, or every second picture. Ask for a smaller size."
    return [
        clip,
        f"At 1024 pixels it is {f.fps_1024:g} frames a second.",
        f"The first frame comes {f.first_frame_ms:.0f} ms after the first sound begins, "
        f"{f.first_frame_cold_ms:.0f} ms in a new process that took {f.load_seconds:g} s to load.",
        live,
        f"Without pixels (landmarks and blendshapes) it holds {f.sessions_motion_only}.",
        f"A session needs {f.memory_per_session_mb:g} MB, "
        f"{f.memory_per_motion_session_mb:g} MB without pixels; "
        f"this process held {f.peak_rss_mb:.0f} MB at most.",
    ]


def as_json(figures: Figures) -> str:
    """One line of JSON."""
    return json.dumps(figures.as_dict())
