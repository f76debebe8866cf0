"""Two replicas on a Ray cluster of this machine, and our own client in front of them."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.integrations.peers import peer
from tests.serving.conftest import RATE, Running, Speaking

from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving._stubs.avatar.v1 import avatar_pb2_grpc

BURST = {"pacing": pb.PACING_BURST}


@pytest.fixture(scope="module")
def cluster(avatars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the cluster's proxy."""
    python = peer("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("ray") / "log"
    command = [python, Path(__file__).parent / "ray_replicas.py", avatars, str(port)]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdin is not None
        # The workers of Ray write here too.
        if not any(line == "ready\n" for line in process.stdout):
            pytest.fail(f"the cluster did not start: {log.read_text()[-2000:]}")
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.stdin.close()
            process.stdout.read()
            process.wait(60)


@pytest.fixture
def ray_stub(cluster: str) -> Iterator[Any]:
    with grpc.insecure_channel(cluster) as channel:
        yield avatar_pb2_grpc.AvatarServiceStub(channel)


def say(stub: Any, voice: Any, **config: Any) -> list[Any]:
    with Speaking(stub, **(BURST | config)) as speaking:
        speaking.say(voice)
        speaking.done()
        frames = speaking.frames()
        assert speaking.call.code() == grpc.StatusCode.OK
        return frames


def test_a_session_on_the_cluster_is_that_of_the_server(
    ray_stub: Any, server: Running, voice: Any
) -> None:
    there = say(ray_stub, voice, avatar_id="eileen", outputs=[1, 5], video={"size": 64})
    with server.stub() as stub:
        here = say(stub, voice, avatar_id="eileen", outputs=[1, 5], video={"size": 64})
    assert len(there) == len(here) == 30
    for a, b in zip(there, here, strict=True):
        assert (a.index, a.time_code, a.utterance_id) == (b.index, b.time_code, b.utterance_id)
        np.testing.assert_allclose(a.blendshapes, b.blendshapes, atol=1e-6)
        assert len(a.video.data) > 500


def test_frames_come_while_the_client_still_speaks(ray_stub: Any, voice: Any) -> None:
    with Speaking(ray_stub, **BURST) as speaking:
        speaking.say(voice[: RATE // 2])
        assert speaking.read().type == pb.Event.TYPE_UTTERANCE_STARTED
        assert speaking.read().index == 0
        speaking.send(interrupt=pb.Interrupt())
        while not isinstance(part := speaking.read(), pb.Event):
            pass
        assert part.type == pb.Event.TYPE_INTERRUPTED
        speaking.done()
        assert speaking.code() == grpc.StatusCode.OK


def test_both_replicas_serve_many_sessions(ray_stub: Any, voice: Any) -> None:
    with ThreadPoolExecutor(8) as clients:
        held = [Speaking(ray_stub, **BURST) for _ in range(8)]
        counts = {
            ray_stub.GetServerInfo(pb.GetServerInfoRequest()).active_sessions for _ in range(20)
        }
        for speaking in held:
            speaking.say(voice)
            speaking.done()
        frames = list(clients.map(lambda speaking: len(speaking.frames()), held))
    assert frames == [30] * 8
    # Each replica counts its own sessions: with one alone, all would be there.
    assert counts
    assert max(counts) < 8


@pytest.mark.parametrize(
    ("requests", "code"),
    [
        ([{"audio": pb.AudioChunk(data=bytes(64))}], "FAILED_PRECONDITION"),
        ([{"config": pb.SessionConfig(avatar_id="nobody")}], "NOT_FOUND"),
        ([{"config": pb.SessionConfig(fps=1e9)}], "INVALID_ARGUMENT"),
    ],
)
def test_errors_keep_their_status(ray_stub: Any, requests: Any, code: str) -> None:
    with Speaking(ray_stub) as speaking:
        for request in requests:
            speaking.send(**request)
        assert speaking.code().name == code


def test_plain_calls_are_answered(ray_stub: Any) -> None:
    listed = ray_stub.ListAvatars(pb.ListAvatarsRequest())
    assert [info.avatar_id for info in listed.avatars] == ["eileen"]
    with pytest.raises(grpc.RpcError) as caught:
        ray_stub.DeleteAvatar(pb.DeleteAvatarRequest(avatar_id="nobody"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_sessions_that_are_dropped_make_room(ray_stub: Any) -> None:
    for _ in range(6):
        with Speaking(ray_stub, **BURST) as speaking:
            speaking.call.cancel()
    for _ in range(100):
        info = [ray_stub.GetServerInfo(pb.GetServerInfoRequest()) for _ in range(8)]
        if not any(found.active_sessions for found in info):
            return
    pytest.fail("sessions stayed")
