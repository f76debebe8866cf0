"""Any bytes as requests, steered by coverage: never a crash, never a fault of the server.

    build/peers/atheris/bin/python tests/serving/fuzz.py -max_total_time=300

Options are those of libFuzzer. The server runs in this process, so that atheris sees which of its
lines an input reaches; the requests travel over a real connection. An input is a method and the
raw bytes of its requests, of which the seeds are whole ones. It is a finding if the server logs a
fault, answers with a status that says nothing to a caller, or harms somebody else's session.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import atheris

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]
# Atheris cannot instrument what the loader of an editable installation brings.
sys.meta_path = [finder for finder in sys.meta_path if "ScikitBuild" not in type(finder).__name__]

with atheris.instrument_imports(include=["avatar.serving"]):
    import avatar.serving.a2f
    import avatar.serving.render
    import avatar.serving.server
    import avatar.serving.speak  # noqa: F401
    from avatar.serving._stubs.a2f import audio2face_3d_pb2 as a2f
    from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
    from avatar.serving.config import ServerConfig

import grpc  # noqa: E402
from google.protobuf.duration_pb2 import Duration  # noqa: E402
from tests.serving.conftest import Running, Speaking, running  # noqa: E402

SERVICE = "/avatar.v1.AvatarService/"
A2F = "/nvidia_ace.services.a2f_controller.v1.A2FControllerService/ProcessAudioStream"
METHODS = (
    (SERVICE + "StreamSpeak", "stream_stream"),
    (SERVICE + "CreateAvatar", "stream_unary"),
    (SERVICE + "RenderClip", "stream_stream"),
    (SERVICE + "ListAvatars", "unary_unary"),
    (SERVICE + "DeleteAvatar", "unary_unary"),
    (SERVICE + "GetServerInfo", "unary_unary"),
    (A2F, "stream_stream"),
)
ALLOWED = frozenset(
    (
        "OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "ALREADY_EXISTS",
        "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED",
    )
)  # fmt: skip
SECONDS = 1.0
BYSTANDER_EVERY = 500


def pack(method: int, *messages: Any) -> bytes:
    """An input: the number of the method, then each request after its length in two bytes."""
    parts = [message.SerializeToString() for message in messages]
    return bytes([method]) + b"".join(len(p).to_bytes(2, "little") + p for p in parts)


def unpack(data: bytes) -> tuple[int, list[bytes]]:
    """The other way, for any bytes."""
    requests, place = [], 1
    while place + 2 <= len(data) and len(requests) < 16:
        length = int.from_bytes(data[place : place + 2], "little")
        requests.append(data[place + 2 : place + 2 + length])
        place += 2 + length
    return (data[0] if data else 0) % len(METHODS), requests


def seeds() -> Iterator[bytes]:
    """Whole sessions to begin with."""
    speak, sound = pb.StreamSpeakRequest, pb.AudioChunk(data=bytes(640), utterance_id="a")
    style = pb.Style(
        emotion={"joy": 0.5}, blendshape_gain={"jawOpen": 2.0}, gaze=pb.Gaze(right=0.1)
    )
    for config in (
        pb.SessionConfig(pacing=pb.PACING_BURST, outputs=[1, 2, 3, 4, 6]),
        pb.SessionConfig(style=style, seed=5, fps=30, audio=pb.AudioFormat(encoding=2)),
        pb.SessionConfig(outputs=[1, 6], frames_per_message=5, pacing=pb.PACING_BURST),
        pb.SessionConfig(idle_frames=True, frames_per_message=3),
        pb.SessionConfig(audio=pb.AudioFormat(encoding=3), pacing=pb.PACING_BURST),
        pb.SessionConfig(
            avatar_id="eileen", outputs=[5], video=pb.VideoFormat(size=64, codec=4),
            pacing=pb.PACING_BURST,
        ),
        pb.SessionConfig(
            avatar_id="eileen", outputs=[5], pacing=pb.PACING_BURST,
            video=pb.VideoFormat(size=64, codec=pb.VIDEO_CODEC_RGBA32, background="alpha"),
        ),
    ):  # fmt: skip
        yield pack(
            0, speak(config=config), speak(audio=sound),
            speak(style=pb.StyleUpdate(style=style, now=True)), speak(sync=pb.Sync(token=1)),
            speak(pause=pb.Pause(duration=Duration(nanos=40_000_000))),
            speak(interrupt=pb.Interrupt(utterance_id="a")), speak(audio=sound),
            speak(end_utterance=pb.EndUtterance()),
        )  # fmt: skip
    header = pb.CreateAvatarRequest.Header(avatar_id="x", consent=pb.Consent(attested=True))
    image = pb.CreateAvatarRequest(image_chunk=b"\x89PNG\r\n\x1a\n" + bytes(40))
    yield pack(1, pb.CreateAvatarRequest(header=header), image)
    clip = pb.RenderClipRequest.Header(avatar_id="eileen", container="mp4", size=64)
    behind = pb.RenderClipRequest.Header(
        avatar_id="eileen", container="webm", size=64, background="#1e90ff"
    )
    file = pb.RenderClipRequest(audio_file_chunk=b"RIFF\x24\0\0\0WAVEfmt " + bytes(40))
    yield pack(2, pb.RenderClipRequest(header=clip), file)
    yield pack(2, pb.RenderClipRequest(header=behind), file)
    yield pack(3, pb.ListAvatarsRequest(page_size=1, page_token="a"))
    yield pack(4, pb.DeleteAvatarRequest(avatar_id="x"))
    part = a2f.AudioWithEmotionStream
    first = a2f.AudioWithEmotionStreamHeader()
    first.audio_header.samples_per_second, first.audio_header.channel_count = 16_000, 1
    first.audio_header.bits_per_sample = 16
    first.blendshape_params.bs_weight_multipliers["JawOpen"] = 1.5
    feeling = a2f.EmotionWithTimeCode(time_code=0.01, emotion={"joy": 1.0})
    heard = a2f.AudioWithEmotion(audio_buffer=bytes(640), emotions=[feeling])
    yield pack(
        6, part(audio_stream_header=first), part(audio_with_emotion=heard),
        part(end_of_audio=part.EndOfAudio()),
    )  # fmt: skip


class FindingError(Exception):
    """The server did what it must not."""


class Faults(logging.Handler):
    """Keeps what the server says of its own faults."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(logging.Formatter().format(record))


