"""From a photo and a voice to a finished video: ``python -m benchmarks.end_to_end``.

Measures on this machine, warmed up: frames a second at 512² and 1024² from a 1024² photo with
H.264 and AAC encoding, the time of each stage of a frame, what drawing ahead on several cores gains
over one frame after the other, ``Avatar.from_image``, and the peak memory of a short and a long
clip. Writes ``benchmarks/results/end_to_end.json``.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from avatar import Audio, Avatar, load_audio
from avatar.bench import FPS, STAGES, example_portrait, stage_seconds
from avatar.bench import machine as software

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "end_to_end.json"
SIZE = 512
SIZES = (512, 1024)
SECONDS = 10
LONG_SECONDS = 60
ROUNDS = 3


def main() -> None:
    portrait = example_portrait()
    begun = time.perf_counter()
    person = Avatar.from_image(portrait)
    person.session(size=SIZE).close()
    cold = time.perf_counter() - begun
    warm = median_seconds(lambda: Avatar.from_image(portrait).session(size=SIZE).close())
    render_clip(person, 1, SIZE)
    fps = {size: [render_clip(person, SECONDS, size) for _ in range(ROUNDS)] for size in SIZES}
    stages = stage_seconds(person, SIZE, seconds=SECONDS)
    one_by_one = 1 / statistics.median(stages["frame"])
    result = {
        "command": "python -m benchmarks.end_to_end",
        "machine": machine(),
        "photo": f"scikit-image astronaut, face crop scaled to {portrait.shape[0]}²",
        "size": SIZE,
        "clip_seconds": SECONDS,
        "frames_per_second": round(statistics.median(fps[SIZE]), 1),
        "frames_per_second_1024": round(statistics.median(fps[1024]), 1),
        "frames_per_second_runs": {size: [round(v, 1) for v in runs] for size, runs in fps.items()},
        "frames_per_second_one_by_one": round(one_by_one, 1),
        "stage_milliseconds_per_frame": {
            name: round(statistics.median(stages[name]) * 1e3, 3) for name in STAGES
        },
        "ready_seconds": {"cold": round(cold, 2), "warm": round(warm, 3)},
        "peak_rss_megabytes": {f"{n}_s": peak_megabytes(n) for n in (SECONDS, LONG_SECONDS)},
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=2, ensure_ascii=False))


def speech(seconds: int) -> Audio:
    """The example speech, repeated."""
    sound = load_audio(ROOT / "examples" / "hello.wav")
    return Audio(np.resize(sound.samples, seconds * sound.sample_rate), sound.sample_rate)


def render_clip(person: Avatar, seconds: int, size: int) -> float:
    """Frames a second of a whole clip, from samples to the closed file."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        clip = person.speak(speech(seconds), fps=FPS, size=size)
        clip.save(Path(folder) / "clip.mp4")
        return clip.info.frames / (time.perf_counter() - begun)


def peak_megabytes(clip_seconds: int) -> int:
    """Peak resident memory of a fresh process that makes one clip."""
    code = (
        "import resource; from benchmarks.end_to_end import *; "
        f"render_clip(Avatar.from_image(example_portrait()), {clip_seconds}, SIZE); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return int(said.stdout) // 1024


def median_seconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def machine() -> dict[str, str | int]:
    """What the figures hold for."""
    return {**software(), "cores": len(os.sched_getaffinity(0))}


if __name__ == "__main__":
    main()
