"""How fast a GPU draws: as graphs, call by call and compiled, and many sessions from end to end.

    python benchmarks/gpu_run.py draw --out "$OUT"                  # all of it, on a bare machine
    python -m benchmarks.gpu_draw --out FOLDER [--device cpu --seconds 0.2 --side 128]

It writes ``gpu_draw.json``, anew after each part, so that a run which is cut short leaves what it
has. The people are made of one photo: parts of it, near and far, in other colours, each prepared
like a photo of its own. Nobody is detected, so no detector need be installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from avatar import Avatar
from avatar.bench import batched_fps, first_frame_seconds, live_sessions, machine
from avatar.engine import Engine
from avatar.generator import Batches, Portrait
from avatar.generator.batched.batches import BATCH_SIZES, Wanted
from avatar.generator.batched.program import TOLD_POINTS
from avatar.generator.generator import GROUPS
from avatar.motion import Retargeter
from avatar.types import ARKIT_NAMES, Face, FloatArray, ImageArray, Landmarks

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "tests" / "golden" / "eileen_collins_v1.avatar"
PHOTO_SIDE = 1024
PEOPLE = 8
STAGED = 16
"""Size of the batch whose stages are measured, and of the one that is compiled."""

Report = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu_draw.json")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", type=int, default=512, help="of the pictures")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--most", type=int, default=BATCH_SIZES[-1], help="pictures in a batch")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no part is begun")
    parser.add_argument("--not-compiled", action="store_true", help="leave torch.compile out")
    args = parser.parse_args()
    begun = time.monotonic()
    bench = DrawBench(args)
    parts: list[Callable[[], None]] = [
        bench.call_by_call, bench.recorded, bench.first_frame, bench.stages, bench.calls,
        bench.sessions, bench.like_the_cpu,
    ]  # fmt: skip
    if not args.not_compiled:
        parts.append(bench.compiled)
    args.out.mkdir(parents=True, exist_ok=True)
    for part in parts:
        if time.monotonic() - begun > 60 * args.minutes:
            bench.report.setdefault("left_out", []).append(part.__name__)
            continue
        try:
            part()
        except Exception:  # a lent machine is gone afterwards: what else can be measured must be
            bench.report.setdefault("failed", {})[part.__name__] = traceback.format_exc()[-1500:]
        bench.report["seconds_taken"] = round(time.monotonic() - begun, 1)
        (args.out / "gpu_draw.json").write_text(json.dumps(bench.report, indent=1) + "\n")
        print(f"{part.__name__}: {time.monotonic() - begun:.0f} s", flush=True)
    print(json.dumps(bench.report, indent=1))
    return int("failed" in bench.report)


class Remembered:
    """A detector that knows the faces of pictures it was told of."""

    def __init__(self) -> None:
        self.faces: dict[bytes, Face] = {}

    def detect(self, image: ImageArray) -> list[Face]:
        return [self.faces[image.tobytes()]]


class DrawBench:
    """The people, and one method for each part of the report."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        detector = Remembered()
        self.engine = Engine(args.device, detector=detector)
        self.people = [someone(k, self.engine, detector) for k in range(PEOPLE)]
        self.on_cuda = args.device.startswith("cuda")
        self.report: Report = {
            "command": "python benchmarks/gpu_run.py draw --out OUT",
            "machine": machine(args.device),
            "side": args.side,
            "people": PEOPLE,
        }
        self.portraits = [portrait_of(person, args.side) for person in self.people]

    def first_frame(self) -> None:
        """From the first sound, which comes at the speed of speech; before and after warming up."""
        seconds = [first_frame_seconds(self.people[0], size=self.args.side) for _ in range(5)]
        self.report["first_frame_ms"] = round(1e3 * statistics.median(seconds), 1)

    def recorded(self) -> None:
        batches = self.batches()
        begun = time.perf_counter()
        batches.make_ready(self.portraits[0])
        self.report["make_ready_seconds"] = round(time.perf_counter() - begun, 2)
        name = "recorded" if batches.recording else "not recorded"
        self.report[name] = self.speeds(batches, self.sizes())
        if self.on_cuda:
            megabytes = torch.cuda.max_memory_allocated() / (1 << 20)
            self.report["device_memory_mb"] = round(megabytes)

    def call_by_call(self) -> None:
        self.report["call_by_call"] = self.speeds(self.batches(graphs=False), self.sizes())

    def compiled(self) -> None:
        size = min(STAGED, self.args.most)
        batches = self.batches(compiled=True)
        begun = time.perf_counter()
        found = batches.draw(self.frames(size))
        seconds = round(time.perf_counter() - begun, 1)
        off = difference(found, self.batches(graphs=False).draw(self.frames(size)))
        speeds = self.speeds(batches, [size])
        self.report["compiled"] = {"compile_seconds": seconds, "off": off, **speeds}

    def stages(self) -> None:
        """Of one batch: what this process does, what the device does, and handing over."""
        batches, frames = self.batches(), self.frames(min(STAGED, self.args.most))
        batches.draw(frames)
        taken: dict[str, list[float]] = {"ask": [], "wait": [], "hand_over": []}
        for _ in range(20):
            moments = [time.perf_counter()]
            begun = batches.begin(frames)
            moments.append(time.perf_counter())
            if self.on_cuda:
                torch.cuda.synchronize()
            moments.append(time.perf_counter())
            for batch in begun:
                batch.pictures()
            moments.append(time.perf_counter())
            for name, step in zip(taken, np.diff(moments), strict=True):
                taken[name].append(float(step))
        self.report["stages_ms"] = {
            "batch": len(frames),
            **{name: round(1e3 * statistics.median(times), 3) for name, times in taken.items()},
        }

    def calls(self) -> None:
        """What one batch asks of the device, and what travels for one picture."""
        frames = self.frames(min(STAGED, self.args.most))
        eager = self.batches(graphs=False)
        eager.draw(frames)
        with Counting() as counted:
            eager.draw(frames)
        calls: Report = {"batch": len(frames), "operations": counted.total}
        if self.on_cuda:
            for name, batches in (("call_by_call", eager), ("recorded", self.batches())):
                batches.draw(frames)
                calls[name] = runtime_calls(batches, frames)
        picture = self.portraits[0].photo
        calls["bytes_up_per_frame"] = 4 * 2 * TOLD_POINTS
        calls["bytes_down_per_frame"] = picture.nbytes
        self.report["calls"] = calls

    def sessions(self) -> None:
        """From sound to pictures, all speaking at once."""
        side, seconds = self.args.side, self.args.seconds
        fps = {}
        for count in self.sizes():
            fps[count] = round(batched_fps(self.people, count, seconds=seconds, size=side), 1)
        self.report["sessions_fps"] = fps
        self.report["most_fps"] = max(fps.values())
        if self.on_cuda:
            live = live_sessions(
                self.people[0], guess=0.8 * max(fps.values()) / 25, pixels=True, size=side
            )
            self.report["sessions_at_25fps"] = live

    def like_the_cpu(self) -> None:
        """How far the pictures are from those of the CPU."""
        frames = self.frames(4)
        on_cpu = Engine().generator
        right = [on_cpu.render(portrait, points) for portrait, points in frames]
        self.report["off_from_cpu"] = difference(self.batches().draw(frames), right)

    def batches(self, *, graphs: bool = True, compiled: bool = False) -> Batches:
        generator = self.engine.generator
        if graphs and not compiled and generator.batches is not None:
            return generator.batches
        return Batches(
            torch.device(self.args.device), GROUPS, generator._decoders,
            graphs=graphs, compiled=compiled,
        )  # fmt: skip

    def sizes(self) -> list[int]:
        return [size for size in BATCH_SIZES if size <= self.args.most]

    def frames(self, count: int, jaw: float = 0.5) -> Wanted:
        """So many pictures of these people, speaking."""
        chosen = [self.portraits[k % PEOPLE] for k in range(count)]
        return [(portrait, speaking(self.engine, portrait, jaw)) for portrait in chosen]

    def speeds(self, batches: Batches, sizes: list[int]) -> Report:
        """Pictures a second with two batches under way, and milliseconds of one alone."""
        found: Report = {}
        for size in sizes:
            lots = [self.frames(size, jaw) for jaw in (0.2, 0.7)]
            for lot in lots:
                batches.draw(lot)
            alone = [seconds_of(partial(batches.draw, lots[0])) for _ in range(9)]
            waiting: deque[Any] = deque()
            pictures, begun = 0, time.perf_counter()
            while not pictures or time.perf_counter() - begun < self.args.seconds:
                waiting.append(batches.begin(lots[len(waiting) % 2]))
                if len(waiting) > 1:
                    pictures += sum(len(batch.pictures()) for batch in waiting.popleft())
            fps = pictures / (time.perf_counter() - begun)
            ms = round(1e3 * statistics.median(alone), 3)
            found[str(size)] = {"fps": round(fps, 1), "ms": ms}
        return found


