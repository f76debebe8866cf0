"""The server on loopback: ``python -m benchmarks.server [SECTION …]``.

Measures what the wire adds to the first frame, how many streams without pictures are held, and what
stalled and dropped clients leave behind. The server is ``avatar serve`` in processes of its own;
the clients share the machine with it. Writes ``benchmarks/results/server.json``; sections that are
not named keep what was measured before.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import skimage.data
from benchmarks.end_to_end import machine

from avatar import Avatar, load_audio
from avatar.serving import RemoteAvatar
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving._stubs.avatar.v1 import avatar_pb2_grpc

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "server.json"
RATE = 16_000
CHUNK = RATE // 50
FPS = 25.0
SIZE = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--held", type=int, default=120, help="streams that are held in time")
    parser.add_argument("--group", type=int, default=5, help="frames in an answer, grouped")
    parser.add_argument("--chunk", type=int, default=100, help="milliseconds of sound in a request")
    parser.add_argument("--pictures", type=int, default=2, help="streams with pictures")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=40, help="sessions for the first frame")
    parser.add_argument("--dropped", type=int, default=500)
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    unknown = set(chosen.sections) - SECTIONS.keys()
    if unknown:
        parser.error(f"unknown sections {sorted(unknown)}; they are {', '.join(SECTIONS)}")
    result = json.loads(chosen.out.read_text()) if chosen.sections and chosen.out.exists() else {}
    result |= {"command": "python -m benchmarks.server", "machine": machine()}
    voice = load_audio(ROOT / "examples" / "hello.wav", sample_rate=RATE).samples
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo = np.ascontiguousarray(skimage.data.astronaut())
        Avatar.from_image(photo).save(folder / "eileen.avatar")
        for section in chosen.sections or SECTIONS:
            result[section] = SECTIONS[section](folder, voice, chosen)
            chosen.out.write_text(json.dumps(result, indent=2) + "\n")
            print(section, json.dumps(result[section], indent=2), flush=True)


# ── the server ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Serving:
    """An ``avatar serve`` that runs."""

    address: str
    process: subprocess.Popen[str]

    def pids(self) -> list[int]:
        """The process and its workers."""
        found = [self.process.pid]
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == self.process.pid:
                found.append(int(path.parent.name))
        return found

    def megabytes(self) -> float:
        """Resident memory of all its processes."""
        return sum(_status(pid, "VmRSS") for pid in self.pids()) / 1024

    def threads(self) -> int:
        return sum(_status(pid, "Threads") for pid in self.pids())

    def cpu_seconds(self) -> float:
        return sum(_cpu(pid) for pid in self.pids())


@contextmanager
def served(folder: Path, *settings: str, workers: int = 1) -> Iterator[Serving]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "avatar", "serve", "--port", str(port)]
    command += ["--avatars", str(folder), "--workers", str(workers)]
    for setting in settings:
        command += ["--set", setting]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        ready = 0
        for line in process.stderr:
            ready += '"serving"' in line
            if ready == workers:
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield Serving(f"127.0.0.1:{port}", process)
        finally:
            process.terminate()
            process.wait(60)


def _status(pid: int, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name))


def _cpu(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


# ── the first frame ──────────────────────────────────────────────────────────────────────────────


def first_frames(folder: Path, voice: Any, chosen: argparse.Namespace) -> dict[str, Any]:
    """From the first sound to the first frame, sound coming as it is spoken, 20 ms a chunk."""
    rounds = chosen.rounds
    local = Avatar.load(folder / "eileen.avatar")
    result: dict[str, Any] = {"rounds": rounds, "chunk_milliseconds": 20}
    with served(folder) as server, RemoteAvatar(server.address, "eileen") as remote:
        for name, options in (("motion", {"pixels": False}), ("jpeg_512", {"size": SIZE})):
            here, there = [], []
            for k in range(rounds + 2):
                pair = first_frame(local, voice, options), first_frame(remote, voice, options)
                if k >= 2:
                    here.append(pair[0])
                    there.append(pair[1])
            result[name] = {
                "local": percentiles(here),
                "remote": percentiles(there),
                "added_p50": round((quantile(there, 50) - quantile(here, 50)) * 1e3, 2),
                "added_p95": round((quantile(there, 95) - quantile(here, 95)) * 1e3, 2),
            }
    return result


def first_frame(avatar: Any, voice: Any, options: dict[str, Any]) -> float:
    """Seconds; the same code for both: one thread speaks, another waits."""
    with avatar.session(pacing="realtime", **options) as session:
        seen = threading.Event()
        when = [0.0]

        def wait() -> None:
            for _ in session:
                when[0] = time.perf_counter()
                seen.set()
                return

        reader = threading.Thread(target=wait)
        reader.start()
        begun = time.perf_counter()
        for k in range(100):
            pause = begun + k * CHUNK / RATE - time.perf_counter()
            if seen.wait(max(0.0, pause)):
                break
            session.push_audio(voice[k * CHUNK : (k + 1) * CHUNK])
        reader.join()
        return when[0] - begun


def quantile(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent))


def percentiles(values: list[float]) -> dict[str, float]:
    return {
        f"p{percent}_milliseconds": round(quantile(values, percent) * 1e3, 2)
        for percent in (50, 95, 99)
    }


# ── many streams ─────────────────────────────────────────────────────────────────────────────────


def motion_streams(folder: Path, voice: Any, chosen: argparse.Namespace) -> dict[str, Any]:
    """Real-time streams of blendshapes, talking all the time, one process for all clients."""
    config = pb.SessionConfig(idle_frames=True)
    return held(folder, voice, config, chosen.streams, chosen)


def motion_streams_grouped(folder: Path, voice: Any, chosen: argparse.Namespace) -> dict[str, Any]:
    """The same with several frames in each answer, for clients that hold a buffer anyway."""
    config = pb.SessionConfig(idle_frames=True, frames_per_message=chosen.group)
    return held(folder, voice, config, chosen.streams, chosen)


def motion_streams_held(folder: Path, voice: Any, chosen: argparse.Namespace) -> dict[str, Any]:
    """The same with as many streams as these cores hold in time."""
    config = pb.SessionConfig(idle_frames=True)
    return held(folder, voice, config, chosen.held, chosen)


def video_streams(folder: Path, voice: Any, chosen: argparse.Namespace) -> dict[str, Any]:
    """Real-time streams of 512² JPEG pictures, talking all the time."""
    config = pb.SessionConfig(
        avatar_id="eileen", idle_frames=True, video=pb.VideoFormat(size=SIZE),
        outputs=[pb.OUTPUT_KIND_BLENDSHAPES, pb.OUTPUT_KIND_VIDEO],
    )  # fmt: skip
    return held(folder, voice, config, chosen.pictures, chosen)


def held(
    folder: Path, voice: Any, config: Any, streams: int, chosen: argparse.Namespace
) -> dict[str, Any]:
    """What it takes to hold ``streams`` sessions of one kind."""
    with served(folder, f"max_sessions={streams}", workers=chosen.workers) as server:
        before, own = server.cpu_seconds(), time.process_time()
        received = asyncio.run(hold(server.address, voice, config, streams, chosen))
        spent, own_spent = server.cpu_seconds() - before, time.process_time() - own
        memory = server.megabytes()
    frames = [stream.frames for stream in received]
    lateness = [late for stream in received for late in behind(stream)]
    return {
        "streams": streams,
        "seconds": chosen.seconds,
        "workers": chosen.workers,
        "frames_per_message": max(1, config.frames_per_message),
        "sound_chunk_milliseconds": chosen.chunk,
        "frames_per_second_of_a_stream": round(statistics.mean(frames) / chosen.seconds, 2),
        "slowest_stream_frames_per_second": round(min(frames) / chosen.seconds, 2),
        "late_by": percentiles(lateness),
        "later_than_a_frame_percent": round(100 * float(np.mean(np.array(lateness) > 1 / FPS)), 3),
        "bytes_per_frame": round(sum(stream.bytes for stream in received) / sum(frames)),
        "server_cores": round(spent / chosen.seconds, 2),
        "client_cores": round(own_spent / chosen.seconds, 2),
        "server_cpu_milliseconds_per_frame": round(1e3 * spent / sum(frames), 3),
        "server_megabytes": round(memory),
    }


def behind(stream: Received) -> list[float]:
    """How much later each answer came than the steadiest clock through them would have it."""
    offsets = np.array(stream.times) - np.array(stream.indices) / FPS
    settled = offsets[min(25, len(offsets) // 4) :]
    return list(settled - np.percentile(settled, 5)) if len(settled) else []


@dataclass
class Received:
    """What came of one stream."""

    times: list[float]  # of each answer
    indices: list[int]  # of its last frame
    frames: int = 0
    bytes: int = 0


async def hold(
    address: str, voice: Any, config: Any, streams: int, chosen: argparse.Namespace
) -> list[Received]:
    """The frames of each stream."""
    pcm = (voice * 32767).astype("<i2")
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
    channels = [grpc.aio.insecure_channel(address, options) for _ in range(min(64, streams))]
    stubs = [avatar_pb2_grpc.AvatarServiceStub(channel) for channel in channels]
    try:
        tasks = []
        for k in range(streams):
            shifted = np.roll(pcm, k * 1733).tobytes()
            stream = one_stream(stubs[k % len(stubs)], config, shifted, chosen)
            tasks.append(asyncio.create_task(stream))
            await asyncio.sleep(1 / streams)
        return await asyncio.gather(*tasks)
    finally:
        for channel in channels:
            await channel.close()


async def one_stream(stub: Any, config: Any, pcm: bytes, chosen: argparse.Namespace) -> Received:
    call = stub.StreamSpeak()
    await call.write(pb.StreamSpeakRequest(config=config))
    await call.read()
    talking = asyncio.create_task(talk(call, pcm, chosen.chunk / 1e3))
    received = Received([], [])
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(chosen.seconds):
            while (answer := await call.read()) is not grpc.aio.EOF:
                part = answer.WhichOneof("part")
                if part in ("frame", "frames"):
                    received.frames += 1 if part == "frame" else len(answer.frames.frames)
                    received.times.append(time.monotonic())
                    received.indices.append(received.frames)
                    received.bytes += answer.ByteSize()
    talking.cancel()
    call.cancel()
    return received


async def talk(call: Any, pcm: bytes, seconds: float) -> None:
    """So many seconds of speech every so many seconds."""
    chunk = 2 * round(seconds * RATE)
    begun = time.monotonic()
    for k in range(1 << 30):
        place = k * chunk % (len(pcm) - chunk)
        audio = pb.AudioChunk(data=pcm[place : place + chunk])
        await call.write(pb.StreamSpeakRequest(audio=audio))
        await asyncio.sleep(max(0.0, begun + (k + 1) * seconds - time.monotonic()))


# ── clients that misbehave ───────────────────────────────────────────────────────────────────────


def stalled_reader(folder: Path, voice: Any, chosen: argparse.Namespace) -> dict[str, Any]:
    """Memory while a client asks for 512² raw pictures, sends a minute, and reads nothing."""
    config = pb.SessionConfig(
        avatar_id="eileen", outputs=[pb.OUTPUT_KIND_VIDEO], pacing=pb.PACING_BURST,
        video=pb.VideoFormat(codec=pb.VIDEO_CODEC_RGB24, size=SIZE),
    )  # fmt: skip
    pcm = (np.tile(voice, 8)[: 60 * RATE] * 32767).astype("<i2").tobytes()
    with served(folder) as server, grpc.insecure_channel(server.address) as channel:

        def requests() -> Iterator[pb.StreamSpeakRequest]:
            yield pb.StreamSpeakRequest(config=config)
            for begin in range(0, len(pcm), RATE):
                audio = pb.AudioChunk(data=pcm[begin : begin + RATE])
                yield pb.StreamSpeakRequest(audio=audio)
            threading.Event().wait()

        call = avatar_pb2_grpc.AvatarServiceStub(channel).StreamSpeak(requests())
        for _ in range(10):
            next(call)
        before = server.megabytes()
        samples = []
        for _ in range(20):
            time.sleep(1)
            samples.append(server.megabytes())
        call.cancel()
    return {
        "megabytes_before": round(before, 1),
        "megabytes_most": round(max(samples), 1),
        "grown_megabytes": round(max(samples) - before, 1),
    }


def dropped_sessions(folder: Path, voice: Any, chosen: argparse.Namespace) -> dict[str, Any]:
    """Memory and threads of the server after a round of dropped sessions, and after another."""
    with served(folder) as server:
        rounds = []
        for _ in range(3):
            drop(server.address, voice, chosen.dropped)
            time.sleep(2)
            rounds.append((round(server.megabytes(), 1), server.threads()))
        with RemoteAvatar(server.address) as remote:
            active = remote.server_info().active_sessions
    return {
        "sessions_a_round": chosen.dropped,
        "megabytes_after_each_round": [memory for memory, _ in rounds],
        "threads_after_each_round": [threads for _, threads in rounds],
        "active_sessions_at_the_end": active,
    }


def drop(address: str, voice: Any, count: int) -> None:
    pcm = (voice[: RATE // 5] * 32767).astype("<i2").tobytes()
    with grpc.insecure_channel(address) as channel:
        stub = avatar_pb2_grpc.AvatarServiceStub(channel)
        for k in range(count):
            config = pb.SessionConfig(idle_frames=bool(k % 2))
            requests = [
                pb.StreamSpeakRequest(config=config),
                pb.StreamSpeakRequest(audio=pb.AudioChunk(data=pcm)),
            ]
            call = stub.StreamSpeak(iter(requests))
            if k % 3:
                next(call)
            call.cancel()


SECTIONS = {
    "first_frame": first_frames,
    "motion_streams": motion_streams,
    "motion_streams_grouped": motion_streams_grouped,
    "motion_streams_held": motion_streams_held,
    "video_streams": video_streams,
    "stalled_reader": stalled_reader,
    "dropped_sessions": dropped_sessions,
}


if __name__ == "__main__":
    main()
