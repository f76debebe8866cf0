"""From a photo and a voice to a finished video: ``python -m benchmarks.end_to_end``.

Measures on this machine, warmed up: frames a second at 512² from a 1024² photo with H.264 and AAC
encoding, the time of each stage of a frame, ``Avatar.from_image``, and the peak memory of a short
and a long clip. Writes ``benchmarks/results/end_to_end.json``.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image

from avatar import Audio, Avatar, load_audio
from avatar.config import SAMPLE_RATE
from avatar.media import VideoWriter
from avatar.motion import MotionStream
from avatar.motion.retarget import Retargeter
from avatar.ops import native_status
from avatar.types import ImageArray, Motion

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "end_to_end.json"
SIZE = 512
FPS = 25.0
SECONDS = 10
LONG_SECONDS = 60
ROUNDS = 3


def main() -> None:
    begun = time.perf_counter()
    person = Avatar.from_image(portrait())
    cold = time.perf_counter() - begun
    warm = median_seconds(lambda: Avatar.from_image(portrait()))
    render_clip(person, 1)
    fps = [render_clip(person, SECONDS) for _ in range(ROUNDS)]
    memory = {f"{n}_s": peak_megabytes(n) for n in (SECONDS, LONG_SECONDS)}
    result = {
        "command": "python -m benchmarks.end_to_end",
        "machine": machine(),
        "photo": f"scikit-image astronaut, face crop scaled to {portrait().shape[0]}²",
        "size": SIZE,
        "clip_seconds": SECONDS,
        "frames_per_second": round(statistics.median(fps), 1),
        "frames_per_second_runs": [round(value, 1) for value in fps],
        "stage_milliseconds_per_frame": stages(person),
        "from_image_seconds": {"cold": round(cold, 2), "warm": round(warm, 3)},
        "peak_rss_megabytes": memory,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=2, ensure_ascii=False))


def portrait() -> ImageArray:
    """The face of the astronaut, head and shoulders, 1024²."""
    crop = Image.fromarray(skimage.data.astronaut()).crop((40, 0, 424, 384))
    return np.asarray(crop.resize((1024, 1024), Image.Resampling.LANCZOS))


def voice(seconds: int) -> Audio:
    """The example speech, repeated."""
    speech = load_audio(ROOT / "examples" / "hello.wav")
    count = seconds * speech.sample_rate
    return Audio(np.resize(speech.samples, count), speech.sample_rate)


def render_clip(person: Avatar, seconds: int) -> float:
    """Frames a second of a whole clip, from samples to the closed file."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        clip = person.speak(voice(seconds), fps=FPS, size=SIZE)
        clip.save(Path(folder) / "clip.mp4")
        return clip.info.frames / (time.perf_counter() - begun)


def stages(person: Avatar) -> dict[str, float]:
    """Milliseconds of each stage alone, for the frames of one clip."""
    engine = person.engine
    portrait = engine.generator.prepare(
        [(photo.image, photo.face) for photo in person.identity.photos]
    ).resized(SIZE)
    samples = load_audio(ROOT / "examples" / "hello.wav", sample_rate=SAMPLE_RATE).samples
    samples = np.resize(samples, SECONDS * SAMPLE_RATE)
    frames = round(SECONDS * FPS)
    motion: list[Motion] = []
    points: list[np.ndarray] = []
    images: list[ImageArray] = []

    def hear() -> None:
        stream = MotionStream(engine.audio_to_face, fps=FPS, seed=0)
        motion.extend(stream.push(samples[i : i + 640]) for i in range(0, len(samples), 640))
        motion.append(stream.flush())

    def retarget() -> None:
        person_on_photo = Retargeter(engine.rig, portrait.landmarks, portrait.expression)
        points.extend(
            person_on_photo.landmarks(
                part.expression[t], part.rotation[t], part.translation[t], part.gaze[t]
            )
            for part in motion
            for t in range(len(part))
        )

    def render() -> None:
        images.extend(engine.generator.render(portrait, place) for place in points)

    def encode() -> None:
        with tempfile.TemporaryDirectory() as folder:
            height, width = images[0].shape[:2]
            share = samples[: SAMPLE_RATE // round(FPS)]
            with VideoWriter(
                Path(folder) / "x.mp4",
                width=width,
                height=height,
                fps=FPS,
                sample_rate=SAMPLE_RATE,
            ) as writer:
                for image in images:
                    writer.write(image, share)

    steps = {"motion": hear, "retarget": retarget, "render": render, "encode": encode}
    return {name: round(seconds(work) * 1e3 / frames, 3) for name, work in steps.items()}


def peak_megabytes(clip_seconds: int) -> int:
    """Peak resident memory of a fresh process that makes one clip."""
    code = (
        "import resource; from benchmarks.end_to_end import Avatar, portrait, render_clip; "
        f"render_clip(Avatar.from_image(portrait()), {clip_seconds}); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return int(said.stdout) // 1024


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def median_seconds(work: Callable[[], object]) -> float:
    return statistics.median(seconds(work) for _ in range(ROUNDS))


def machine() -> dict[str, object]:
    status = native_status()
    return {
        "processor": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "kernels": status.isa if status.built else "plain torch",
        "python": platform.python_version(),
        "torch": version("torch"),
    }


if __name__ == "__main__":
    main()
