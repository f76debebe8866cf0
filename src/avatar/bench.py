"""How fast this machine is: latency, frame times by stage, and how many sessions it holds.

Every figure is measured the way it is used: the first frame from sound that comes at the speed of
speech, frames a second from sound to a closed video file, sessions by letting all of them speak at
once on the real clock. Each part has its share of seconds, so the whole takes under a minute on a
slow machine too.
"""

from __future__ import annotations

import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import avatar
from avatar.avatar import Avatar
from avatar.bench_crowd import (
    FPS,
    LiveResult,
    batched_fps,
    crowd_frame_seconds,
    holds,
    live_sessions,
    memory_per_session,
    run_live,
    voice,
)
from avatar.config import SAMPLE_RATE
from avatar.engine import Engine, FrameRequest
from avatar.errors import DependencyError
from avatar.media import ImageSource, VideoWriter
from avatar.ops import native_status
from avatar.session import Session
from avatar.types import Audio, ImageArray

__all__ = [
    "FPS",
    "STAGES",
    "Figures",
    "LiveResult",
    "Percentiles",
    "as_json",
    "batched_fps",
    "clip_fps",
    "crowd_frame_seconds",
    "example_portrait",
    "first_frame_seconds",
    "holds",
    "in_words",
    "live_sessions",
    "machine",
    "measure",
    "memory_per_session",
    "run_live",
    "stage_seconds",
    "voice",
]

STAGES = ("motion", "draw", "encode", "frame")
_CHUNK = SAMPLE_RATE // 100
_CLIP_SECONDS, _BATCH_SECONDS = 5.0, 1.5
_BATCHED = (1, 2, 4, 8, 16, 32)


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
        batched_fps_512: frames a second of so many sessions of 512 pixels that are drawn together,
            from sound to picture, on a GPU; empty on the CPU, which draws each alone.
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
    batched_fps_512: dict[int, float]
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
    photo: ImageSource | None = None,
    *,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda part: None,
) -> Figures:
    """Measure this machine; takes under a minute, somewhat more with a GPU.

    Args:
        photo: of the person to draw; by default the astronaut that comes with scikit-image.
        device: that draws, as of ``Engine``.
        progress: called with the name of each part before it begins.

    Raises:
        ImageError, FaceError: the photo cannot be used.
        ConfigError: torch cannot use the device.
        DependencyError: no photo was given, and scikit-image is not installed.
    """
    begun = time.perf_counter()
    progress("reading the photo")
    engine = Engine.on(device)
    person = Avatar.from_image(example_portrait() if photo is None else photo, engine=engine)
    progress("first frame")
    warm = statistics.median(first_frame_seconds(person) for _ in range(5))
    load, cold = _cold_seconds(person)
    progress("stages of a frame")
    stages = stage_seconds(person, 512, seconds=_CLIP_SECONDS)
    progress("clips")
    fps = {size: clip_fps(person, size, seconds=_CLIP_SECONDS) for size in (512, 1024)}
    batched: dict[int, float] = {}
    if device != "cpu":
        progress("batches")
        batched = {n: batched_fps([person], n, seconds=_BATCH_SECONDS) for n in _BATCHED}
    progress("live sessions")
    guess = max(fps[512], *batched.values()) if batched else fps[512]
    drawing = live_sessions(person, guess=guess / FPS, pixels=True)
    progress("live sessions without pixels")
    moving = live_sessions(person, guess=0.8 / FPS / crowd_frame_seconds(person, 50), pixels=False)
    return Figures(
        machine=machine(device),
        fps_512=round(fps[512], 1),
        fps_1024=round(fps[1024], 1),
        real_time_factor_512=round(FPS / fps[512], 3),
        first_frame_ms=round(warm * 1e3, 1),
        first_frame_cold_ms=round(cold * 1e3, 1),
        load_seconds=round(load, 2),
        frame_ms={name: Percentiles.of(stages[name]) for name in STAGES},
        batched_fps_512={count: round(fps, 1) for count, fps in batched.items()},
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


def machine(device: str = "cpu") -> dict[str, str | int]:
    """What the figures hold for."""
    kernels = native_status()
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return {
        "device": name,
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


_COLD = """
import sys, time
begun = time.perf_counter()
from avatar import Avatar
from avatar.engine import Engine
person = Avatar.load(sys.argv[1], engine=Engine(sys.argv[2]))
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
            [sys.executable, "-W", "ignore", "-c", _COLD, str(path), person.engine.device],
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
    together = []
    if f.batched_fps_512:
        count, fps = max(f.batched_fps_512.items(), key=lambda item: item[1])
        together = [
            f"On {f.machine['device']} {count} session(s) of 512 pixels drawn together come at "
            f"{fps:g} frames a second, without encoding them."
        ]
    return [
        clip,
        f"At 1024 pixels it is {f.fps_1024:g} frames a second.",
        f"The first frame comes {f.first_frame_ms:.0f} ms after the first sound begins, "
        f"{f.first_frame_cold_ms:.0f} ms in a new process that took {f.load_seconds:g} s to load.",
        *together,
        live,
        f"Without pixels (landmarks and blendshapes) it holds {f.sessions_motion_only}.",
        f"A session needs {f.memory_per_session_mb:g} MB, "
        f"{f.memory_per_motion_session_mb:g} MB without pixels; "
        f"this process held {f.peak_rss_mb:.0f} MB at most.",
    ]


def as_json(figures: Figures) -> str:
    """One line of JSON."""
    return json.dumps(figures.as_dict())