class Fuzzer:
    """Sends inputs to a server and judges what comes back."""

    def __init__(self, server: Running, channel: Any) -> None:
        self._server = server
        self._channel = channel
        self._faults = Faults()
        logging.getLogger("avatar.serving").addHandler(self._faults)
        self._count = 0

    def __call__(self, data: bytes) -> None:
        method, requests = unpack(data)
        code = self._send(*METHODS[method], requests)
        if code not in ALLOWED:
            raise FindingError(f"{METHODS[method][0]} answered {code}")
        if self._faults.found:
            raise FindingError(self._faults.found[0])
        self._count += 1
        if self._count % BYSTANDER_EVERY == 0:
            self._check_bystander()

    def _send(self, path: str, kind: str, requests: list[bytes]) -> str:
        call = getattr(self._channel, kind)(path)
        try:
            if kind == "unary_unary":
                call(b"".join(requests[:1]), timeout=SECONDS)
            elif kind == "stream_unary":
                call(iter(requests), timeout=SECONDS)
            else:
                for _ in call(iter(requests), timeout=SECONDS):
                    pass
        except grpc.RpcError as error:
            return str(error.code().name)  # type: ignore[attr-defined]
        return "OK"

    def _check_bystander(self) -> None:
        with self._server.stub() as stub, Speaking(stub, pacing=pb.PACING_BURST) as speaking:
            speaking.send(audio=pb.AudioChunk(data=bytes(2 * 16_000)))
            speaking.done()
            if len(speaking.frames()) != 25:
                raise FindingError("another session lost frames")


def main() -> None:
    logging.getLogger("avatar.serving").propagate = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        avatars, corpus = folder / "avatars", folder / "corpus"
        avatars.mkdir()
        corpus.mkdir()
        golden = ROOT / "tests" / "golden" / "eileen_collins_v1.avatar"
        shutil.copy(golden, avatars / "eileen.avatar")
        for number, seed in enumerate(seeds()):
            (corpus / str(number)).write_bytes(seed)
        config = ServerConfig(port=0, avatars=str(avatars), max_render_seconds=1.0)
        with running(config) as server, server.channel() as channel:
            # libFuzzer leaves the process by itself, without going back up.
            atheris.Setup([*sys.argv, "-max_len=4096", str(corpus)], Fuzzer(server, channel))
            atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