class Counting(TorchDispatchMode):
    """Counts calls that are work for the device: not those that only look at memory anew."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        idle = func.is_view or func._schema.name in ("aten::empty.memory_format", "aten::detach")
        self.total += not idle
        return func(*args, **(kwargs or {}))


def runtime_calls(batches: Batches, frames: Wanted) -> dict[str, int]:
    """How often each function of CUDA is called for one batch."""
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profile:
        batches.draw(frames)
        torch.cuda.synchronize()
    names = [event.name for event in profile.events()]
    wanted = ("Launch", "Memcpy", "Synchronize", "Malloc", "HostAlloc")
    return dict(
        Counter(
            name for name in names
            if name.startswith("cu") and any(word in name for word in wanted)
        )
    )  # fmt: skip


def someone(k: int, engine: Engine, detector: Remembered) -> Avatar:
    """The ``k``-th person: a part of the photo in colours of its own."""
    photo = Avatar.load(PHOTO).identity.photos[0]
    side = min(photo.image.shape[:2]) - 8 * k
    left, top = 3 * k, 2 * k
    part = np.roll(photo.image, k, axis=2)[top : top + side, left : left + side] // (1 + k % 2)
    image = np.asarray(Image.fromarray(part).resize((PHOTO_SIDE, PHOTO_SIDE)))
    scale = PHOTO_SIDE / side
    points = (photo.face.landmarks.points - [left, top, 0] + 0.5) * scale - 0.5
    face = Face(Landmarks(points.astype(np.float32)), photo.face.expression)
    detector.faces[image.tobytes()] = face
    return Avatar.from_image(image, engine=engine)


def portrait_of(person: Avatar, side: int) -> Portrait:
    photo = person.identity.photos[0]
    return person.engine.prepare([(photo.image, photo.face)]).resized(side)


def speaking(engine: Engine, portrait: Portrait, jaw: float) -> FloatArray:
    """Landmarks with the jaw open and the eyes half shut."""
    pose = np.zeros(len(ARKIT_NAMES), np.float32)
    pose[ARKIT_NAMES.index("jawOpen")] = jaw
    pose[[ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]] = 0.5
    upright, still = np.array([1, 0, 0, 0], np.float32), np.zeros(3, np.float32)
    move = Retargeter(engine.rig, portrait.landmarks, portrait.expression).landmarks
    return move(pose, upright, still, still[:2])


def seconds_of(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def difference(found: list[ImageArray], right: list[ImageArray]) -> dict[str, float]:
    """The largest difference in levels, and the share of bytes that differ by more than one."""
    off = np.abs(np.stack(found).astype(int) - np.stack(right))
    return {"largest": int(off.max()), "share_above_1": round(float((off > 1).mean()), 6)}


if __name__ == "__main__":
    sys.exit(main())
