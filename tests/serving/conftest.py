"""A real server on a loopback port, in a thread of its own, and what talks to it."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving._stubs.avatar.v1 import avatar_pb2_grpc
from avatar.serving.config import ServerConfig
from avatar.serving.server import Server, serving

PATIENCE = 60.0
RATE = 16_000


class Running:
    """A server and its event loop."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.address = f"127.0.0.1:{server.port}"
        self._loop = loop

    def run(self, work: Any) -> Any:
        """Run a coroutine in the server's loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    @contextmanager
    def channel(self, **options: Any) -> Iterator[Any]:
        """A connection of its own, not shared with other channels."""
        fixed = [("grpc.use_local_subchannel_pool", 1), *options.items()]
        with grpc.insecure_channel(self.address, fixed) as channel:
            yield channel

    @contextmanager
    def stub(self) -> Iterator[Any]:
        with self.channel() as channel:
            yield avatar_pb2_grpc.AvatarServiceStub(channel)


@contextmanager
def running(config: ServerConfig) -> Iterator[Running]:
    """Serve with ``config`` in a thread while the block lasts."""
    ready: Future[Running] = Future()
    ends = threading.Event()

    async def serve() -> None:
        async with serving(config) as server:
            ready.set_result(Running(server, asyncio.get_running_loop()))
            await asyncio.to_thread(ends.wait)

    def main() -> None:
        try:
            asyncio.run(serve())
        except BaseException as reason:
            if ready.done():
                raise
            ready.set_exception(reason)

    thread = threading.Thread(target=main)
    thread.start()
    try:
        yield ready.result(PATIENCE)
    finally:
        ends.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def avatars(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A folder with one avatar, ``eileen``."""
    folder = tmp_path_factory.mktemp("avatars")
    golden = repository / "tests" / "golden" / "eileen_collins_v1.avatar"
    shutil.copy(golden, folder / "eileen.avatar")
    return folder


Serve = Callable[..., Any]


@pytest.fixture(scope="session")
def serve(avatars: Path) -> Serve:
    """Starts a server of its own: ``with serve(max_sessions=1) as running``."""

    def start(**settings: Any) -> Any:
        return running(ServerConfig(**{"port": 0, "avatars": str(avatars)} | settings))

    return start


@pytest.fixture(scope="session")
def server(serve: Serve) -> Iterator[Running]:
    """A server with the usual settings, shared by the tests."""
    with serve() as found:
        yield found


@pytest.fixture
def stub(server: Running) -> Iterator[Any]:
    with server.stub() as found:
        yield found


class Speaking:
    """A call of ``StreamSpeak``, one request and one answer at a time."""

    def __init__(
        self, stub: Any, *, timeout: float | None = PATIENCE, metadata: Any = None, **config: Any
    ) -> None:
        self._condition = threading.Condition()
        self._requests: list[Any] = []
        self._done = False
        self.call = stub.StreamSpeak(self._outgoing(), timeout=timeout, metadata=metadata)
        self.started: pb.SessionStarted | None = None
        if config:
            self.send(config=pb.SessionConfig(**config))
            self.started = next(self.call).started

    def send(self, **part: Any) -> None:
        with self._condition:
            self._requests.append(pb.StreamSpeakRequest(**part))
            self._condition.notify()

    def say(self, samples: Any, utterance_id: str = "") -> None:
        """Sound as PCM16, a tenth of a second a chunk."""
        data = pcm16(samples)
        for begin in range(0, len(data), RATE // 5):
            chunk = data[begin : begin + RATE // 5]
            self.send(audio=pb.AudioChunk(data=chunk, utterance_id=utterance_id))

    def done(self) -> None:
        """Half-close."""
        with self._condition:
            self._done = True
            self._condition.notify()

    def read(self) -> Any:
        """The next answer's part."""
        answer = next(self.call)
        return getattr(answer, answer.WhichOneof("part"))

    def frames(self) -> list[Any]:
        """All frames to the end of the call."""
        return [answer.frame for answer in self.call if answer.HasField("frame")]

    def code(self) -> grpc.StatusCode:
        """How the call ends, whatever comes before."""
        try:
            for _ in self.call:
                pass
        except grpc.RpcError:
            pass
        return self.call.code()

    def _outgoing(self) -> Iterator[Any]:
        while True:
            with self._condition:
                while not self._requests and not self._done:
                    self._condition.wait(PATIENCE)
                if not self._requests:
                    return
                request = self._requests.pop(0)
            yield request

    def __enter__(self) -> Speaking:
        return self

    def __exit__(self, *reason: object) -> None:
        self.done()
        self.call.cancel()


def pcm16(samples: Any) -> bytes:
    data: bytes = np.rint(np.asarray(samples) * 32768).astype("<i2").tobytes()
    return data


@pytest.fixture(scope="session")
def voice(repository: Path) -> Any:
    """1.2 seconds of speech at 16 kHz, exact in sixteen bits."""
    from avatar import load_audio

    speech = load_audio(repository / "examples" / "hello.wav", sample_rate=RATE).samples
    return (np.rint(speech[RATE : RATE + RATE * 6 // 5] * 32767) / 32768).astype(np.float32)
