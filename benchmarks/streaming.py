"""A live session measured: ``python -m benchmarks.streaming [PART...]``.

=============== ==============================================================================
``motion``      motion without pixels on one core: how much faster than real time one stream is,
                fed piece by piece, and what a frame costs in a crowd of sessions
``latency``     first frame after first sound, of the first utterance and warmed up; frames
                until an interrupt shows; how long a push of sound takes while frames are drawn
``sessions``    a minute of live sessions that all speak at once: the most without a late or
                lesser frame, with pixels at 512² and without
``minute``      what is late in a minute of two sessions at 512², and of 200 without pixels
``eight_hours`` a session of eight hours on a clock moved by hand: drift of sound against
                frames, growth of memory after the first ten minutes
=============== ==============================================================================

Writes ``benchmarks/results/streaming.json``; parts that are not measured keep their last figures.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatar import Avatar, Session
from avatar.bench import (
    FPS,
    clip_fps,
    crowd_frame_seconds,
    example_portrait,
    first_frame_seconds,
    holds,
    live_sessions,
    machine,
    run_live,
    voice,
)
from avatar.config import SAMPLE_RATE, SessionConfig
from avatar.motion import MotionStream
from avatar.session import Likeness
from avatar.types import FloatArray

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "streaming.json"
HOURS = 8
SETTLE_SECONDS = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    wanted = parser.parse_args().parts or list(PARTS)
    if strange := set(wanted) - set(PARTS):
        parser.error(f"unknown part {min(strange)!r}; known: {', '.join(PARTS)}")
    person = Avatar.from_image(example_portrait())
    result: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    result |= {"command": "python -m benchmarks.streaming", "machine": machine()}
    result |= {part: PARTS[part](person) for part in wanted}
    RESULT.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=2, ensure_ascii=False))


def motion(person: Avatar) -> dict[str, Any]:
    sound = voice(20.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name, piece in (("40_ms", 640), ("1_s", SAMPLE_RATE)):
        seconds = min(_stream_seconds(person, sound, piece) for _ in range(7))
        found[f"times_real_time_in_pieces_of_{name}"] = round(20.0 / seconds)
    crowd = 200
    found["crowd_sessions"] = crowd
    seconds = min(crowd_frame_seconds(person, crowd) for _ in range(5))
    found["crowd_milliseconds_a_frame"] = round(seconds * 1e3, 3)
    torch.set_num_threads(threads)
    return found


def _stream_seconds(person: Avatar, sound: FloatArray, piece: int) -> float:
    stream = MotionStream(person.engine.audio_to_face, fps=FPS)
    begun = time.perf_counter()
    for begin in range(0, len(sound), piece):
        stream.push(sound[begin : begin + piece])
    stream.flush()
    return time.perf_counter() - begun


def latency(person: Avatar) -> dict[str, float]:
    first = first_frame_seconds(person)
    warm = [first_frame_seconds(person) for _ in range(9)]
    with person.session(size=512) as session:
        lookahead = session.algorithmic_delay_seconds
    return {
        "lookahead_ms": round(lookahead * 1e3, 1),
        "first_utterance_ms": round(first * 1e3, 1),
        "warm_ms_median": round(statistics.median(warm) * 1e3, 1),
        "warm_ms_worst": round(max(warm) * 1e3, 1),
        "frames_until_interrupt_shows": _frames_until_interrupt(person),
        "push_ms_worst_while_drawing": round(_worst_push(person) * 1e3, 2),
    }


def _frames_until_interrupt(person: Avatar) -> int:
    """Most frames with old words that came after ``interrupt`` had returned, over some tries."""
    worst = 0
    with person.session(size=512, idle=True, pacing="realtime") as session:
        came: list[tuple[float, bool]] = []

        def look() -> None:
            for frame in session:
                came.append((time.monotonic(), bool(not frame.idle)))

        reader = threading.Thread(target=look)
        reader.start()
        for _ in range(10):
            session.push_audio(voice(2.0))
            time.sleep(0.6)
            session.interrupt()
            moment = time.monotonic()
            time.sleep(0.3)
            worst = max(worst, sum(speech for at, speech in came if at > moment))
        session.close()
        reader.join()
    return worst


def _worst_push(person: Avatar) -> float:
    """Longest ``push_audio`` of 20 ms of sound while frames are drawn as fast as they can be."""
    sound, worst = voice(8.0), 0.0
    with person.session(size=512, idle=True, pacing="realtime", ahead_seconds=5.0) as session:
        reader = threading.Thread(target=lambda: [None for _ in session])
        reader.start()
        for begin in range(0, len(sound), 320):
            at = time.perf_counter()
            session.push_audio(sound[begin : begin + 320])
            worst = max(worst, time.perf_counter() - at)
            time.sleep(0.01)
        session.close()
        reader.join()
    return worst


def sessions(person: Avatar) -> dict[str, int]:
    """The most sessions that a minute without a late frame confirms."""
    found = {}
    for name, pixels, guess in (
        ("at_512", True, clip_fps(person, 512, seconds=5.0) / FPS),
        ("without_pixels", False, 0.8 / FPS / crowd_frame_seconds(person, 50)),
    ):
        count = live_sessions(person, guess=guess, pixels=pixels)
        while count and not holds(person, count, pixels=pixels, size=512, seconds=60.0):
            count -= max(1, count // 20)
        found[name] = count
    return found


def minute(person: Avatar) -> dict[str, dict[str, float]]:
    """What is late in a minute of two sessions at 512², and of 200 without pixels."""
    found = {}
    for name, count, pixels in (("two_at_512", 2, True), ("200_without_pixels", 200, False)):
        came = run_live(person, count, pixels=pixels, size=512, seconds=60.0)
        found[name] = {
            "frames": sum(session.frames for session in came),
            "late_frames": sum(session.late_frames for session in came),
            "least_quality": min(session.least_quality for session in came),
        }
    return found


def eight_hours(person: Avatar) -> dict[str, float]:
    """Utterances, pauses, late sound and interrupts for eight hours, without pixels."""
    clock = _Hand()
    config = SessionConfig(idle=True, pacing="realtime", pixels=False)
    likeness = Likeness.of(person.engine.rig, person.identity.photos[0].face)
    session = Session(person.engine, likeness, config=config, clock=clock)
    talk = _Talk(session, clock)
    memory: list[float] = []
    while clock.now < HOURS * 3600:
        talk.go_on()
        if clock.now > SETTLE_SECONDS and len(memory) < clock.now // 60:
            memory.append(resident_megabytes())
    return {
        "hours": HOURS,
        "frames": talk.frames,
        "samples": talk.samples,
        "drift_frames": talk.frames - round(talk.samples / SAMPLE_RATE * FPS),
        "worst_pts_error_ms": round(talk.worst_error * 1e3, 6),
        "worst_lateness_ms": round(talk.worst_lateness * 1e3, 6),
        "memory_mb_after_ten_minutes": round(memory[0], 1),
        "memory_mb_at_the_end": round(memory[-1], 1),
        "memory_mb_growth_most": round(max(memory) - memory[0], 2),
    }


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


class _Hand:
    """A clock that shows what it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class _Talk:
    """A conversation of random turns, watched frame by frame."""

    def __init__(self, session: Session, clock: _Hand) -> None:
        self.session, self.clock = session, clock
        self.random = np.random.default_rng(0)
        self.sound = voice(30.0)
        self.frames = self.samples = 0
        self.worst_error = self.worst_lateness = 0.0

    def go_on(self) -> None:
        """One turn: listen for a while, say something, sometimes late or interrupted."""
        self.play(float(self.random.uniform(0, 6)))
        for _ in range(int(self.random.integers(1, 4))):
            self.session.push_audio(self.sound[: self.random.integers(100, 160_000)])
            self.play(float(self.random.uniform(0, 8)))
        if self.random.random() < 0.3:
            self.session.interrupt()
        else:
            self.session.flush()

    def play(self, seconds: float) -> None:
        end = self.clock.now + seconds
        while (due := self.session.next_due_seconds()) is not None and due <= end:
            self.clock.now = max(self.clock.now, due)
            request = self.session.next_request()
            assert request is not None
            assert self.session.accept(request, None)
            frame = request.frame
            self.worst_error = max(
                self.worst_error,
                abs(frame.pts_seconds - self.samples / SAMPLE_RATE),
                abs(frame.pts_seconds - self.frames / FPS),
            )
            self.worst_lateness = max(self.worst_lateness, self.clock.now - frame.pts_seconds)
            self.frames += 1
            self.samples += len(frame.audio.samples)
        self.clock.now = max(self.clock.now, end)


PARTS: dict[str, Callable[[Avatar], dict[str, Any]]] = {
    "motion": motion,
    "latency": latency,
    "sessions": sessions,
    "minute": minute,
    "eight_hours": eight_hours,
}


if __name__ == "__main__":
    main()
